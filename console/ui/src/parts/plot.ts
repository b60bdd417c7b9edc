// Where the bars of a chart over time stand, and what its axes say. Nothing here touches the page.

export interface Series {
  name: string;
  color: string; // name of a CSS variable
  values: number[];
}

export interface Mark {
  at: number; // Unix seconds
  label: string;
  tone: "" | "act" | "good";
}

export interface Plot {
  step: number; // seconds of one bar
  times: number[]; // Unix seconds, beginnings of the bars
  series: Series[]; // each is a part of the one before, and drawn over it
  marks: Mark[];
}

interface Tick {
  at: number; // pixels
  says: string;
}

export interface Layout {
  bars: string[]; // a path for each series
  xs: Tick[];
  ys: Tick[];
  marks: { x: number; says: string; tone: string; full: string; end: boolean }[]; // says is empty where two would overlap; end: it has no room to the right
  left: number;
  top: number;
  right: number;
  bottom: number;
  span: number; // seconds from left to right
  /** The bar at a place, null beside them. */
  index: (x: number) => number | null;
}

const hour = 3600, day = 86_400;
const steps = [hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 91 * day, 364 * day];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const letter = 6.4; // pixels, about

/** A day, or the hour within one, in UTC. */
function tick(t: number, step: number): string {
  const d = new Date(t * 1000);
  if (step < day && d.getUTCHours() !== 0) return `${String(d.getUTCHours()).padStart(2, "0")}:00`;
  return `${d.getUTCDate()} ${months[d.getUTCMonth()]}`;
}

/** The step of an axis that has room for so many lines: 1, 2 or 5 times a power of ten. */
function round(max: number, lines: number): number {
  const raw = max / Math.max(1, lines);
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5].find((m) => m * power >= raw) ?? 10);
}

export function layout(p: Plot, width: number, height: number, format: (v: number) => string): Layout {
  const left = 58, top = 18, right = width - 18, bottom = height - 24;
  const first = p.times[0] ?? 0;
  const ends = (p.times.at(-1) ?? 0) + p.step;
  // What was done after the last draw still belongs to the picture, unless it would squeeze the draw.
  const last = Math.max(ends, ...p.marks.map((m) => m.at + p.step / 2).filter((t) => t < ends + (ends - first) / 2));
  const max = Math.max(0, ...p.series.flatMap((s) => s.values)) * 1.06 || 1;
  const x = (t: number) => left + ((t - first) / (last - first)) * (right - left);
  const y = (v: number) => top + (1 - v / max) * (bottom - top);
  const unit = x(first + p.step) - left;
  const wide = Math.max(1, Math.min(160, unit * 0.82));
  const px = (n: number) => n.toFixed(1);
  const bars = p.series.map((s) => s.values.map((v, i) => (v > 0 ? `M${px(x(p.times[i]!))} ${px(bottom)}V${px(Math.min(y(v), bottom - 1))}h${px(wide)}V${px(bottom)}z` : "")).join(""));

  const by = steps.find((s) => (s / (last - first)) * (right - left) >= 64) ?? steps.at(-1)!;
  const xs: Tick[] = [];
  for (let t = Math.ceil(first / by) * by; t <= last; t += by) xs.push({ at: x(t), says: tick(t, by) });
  const ys: Tick[] = [];
  const rise = round(max, (bottom - top) / 40);
  for (let v = 0; v <= max; v += rise) ys.push({ at: y(v), says: format(v) });

  let taken = -Infinity;
  const marks = p.marks.filter((m) => m.at >= first && m.at <= last).sort((a, b) => a.at - b.at).map((m) => {
    const half = (m.label.length * letter) / 2;
    const end = x(m.at) + half > width;
    const from = x(m.at) - (end ? 2 : 1) * half;
    const says = from > taken + 6 ? m.label : "";
    if (says) taken = from + 2 * half;
    return { x: Math.round(x(m.at)) + 0.5, says, tone: m.tone, full: m.label, end };
  });
  const index = (at: number) => {
    const i = Math.floor((at - left) / unit);
    return at >= left && i >= 0 && i < p.times.length ? i : null;
  };
  return { bars, xs, ys, marks, left, top, right, bottom, span: last - first, index };
}
