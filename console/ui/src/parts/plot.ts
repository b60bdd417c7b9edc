// The one place that knows uPlot; loaded when the first chart is shown.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

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
  format: (v: number) => string;
  onhover: (index: number | null) => void;
  onpick?: (index: number) => void;
}

/** Draws bars over time into box. Colours are read when it is called; call again when the theme changes. */
export function draw(box: HTMLElement, p: Plot, height: number): { destroy: () => void; resize: (width: number) => void } {
  const css = getComputedStyle(box);
  const color = (name: string) => {
    // light-dark() is resolved only in a property that takes a colour.
    const probe = document.createElement("i");
    probe.style.color = `var(--${name})`;
    box.append(probe);
    const c = getComputedStyle(probe).color;
    probe.remove();
    return c;
  };
  const font = `11px ${css.fontFamily}`;
  const first = p.times[0]!;
  const ends = p.times.at(-1)! + p.step;
  // What was done after the last draw still belongs to the picture, unless it would squeeze the draw.
  const last = Math.max(ends, ...p.marks.map((m) => m.at + p.step / 2).filter((t) => t < ends + (ends - first) / 2));
  const bars = uPlot.paths.bars!({ size: [0.82, 48], align: 1 });
  const axis = { stroke: color("dim"), font, ticks: { show: false }, border: { show: false } };
  const u = new uPlot(
    {
      width: box.clientWidth || 600,
      height,
      padding: [18, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: true, range: () => [first, last] }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.06 : 1] } },
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "UTC"),
      axes: [
        { ...axis, grid: { show: false }, size: 26, space: 70, values: (_u, at, _i, _s, step) => at.map((t) => tick(t, step)) },
        { ...axis, grid: { stroke: color("line"), width: 1 }, size: 58, space: 34, values: (_u, vs) => vs.map((v) => p.format(v)) },
      ],
      series: [{}, ...p.series.map((s) => ({ label: s.name, fill: color(s.color), stroke: color(s.color), width: 0, points: { show: false }, paths: bars }))],
      hooks: {
        setCursor: [(u) => p.onhover(u.cursor.left! >= 0 && u.cursor.idx != null ? u.cursor.idx : null)],
        draw: [(u) => marks(u, p, color, font)],
        ready: [
          (u) => {
            if (p.onpick) u.over.addEventListener("click", () => u.cursor.idx != null && p.onpick!(u.cursor.idx));
          },
        ],
      },
    },
    [p.times, ...p.series.map((s) => s.values)] as uPlot.AlignedData,
    box,
  );
  return { destroy: () => u.destroy(), resize: (width) => u.setSize({ width, height }) };
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A day, or the hour within one, in UTC. */
function tick(t: number, step: number): string {
  const d = new Date(t * 1000);
  const hour = d.getUTCHours();
  if (step < 86_400 && (hour !== 0 || d.getUTCMinutes() !== 0)) return `${String(hour).padStart(2, "0")}:${String(d.getUTCMinutes()).padStart(2, "0")}`;
  return `${d.getUTCDate()} ${months[d.getUTCMonth()]}`;
}

function marks(u: uPlot, p: Plot, color: (name: string) => string, font: string): void {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  const { left, top, height, width } = u.bbox;
  ctx.save();
  ctx.font = font.replace("11px", `600 ${10.5 * ratio}px`);
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  ctx.lineWidth = ratio;
  for (const m of p.marks) {
    const x = Math.round(u.valToPos(m.at, "x", true));
    if (x < left || x > left + width) continue;
    ctx.strokeStyle = ctx.fillStyle = color(m.tone || "soft");
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.fillText(m.label, x, top - 3 * ratio);
  }
  ctx.restore();
}
