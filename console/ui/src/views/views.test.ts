import { expect, test } from "vitest";
import { arrange } from "./artifacts/arrange";
import { body, parseFilter, writeFilter } from "./hunt/filters";
import { diff } from "./policies/diff";

test("filters in addresses", () => {
  expect(parseFilter("organization:is:Nordwind: GmbH")).toEqual({ field: "organization", op: "is", value: "Nordwind: GmbH" });
  expect(writeFilter({ field: "id", op: "begins", value: "acct-" })).toBe("id:begins:acct-");
  for (const bad of ["", "x", "secret:is:1", "plan:like:x", "plan:is:", "output:has:3"]) expect(parseFilter(bad)).toBeNull();
  expect(body([{ field: "output", op: "from", value: "1000" }, { field: "plan", op: "in", value: "pro, free" }], "bin", "last")).toEqual({
    filters: [{ field: "output", op: "from", value: 1000 }, { field: "plan", op: "in", value: ["pro", "free"] }], pivot: "bin", sort: "last",
  });
});

test("differences", () => {
  const show = (a: string, b: string) => diff(a, b).map((l) => ({ same: " ", added: "+", gone: "-", skip: "~" })[l.kind] + l.text);
  expect(show("a\nb\nc", "a\nx\nc")).toEqual([" a", "-b", "+x", " c"]);
  expect(show("a", "a")).toEqual(["~1 line alike"]);
  expect(show("1\n2\n3\n4\n5\n6\n7\n8", "1\n2\n3\n4\n5\n6\n7\n9")).toEqual(["~4 lines alike", " 5", " 6", " 7", "-8", "+9"]);
  expect(show("", "a")).toEqual(["-", "+a"]);
  expect(show("a\nb\nd", "a\nb\nc\nd\ne")).toEqual([" a", " b", "+c", " d", "+e"]);
});

test("lineage in columns, claims in a circle included", () => {
  const node = (identity: string) => ({ identity, root: false, artifact: {} as Record<string, never> });
  const edge = (from: string, to: string) => ({ from, to, role: "base", grade: "claimed" as const });
  const a = arrange({ model: "m", nodes: ["m", "b", "d", "x"].map(node), edges: [edge("b", "m"), edge("d", "b"), edge("d", "m"), edge("m", "m"), edge("gone", "m")], uses: [], findings: [] });
  const x = Object.fromEntries(a.nodes.map((n) => [n.id, n.x]));
  expect(x.d!).toBeLessThan(x.b!);
  expect(x.b!).toBeLessThan(x.m!);
  expect(a.edges).toHaveLength(3);
  const circle = arrange({ model: "a", nodes: ["a", "b"].map(node), edges: [edge("a", "b"), edge("b", "a")], uses: [], findings: [] });
  expect(circle.nodes.every((n) => Number.isFinite(n.x) && Number.isFinite(n.y))).toBe(true);
});
