import { expect, test } from "vitest";
import { routes } from "./routes";
import { inside, match, patch, path, query } from "./url";

test("routes", () => {
  expect(match(routes, "/campaigns/c0018")?.route.name).toBe("campaign");
  expect(match(routes, "/campaigns/c0018/graph")?.params).toEqual({ id: "c0018", tab: "graph" });
  expect(match(routes, "/accounts/user%2F7%20x")?.params.id).toBe("user/7 x");
  expect(match(routes, "/accounts/%E0%A4%A")).toBeNull();
  expect(match(routes, "/nowhere")).toBeNull();
  expect(match(routes, "/")?.route.name).toBe("home");
});

test("paths keep what they are given as one segment", () => {
  expect(path`/accounts/${"a/b?c#d"}`).toBe("/accounts/a%2Fb%3Fc%23d");
  expect(path`/campaigns/${"x"}/evidence/${"queue"}`).toBe("/campaigns/x/evidence/queue");
});

test("queries", () => {
  expect(query({})).toBe("");
  expect(query({ q: "a b", empty: "", no: null, off: false, on: true, n: 3, list: ["x", "y"] })).toBe("?q=a+b&on=true&n=3&list=x&list=y");
  expect(patch("?view=all&at=c1", { at: "", sort: "size" })).toBe("?view=all&sort=size");
  expect(patch("?f=a&f=b", { f: ["c"] })).toBe("?f=c");
});

test("what follows a sign-in stays here", () => {
  for (const bad of ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", null]) expect(inside(bad)).toBe("/");
  expect(inside("/campaigns/c0018?tab=1")).toBe("/campaigns/c0018?tab=1");
});
