import { expect, test } from "vitest";
import { Reader } from "./stream";

test("events come in pieces", () => {
  const r = new Reader();
  expect(r.push(": here\n\nid: 7\nevent: campaign.cha")).toEqual([]);
  expect(r.push('nged\ndata: {"a":\ndata: 1}\n')).toEqual([]);
  expect(r.push("\nid: 8\r\ndata: x\r\n\r\n")).toEqual([
    { id: "7", event: "campaign.changed", data: '{"a":\n1}' },
    { id: "8", event: "", data: "x" },
  ]);
  expect(r.push("data: y\n\n")).toEqual([{ id: "8", event: "", data: "y" }]);
  expect(r.push("event: nothing\n\n")).toEqual([]);
});
