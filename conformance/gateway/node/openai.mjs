// The cases with the openai package: chat completions, responses, completions, embeddings, models.
import OpenAI from "openai";
import { arrived, attempt, base, big, clock, coarse, digest, ended, key, left, many, model, run, seen, setting, sleep, statuses, weather } from "./harness.mjs";

const name = "openai-node";
const call = (what, fault, more = {}) => {
  const s = setting(name, what, fault);
  return { tag: s.tag, client: new OpenAI({ baseURL: `${base}/v1`, apiKey: key, defaultHeaders: s.headers, maxRetries: 0, ...more }) };
};
const say = (text) => ({ model, messages: [{ role: "user", content: text }] });
const tools = [
  { type: "function", function: { name: "weather", parameters: weather } },
  { type: "function", function: { name: "clock", parameters: clock } },
];

// read collects a chat stream as a program would.
async function read(stream, stopAt = Infinity) {
  const out = { text: "", thought: "", deltas: 0, finish: null, usage: null, empty: 0, calls: [] };
  for await (const k of stream) {
    if (!k.choices) continue;
    if (k.choices.length === 0) out.empty++;
    if (k.usage) out.usage = k.usage;
    for (const c of k.choices) {
      if (c.delta?.content || c.delta?.tool_calls) out.deltas++;
      out.text += c.delta?.content ?? "";
      out.thought += c.delta?.reasoning_content ?? "";
      for (const t of c.delta?.tool_calls ?? []) {
        out.calls[t.index] ??= { id: t.id, name: t.function.name, arguments: "" };
        out.calls[t.index].arguments += t.function.arguments ?? "";
      }
      if (c.finish_reason) out.finish = c.finish_reason;
    }
    if (out.deltas >= stopAt) return out;
  }
  return out;
}

