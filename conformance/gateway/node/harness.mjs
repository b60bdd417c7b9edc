// What the clients of npm have in common: the cases' setting, and how results are told. A client is a table of cases;
// each returns what a program using that client would have seen, in words that do not depend on the road taken.
import { createHash } from "node:crypto";

const env = (name) => {
  if (!process.env[name]) throw new Error(`set ${name}; conformance/gateway/run does`);
  return process.env[name];
};

export const base = env("BASE"); // where the client is pointed: upstream or gateway
export const key = env("KEY");
export const road = env("ROAD"); // direct or gateway
const upstream = env("UPSTREAM"); // where the upstream's log is read
const model = process.env.MODEL ?? "test-model";
export { model };

export const digest = (text) => createHash("sha256").update(text).digest("hex").slice(0, 16);
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// seen returns what the upstream saw of the requests marked with tag.
export async function seen(tag) {
  const res = await fetch(`${upstream}/_upstream/seen?tag=${tag}`);
  return res.json();
}

// ended waits until the upstream saw the end of every request marked with tag.
export async function ended(tag, ms = 3000) {
  const until = Date.now() + ms;
  for (;;) {
    const all = await seen(tag);
    if (all.length && all.every((q) => q.outcome !== "running")) return all;
    if (Date.now() > until) return all;
    await sleep(10);
  }
}

// arrived waits until the upstream has seen a request marked with tag.
export async function arrived(tag) {
  const until = Date.now() + 5000;
  while ((await seen(tag)).length === 0 && Date.now() < until) await sleep(20);
}

// left says how the upstream saw a caller leave at the time `at`, and tells on standard error how fast.
export async function left(tag, at) {
  const all = await ended(tag);
  const q = all[all.length - 1];
  if (!q) return { outcome: "never seen" };
  const ms = new Date(q.ended).getTime() - at;
  console.error(`# ${road} ${tag}: cancelled ${ms.toFixed(0)} ms after the caller left`);
  return { outcome: q.outcome, soon: ms < 1000, attempts: all.length };
}

// statuses that the gateway passes on. Not 401: an upstream that does not know the gateway's own key is no fault of the
// caller's, and the gateway says so with 502.
export const statuses = [400, 403, 404, 409, 413, 422, 429, 500, 502, 529];

// failure is what a program can tell about an error.
export function failure(e) {
  const headers = e.headers ?? e.responseHeaders ?? {};
  const get = (name) => (typeof headers.get === "function" ? headers.get(name) : headers[name]) ?? undefined;
  return {
    failed: e.constructor?.name ?? typeof e,
    message: String(e.message).replace(/req_[0-9a-f]+/g, "req_*").replace(/127\.0\.0\.1:\d+/g, "*"),
    status: e.status ?? e.statusCode,
    code: e.code,
    type: e.type ?? e.error?.error?.type,
    retryAfter: get("retry-after"),
    retryAfterMs: get("retry-after-ms"),
    shouldRetry: get("x-should-retry"),
    requestId: Boolean(get("x-request-id") ?? get("request-id")),
  };
}

// attempt runs f and returns its result or its failure.
export async function attempt(f) {
  try {
    return await f();
  } catch (e) {
    return failure(e);
  }
}

let number = 0;

// setting makes the mark and the headers of one call.
export function setting(client, name, fault = "") {
  const tag = `${road}-${client}-${name}-${number++}`;
  return { tag, headers: { "x-upstream-fault": [fault, `tag=${tag}`].filter(Boolean).join(","), "x-own": "kept" } };
}

// run runs the cases of a client and prints a line for each: client, case, result.
export async function run(client, cases) {
  const only = process.env.CASE;
  for (const [name, f] of Object.entries(cases)) {
    if (only && only !== name) continue;
    const result = await Promise.race([attempt(f), sleep(60000).then(() => ({ failed: "no answer in a minute" }))]);
    console.log(`${client}\t${name}\t${JSON.stringify(result)}`);
  }
}

// coarse rounds a vector: the gateway's policy rounds it too, to more places.
export const coarse = (v) => v.map((x) => Number(x.toFixed(1)));

// big is a prompt of about n bytes.
export const big = (n) => "a word and another, ".repeat(n / 20);

export const weather = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
export const clock = { type: "object", properties: { zone: { type: "string" } }, required: ["zone"], additionalProperties: false };

// many runs f(0..n-1) at once and returns one digest over all results, and how many differ from each other.
export async function many(n, f) {
  const all = await Promise.all(Array.from({ length: n }, (_, i) => attempt(() => f(i))));
  return { digest: digest(JSON.stringify(all)), different: new Set(all.map((r) => JSON.stringify(r))).size, failed: all.filter((r) => r?.failed).length, first: all.find((r) => r?.failed) };
}
