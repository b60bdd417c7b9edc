// Times. All are shown in UTC, as the ledger and the logs have them.

const nb = "\u00a0";
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const pad = (n: number) => String(n).padStart(2, "0");

export type Instant = string | number | Date | null | undefined;

/** Reads a time of the API; null when there is none. Go's zero time counts as none. */
export function instant(t: Instant): Date | null {
  if (t == null || t === "") return null;
  const d = t instanceof Date ? t : new Date(t);
  return Number.isNaN(d.getTime()) || d.getUTCFullYear() < 1971 ? null : d;
}

/** 6 May, with the year when it is not that of now. */
export function day(t: Instant, now = new Date()): string {
  const d = instant(t);
  if (!d) return "unknown";
  const s = d.getUTCDate() + nb + months[d.getUTCMonth()];
  return d.getUTCFullYear() === now.getUTCFullYear() ? s : s + nb + d.getUTCFullYear();
}

/** 6 May 01:00. */
export function minute(t: Instant, now = new Date()): string {
  const d = instant(t);
  return d ? day(d, now) + nb + pad(d.getUTCHours()) + ":" + pad(d.getUTCMinutes()) : "unknown";
}

/** 2026-05-06 01:00:26 UTC: in full, for titles and copies. */
export function full(t: Instant): string {
  const d = instant(t);
  return d ? d.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC").replace("Z", " UTC") : "unknown";
}

/** Writes a duration in its largest fitting unit: "3 days". */
export function span(ms: number): string {
  const s = Math.abs(ms) / 1000;
  const say = (n: number, unit: string) => Math.round(n) + nb + unit + (Math.round(n) === 1 ? "" : "s");
  if (s >= 36 * 3600 || s === 86400) return say(s / 86400, "day");
  if (s >= 5400 || s === 3600) return say(s / 3600, "hour");
  if (s >= 90) return say(s / 60, "minute");
  return say(s, "second");
}

/** As span, in as few letters as can be: "3 d", "4 h", "12 min". */
export function brief(ms: number): string {
  const s = Math.abs(ms) / 1000;
  if (s >= 36 * 3600) return Math.round(s / 86400) + nb + "d";
  if (s >= 5400) return Math.round(s / 3600) + nb + "h";
  if (s >= 60) return Math.round(s / 60) + nb + "min";
  return Math.round(s) + nb + "s";
}

/** "in 3 days", "4 hours ago". */
export function relative(t: Instant, now: number): string {
  const d = instant(t);
  if (!d) return "unknown";
  const ms = d.getTime() - now;
  if (Math.abs(ms) < 10_000) return "now";
  return ms > 0 ? "in " + span(ms) : span(ms) + " ago";
}