run(name, {
  async plain() {
    const a = call("plain");
    const { data, response } = await a.client.chat.completions.create(say("hello there")).withResponse();
    const [q] = await seen(a.tag);
    const r = await call("plain").client.responses.create({ model, input: "hello there" });
    const c = await call("plain").client.completions.create({ model, prompt: "hello there" });
    const e = await call("plain").client.embeddings.create({ model, input: ["a b", "c"], dimensions: 8 });
    e.data = e.data.map((d) => ({ ...d, embedding: coarse(d.embedding) }));
    const models = [];
    for await (const m of call("plain").client.models.list()) models.push(m.id);
    return {
      chat: data, requestId: data._request_id, limit: response.headers.has("x-ratelimit-remaining-requests"),
      processing: response.headers.get("openai-processing-ms"), note: response.headers.get("x-upstream-note"), type: response.headers.get("content-type"),
      own: q.header["X-Own"], body: q.digest, agent: q.header["User-Agent"], stainless: Object.keys(q.header).filter((h) => h.startsWith("X-Stainless")).length,
      responses: r, responsesId: r._request_id, text: r.output_text, completions: c, embeddings: e, models,
    };
  },
  async stream() {
    const chat = await read(await call("stream", "split=5,tokens=40").client.chat.completions.create({ ...say("tell me"), stream: true }));
    const crlf = await read(await call("stream", "crlf,unknown").client.chat.completions.create({ ...say("tell me"), stream: true }));
    const joined = await read(await call("stream", "join=9,tokens=40").client.chat.completions.create({ ...say("tell me"), stream: true, reasoning_effort: "low" }));
    const kinds = [];
    for await (const e of await call("stream", "split=11,unknown").client.responses.create({ model, input: "tell me", stream: true, reasoning: { effort: "low", summary: "auto" } })) {
      kinds.push(e.type + (e.delta ?? ""));
    }
    let text = "";
    for await (const e of await call("stream").client.completions.create({ model, prompt: "x", stream: true })) text += e.choices[0]?.text ?? "";
    return { chat, crlf, joined, responses: kinds.length, digest: digest(kinds.join("|")), text };
  },
  async tools() {
    const whole = await call("tools").client.chat.completions.create({ ...say("weather and time"), tools });
    const stream = await read(await call("tools", "split=9").client.chat.completions.create({ ...say("weather and time"), tools, stream: true }));
    const after = await call("tools").client.chat.completions.create({
      model, tools,
      messages: [{ role: "user", content: "weather" }, whole.choices[0].message, ...whole.choices[0].message.tool_calls.map((t) => ({ role: "tool", tool_call_id: t.id, content: "fine" }))],
    });
    const parts = [];
    const runner = call("tools").client.responses.stream({ model, input: "weather", tools: [{ type: "function", name: "weather", parameters: weather, strict: true }] });
    for await (const e of runner) parts.push(e.type);
    return { whole: whole.choices[0], stream, after: after.choices[0], responses: (await runner.finalResponse()).output, parts: digest(parts.join()) };
  },
  async usage() {
    const asked = await read(await call("usage").client.chat.completions.create({ ...say("count this please"), stream: true, stream_options: { include_usage: true } }));
    const silent = await read(await call("usage").client.chat.completions.create({ ...say("count this please"), stream: true }));
    const whole = await call("usage").client.chat.completions.create({ ...say("count this please"), n: 2, max_tokens: 7 });
    return { asked, silent, whole: whole.usage, finish: whole.choices.map((c) => c.finish_reason) };
  },
  async "errors and retries"() {
    const once = call("errors", "status=429,times=2,retry=20ms", { maxRetries: 3 });
    const recovered = await attempt(() => once.client.chat.completions.create(say("again")).then((r) => r.choices[0].message.content));
    const always = call("errors", "status=503,retry=10ms", { maxRetries: 2 });
    const exhausted = await attempt(() => always.client.chat.completions.create(say("again")));
    const never = call("errors", "status=500,noretry", { maxRetries: 2 });
    const told = await attempt(() => never.client.chat.completions.create(say("again")));
    const results = {};
    for (const status of statuses) {
      results[status] = await attempt(() => call("errors", `status=${status}`).client.chat.completions.create({ ...say("no"), stream: status % 2 === 0 }));
    }
    const mid = await attempt(async () => read(await call("errors", "error=4").client.chat.completions.create({ ...say("x"), stream: true })));
    const midResponses = await attempt(async () => {
      for await (const e of await call("errors", "error=4").client.responses.create({ model, input: "x", stream: true })) if (e.type === "error") return e;
    });
    return {
      recovered, attempts: (await seen(once.tag)).length, exhausted, exhaustedAttempts: (await seen(always.tag)).length,
      told, toldAttempts: (await seen(never.tag)).length, results, mid, midResponses,
    };
  },
  async abort() {
    const out = {};
    for (const [what, fault, stop] of [["mid", "pace=20ms,tokens=500", 3], ["hung", "hang=3,tokens=50", 3]]) {
      const a = call("abort", fault);
      const stream = await a.client.chat.completions.create({ ...say("long"), stream: true });
      await read(stream, stop);
      stream.controller.abort();
      out[what] = await left(a.tag, Date.now());
    }
    for (const [what, fault, stream] of [["before", "first=30s", true], ["quiet", "quiet=30s", true], ["unary", "first=30s", false]]) {
      const a = call("abort", fault);
      const control = new AbortController();
      const pending = attempt(async () => {
        const r = await a.client.chat.completions.create({ ...say("long"), stream }, { signal: control.signal });
        return stream ? read(r) : r;
      });
      await arrived(a.tag);
      await sleep(50);
      const at = Date.now();
      control.abort();
      out[what] = { seen: await left(a.tag, at), told: await pending };
    }
    return out;
  },
  async "slow upstream"() {
    const slow = await read(await call("slow", "first=1200ms,quiet=800ms,pace=30ms,tokens=20,ping=200ms").client.chat.completions.create({ ...say("slowly"), stream: true }));
    const a = call("slow", "first=5s", { timeout: 1000 });
    const timeout = await attempt(() => a.client.chat.completions.create(say("slowly")));
    return { slow, timeout, upstream: (await ended(a.tag)).map((q) => q.outcome) };
  },
  async "cut upstream"() {
    const a = call("cut", "cut=3,tokens=30");
    let got = 0;
    const stream = await attempt(async () => {
      for await (const k of await a.client.chat.completions.create({ ...say("x"), stream: true })) if (k.choices[0]?.delta?.content) got++;
    });
    const responses = await attempt(async () => {
      for await (const _ of await call("cut", "cut=3,tokens=30").client.responses.create({ model, input: "x", stream: true }));
    });
    const whole = await attempt(() => call("cut", "cut=3").client.chat.completions.create(say("x")));
    const early = await attempt(async () => read(await call("cut", "stop=3").client.chat.completions.create({ ...say("x"), stream: true })));
    return { stream: stream ?? "a normal end", got, responses: responses ?? "a normal end", whole, early };
  },
  async "large body"() {
    const up = call("large");
    const whole = await up.client.chat.completions.create(say(big(4 << 20)));
    const down = await call("large", "body=3000000").client.chat.completions.create(say("big"));
    const stream = await read(await call("large", "body=3000000").client.chat.completions.create({ ...say("big"), stream: true }));
    return { up: whole.usage, size: (await seen(up.tag))[0].size, down: digest(down.choices[0].message.content), stream: digest(stream.text), length: stream.text.length };
  },
  async concurrent() {
    const one = (i) => async () => read(await call("many", `split=${5 + (i % 9)},tokens=${60 + i}`).client.chat.completions.create({ ...say(`number ${i}`), stream: true }));
    return many(48, (i) => one(i)());
  },
});
