import { expect, test } from "vitest";
import { layout } from "./plot";

const day = 86_400;
const noon = Date.UTC(2026, 4, 4) / 1000;
const plot = (values: number[], marks: { at: number; label: string }[] = []) => ({
  step: 3600, times: values.map((_, i) => noon + i * 3600), series: [{ name: "a", color: "c", values }], marks: marks.map((m) => ({ ...m, tone: "" as const })),
});

test("bars stand where their hours are", () => {
  const l = layout(plot([0, 5, 10]), 600, 190, String);
  expect(l.bars[0]!.split("M").length - 1).toBe(2); // nothing is drawn for nothing
  expect(l.index(l.left + 1)).toBe(0);
  expect(l.index(l.right - 1)).toBe(2);
  expect(l.index(l.left - 1)).toBeNull();
  expect(l.ys.map((t) => t.says)).toEqual(["0", "5", "10"]);
});

test("axes of days, of hours, and of nothing", () => {
  expect(layout(plot(Array(72).fill(1)), 600, 190, String).xs.map((t) => t.says)).toEqual(["4 May", "12:00", "5 May", "12:00", "6 May", "12:00", "7 May"]);
  expect(layout(plot(Array(24).fill(1)), 600, 190, String).xs[1]!.says).toBe("03:00");
  expect(layout({ ...plot([1, 2]), step: day, times: [noon, noon + day] }, 600, 190, String).xs.length).toBeGreaterThan(2);
  const none = layout(plot([0, 0]), 600, 190, String);
  expect(none.bars).toEqual([""]);
  expect(none.ys.every((t) => Number.isFinite(t.at))).toBe(true);
  expect(layout(plot([]), 600, 190, String).bars).toEqual([""]);
});

test("marks do not write over each other", () => {
  const l = layout(plot(Array(48).fill(1), [{ at: noon + 7200, label: "detected" }, { at: noon + 9000, label: "budget" }, { at: noon + 40 * 3600, label: "undone" }]), 600, 190, String);
  expect(l.marks.map((m) => m.says)).toEqual(["detected", "", "undone"]);
  expect(l.marks[1]!.full).toBe("budget");
});
