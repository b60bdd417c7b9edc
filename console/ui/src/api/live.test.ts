import { expect, test } from "vitest";
import type { Event } from "./gen/schema";
import { concerns, subjects } from "./live.svelte";
import { Reader } from "./stream";

test("an event of one campaign changes no view of another", () => {
  const e = (kind: string, subject: string, more: Partial<Event> = {}): Event => ({ seq: 1, at: "", actor: "u", kind, subject, data: null, ledger_index: -1, ...more });
  const touched = (x: Event, ...paths: string[]) => paths.filter((p) => concerns(x.kind, subjects(x), p));
  const of = (id: string) => [`/campaigns/${id}`, `/campaigns/${id}/verdicts?limit=100`, `/decisions?campaign=${id}`];
  // Those who see no account get no refs: the campaign is told all the same.
  for (const kind of ["decision.made", "appeal.decided", "approval.expired", "verdict.changed"]) {
    const x = e(kind, kind.split(".")[0] + ":x", { campaign: "c1" });
    expect(touched(x, ...of("c2"))).toEqual([]);
    expect(touched(x, ...of("c1").slice(0, 2))).toEqual(of("c1").slice(0, 2));
    expect(touched(x, "/campaigns?limit=100")).toHaveLength(1);
  }
  expect(touched(e("decision.made", "decision:d1", { campaign: "c1" }), "/decisions?campaign=c1", "/decisions", "/verdicts?decision=d1", "/verdicts?decision=d2", "/decisions/d2", "/notices?limit=1")).toEqual(["/decisions?campaign=c1", "/decisions", "/verdicts?decision=d1", "/notices?limit=1"]);
  expect(touched(e("case.noted", "case:k", { campaign: "c1" }), "/cases/k", "/cases/other", "/campaigns/c1")).toEqual(["/cases/k"]);
  expect(touched(e("policy.activated", "policy:p1"), "/policies/p1", "/policies/p2", "/policies")).toEqual(["/policies/p1", "/policies"]);
  // What names no campaign may be about any.
  expect(touched(e("decision.made", "decision:d1"), ...of("c1"))).toEqual(of("c1"));
});

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
