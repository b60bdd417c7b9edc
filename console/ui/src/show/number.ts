// Figures as the reports of the command line write them, so that a number reads the same wherever it is met.

const nb = "\u00a0"; // keeps a figure and its unit on one line

/** Writes n in full, with a comma between thousands: 1,234,567. */
export function count(n: number): string {
  if (!Number.isFinite(n)) return "unknown";
  const digits = Math.abs(Math.trunc(n)).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return (n <= -1 ? "-" : "") + digits;
}

/** Writes n in full below ten thousand, and in thousands, millions or billions above: 31.0 M. */
export function short(n: number): string {
  if (!Number.isFinite(n)) return "unknown";
  if (n < 0) return "-" + short(-n);
  if (n >= 999.95e6) return (n / 1e9).toFixed(2) + nb + "B";
  if (n >= 999.5e3) return (n / 1e6).toFixed(1) + nb + "M";
  if (n >= 1e4) return Math.round(n / 1e3) + nb + "k";
  return count(n);
}

/** Writes a share of 0 to 1. What is not all never rounds to all, nor what is not none to none. */
export function percent(x: number | null | undefined): string {
  if (x == null || Number.isNaN(x)) return "unknown";
  if (x <= 0) return "0" + nb + "%";
  if (x < 0.001) return "<0.1" + nb + "%";
  if (x >= 1) return "100" + nb + "%";
  if (x >= 0.9995) return ">99.9" + nb + "%";
  if (x < 0.0995 || x >= 0.9895) return (100 * x).toFixed(1) + nb + "%";
  return (100 * x).toFixed(0) + nb + "%";
}

/** Rounds v to n significant figures. */
export function significant(v: number, n: number): number {
  return Number(v.toExponential(n - 1));
}

/** Writes a probability as a frequency, to two significant figures: 3.3e-7 is "1 in 3 million". */
export function oneIn(p: number): string {
  if (Number.isNaN(p)) return "unknown";
  if (p <= 0) return "less than 1 in " + power(Number.MAX_VALUE);
  if (p >= 0.95) return "nearly every time";
  if (p > 0.15) return Math.round(10 * p) + " in 10";
  return "1 in " + large(1 / p);
}

/** Writes v >= 1 to two significant figures: in words from a million up, as a power of ten past a trillion. */
export function large(v: number): string {
  v = significant(v, 2);
  if (v < 10) return String(v);
  if (v < 1e6) return count(v);
  if (v >= 1e15) return power(v);
  const [unit, word] = v >= 1e12 ? [1e12, "trillion"] : v >= 1e9 ? [1e9, "billion"] : [1e6, "million"];
  return significant(v / unit, 2) + nb + word;
}

/** Writes v with a power of ten where that is shorter: 2.5 × 10¹². */
export function power(v: number): string {
  if (Number.isNaN(v)) return "unknown";
  if (v === Infinity) return "beyond" + nb + power(Number.MAX_VALUE);
  if (v === 0) return "0";
  if (v < 0) return "-" + power(-v);
  if (v >= 999.5 && v < 1e6) return count(significant(v, 3));
  if (v >= 1e-4 && v < 999.5) return String(significant(v, 3));
  const [mantissa = "", exponent = "0"] = v.toExponential(1).split("e");
  const m = mantissa.replace(".0", "");
  const ten = "10" + superscript(Number(exponent));
  return m === "1" ? ten : m + nb + "×" + nb + ten;
}

function superscript(n: number): string {
  return String(n).replace(/[-0-9]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]!));
}

/** Turns a weight in nats, the logarithm of a likelihood ratio, into that ratio: 6.9 is "990×". */
export function ratio(nats: number): string {
  if (Number.isNaN(nats)) return "unknown";
  const v = Math.exp(nats);
  return (v < 1 ? String(significant(v, 1)) : large(v)) + "×";
}

/** Writes n and the noun, with an s unless n is 1. */
export function plural(n: number, noun: string): string {
  return n === 1 ? "1" + nb + noun : count(n) + nb + noun + "s";
}

/** Writes a change as a factor: 0.25 is "+25 %", 3 is "4.0×". NaN and 0 stand for "not known". */
export function change(factor: number): string {
  if (!Number.isFinite(factor) || factor <= 0) return "";
  if (factor >= 3) return large(factor) + "×";
  const d = Math.round((factor - 1) * 100);
  return (d > 0 ? "+" : d < 0 ? "−" : "±") + Math.abs(d) + nb + "%";
}

/** Writes a size in bytes. */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return (i === 0 ? String(n) : n < 10 ? n.toFixed(1) : n.toFixed(0)) + nb + units[i];
}

/** Puts a p-value into a word. The figure always stands beside it. */
export function strength(p: number): string {
  if (Number.isNaN(p)) return "not known";
  if (p <= 1e-6) return "overwhelming";
  if (p <= 1e-4) return "very strong";
  if (p <= 1e-2) return "strong";
  if (p <= 0.05) return "moderate";
  if (p <= 0.2) return "weak";
  return "none";
}
