import { describe, expect, test } from "vitest";
import { label, sentence, shellWord } from "./label";
import { bytes, change, count, oneIn, percent, plural, power, ratio, short, strength } from "./number";
import { brief, day, full, instant, minute, relative, span } from "./time";
import { keyOf, keySentence } from "./words";
import { termsOf } from "./terms";

const plainSpace = (s: string) => s.replaceAll("\u00a0", " ");
const table = (name: string, f: (v: never) => string, rows: [unknown, string][]) =>
  describe(name, () => {
    for (const [v, want] of rows) test(`${String(v)} is ${want}`, () => expect(plainSpace(f(v as never))).toBe(want));
  });

table("count", count, [[0, "0"], [999, "999"], [1000, "1,000"], [1234567, "1,234,567"], [-1234, "-1,234"], [NaN, "unknown"]]);
table("short", short, [[0, "0"], [9999, "9,999"], [12_345, "12 k"], [999_499, "999 k"], [999_500, "1.0 M"], [31_040_000, "31.0 M"], [1_234_000_000, "1.23 B"], [-20_000, "-20 k"]]);
table("percent", percent, [[0, "0 %"], [0.0004, "<0.1 %"], [0.0421, "4.2 %"], [0.5, "50 %"], [0.9, "90 %"], [0.995, "99.5 %"], [0.9999, ">99.9 %"], [1, "100 %"], [null, "unknown"], [NaN, "unknown"]]);
table("oneIn", oneIn, [[0.0066, "1 in 150"], [3.3e-7, "1 in 3 million"], [2e-12, "1 in 500 billion"], [0.3, "3 in 10"], [0.99, "nearly every time"], [NaN, "unknown"], [1e-17, "1 in 10¹⁷"]]);
table("power", power, [[0, "0"], [0.119456, "0.119"], [1234.5, "1,230"], [2.5e12, "2.5 × 10¹²"], [1e-9, "10⁻⁹"], [-3, "-3"]]);
table("ratio", ratio, [[6.9, "990×"], [0, "1×"], [-1, "0.4×"], [NaN, "unknown"]]);
table("change", change, [[0, ""], [1, "±0 %"], [1.5, "+50 %"], [0.44, "−56 %"], [3, "3×"], [12.4, "12×"]]);
table("bytes", bytes, [[0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [123_456, "123 kB"], [3.1e9, "3.1 GB"]]);
table("strength", strength, [[1e-7, "overwhelming"], [1e-5, "very strong"], [0.005, "strong"], [0.04, "moderate"], [0.1, "weak"], [0.5, "none"]]);

test("plural", () => {
  expect(plainSpace(plural(1, "account"))).toBe("1 account");
  expect(plainSpace(plural(24000, "account"))).toBe("24,000 accounts");
});

test("times", () => {
  const now = new Date("2026-11-28T12:00:00Z");
  expect(plainSpace(day("2026-05-06T23:59:00Z", now))).toBe("6 May");
  expect(plainSpace(day("2025-05-06T23:59:00Z", now))).toBe("6 May 2025");
  expect(plainSpace(minute("2026-05-06T01:00:26.860Z", now))).toBe("6 May 01:00");
  expect(full("2026-05-06T01:00:26.860Z")).toBe("2026-05-06 01:00:26 UTC");
  expect(instant("0001-01-01T00:00:00Z")).toBeNull();
  expect(instant("nonsense")).toBeNull();
  expect(plainSpace(span(36 * 3600_000))).toBe("2 days");
  expect(plainSpace(span(3600_000))).toBe("1 hour");
  expect(plainSpace(brief(-90 * 60_000))).toBe("2 h");
  expect(plainSpace(relative(now.getTime() + 3 * 86_400_000, now.getTime()))).toBe("in 3 days");
  expect(plainSpace(relative(now.getTime() - 7_200_000, now.getTime()))).toBe("2 hours ago");
});

// What an attacker chose must not hide, reorder or imitate anything.
test("labels", () => {
  expect(label("acct-1")).toBe("acct-1");
  expect(label("a\u202egnp.exe")).toBe("a\\u{202e}gnp.exe");
  expect(label("a\u200bb\u0000c\n")).toBe("a\\u{200b}b\\x00c\\x0a");
  expect(label("Grüße 東京 🙂")).toBe("Grüße 東京 🙂");
  expect(label("")).toBe("(no name)");
  expect(label("abcdefghijklmnopqrstuvwxyz", 12)).toBe("abcdefg…wxyz");
  expect(label("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>"); // escaped when it is shown
  expect(sentence("  120 of 120\naccounts pay ")).toBe("120 of 120 accounts pay.");
  expect(sentence("")).toBe("");
  expect(shellWord("c0018")).toBe("c0018");
  expect(shellWord("it's; rm")).toBe(`'it'\\''s; rm'`);
});

test("keys of evidence", () => {
  expect(keyOf("network")).toBe("who");
  expect(keyOf("schedule")).toBe("how");
  expect(keyOf("queue")).toBe("what");
  expect(keySentence([{ family: "identity", accounts: 3 }, { family: "network", accounts: 3 }])).toContain("All of it is of one kind");
  expect(keySentence([{ family: "identity", accounts: 3 }, { family: "twins", accounts: 3 }])).toContain("2 independent kinds agree");
  expect(keySentence([])).toBe("");
});

test("terms", () => {
  expect(plainSpace(termsOf({ delay_ms: 2000, tokens_per_second: 20 }))).toBe("2 s delay, 20 tokens/s");
  expect(termsOf({ delay_ms: 0, model: "" })).toBe("");
});
