import { short } from "./number";

/** The terms of a measure in a few words: "2 s delay, 20 tokens/s". */
export function termsOf(t: { delay_ms?: number; tokens_per_second?: number; tokens?: number; model?: string }): string {
  const out: string[] = [];
  if (t.delay_ms) out.push(t.delay_ms / 1000 + "\u00a0s delay");
  if (t.tokens_per_second) out.push(t.tokens_per_second + "\u00a0tokens/s");
  if (t.tokens) out.push(short(t.tokens) + " output tokens a day");
  if (t.model) out.push("by " + t.model);
  return out.join(", ");
}
