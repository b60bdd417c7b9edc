// The cases with the @anthropic-ai/sdk package: messages, count_tokens, models.
import Anthropic from "@anthropic-ai/sdk";
import { arrived, attempt, base, big, clock, digest, ended, key, left, many, model, run, seen, setting, sleep, statuses, weather } from "./harness.mjs";

const name = "anthropic-node";
const call = (what, fault, more = {}) => {
  const s = setting(name, what, fault);
  return { tag: s.tag, client: new Anthropic({ baseURL: base, apiKey: key, defaultHeaders: s.headers, maxRetries: 0, ...more }) };
};
const say = (text) => ({ model, max_tokens: 900, messages: [{ role: "user", content: text }] });
const tools = [
  { name: "weather", input_schema: weather },
  { name: "clock", input_schema: clock },
];

// read collects the raw events of a stream.
async function read(stream, stopAt = Infinity) {
  const out = { kinds: [], text: "", json: "", usage: null, stop: null };
  let n = 0;
  for await (const e of stream) {
    out.kinds.push(e.type);
    if (e.type === "content_block_delta") {
      n++;
      out.text += e.delta.text ?? e.delta.thinking ?? "";
      out.json += e.delta.partial_json ?? "";
    }
    if (e.type === "message_delta") [out.usage, out.stop] = [e.usage, e.delta.stop_reason];
    if (n >= stopAt) break;
  }
  out.events = out.kinds.length;
  out.kinds = digest(out.kinds.join());
  return out;
}

run(name, {
  async plain() {
    const a = call("plain");
    const { data, response, request_id } = await a.client.messages.create({ ...say("hello there"), system: "be kind" }).withResponse();
    const [q] = await seen(a.tag);
    const counted = await call("plain").client.messages.countTokens({ model, messages: say("one two three").messages });
    const models = [];
    for await (const m of call("plain").client.models.list()) models.push(m.id);
    return {
      message: data, requestId: request_id, limit: response.headers.has("anthropic-ratelimit-requests-remaining"), note: response.headers.get("x-upstream-note"),
      own: q.header["X-Own"], version: q.header["Anthropic-Version"], body: q.digest, agent: q.header["User-Agent"], counted, models,
    };
  },
  async stream() {
    const split = await read(await call("stream", "split=5,tokens=40").client.messages.create({ ...say("tell me"), stream: true }));
    const odd = await read(await call("stream", "unknown,crlf").client.messages.create({ ...say("tell me"), stream: true }));
    const thinking = await call("stream", "join=7,tokens=30").client.messages.stream({ ...say("tell me"), thinking: { type: "enabled", budget_tokens: 512 } }).finalMessage();
    return { split, odd, thinking };
  },
  async tools() {
    const whole = await call("tools").client.messages.create({ ...say("weather and time"), tools });
    const stream = await call("tools", "split=9").client.messages.stream({ ...say("weather and time"), tools }).finalMessage();
    const after = await call("tools").client.messages.create({
      model, max_tokens: 50, tools,
      messages: [
        { role: "user", content: "weather" }, { role: "assistant", content: whole.content },
        { role: "user", content: whole.content.filter((b) => b.type === "tool_use").map((b) => ({ type: "tool_result", tool_use_id: b.id, content: "fine" })) },
      ],
    });
    return { whole: whole.content, stop: whole.stop_reason, stream: stream.content, after: after.content };
  },
  async usage() {
    const whole = await call("usage").client.messages.create({ ...say("count this please"), max_tokens: 5 });
    const stream = await call("usage").client.messages.stream(say("count this please")).finalMessage();
    return { whole: whole.usage, stop: whole.stop_reason, stream: stream.usage };
  },
  async "errors and retries"() {
    const once = call("errors", "status=529,times=2,retry=20ms", { maxRetries: 3 });
    const recovered = await attempt(() => once.client.messages.create(say("again")).then((r) => r.content));
    const always = call("errors", "status=503,retry=10ms", { maxRetries: 2 });
    const exhausted = await attempt(() => always.client.messages.create(say("again")));
    const never = call("errors", "status=500,noretry", { maxRetries: 2 });
    const told = await attempt(() => never.client.messages.create(say("again")));
    const results = {};
    for (const status of statuses) {
      results[status] = await attempt(() => call("errors", `status=${status}`).client.messages.create({ ...say("no"), stream: status % 2 === 0 }));
    }
    const mid = await attempt(async () => read(await call("errors", "error=4").client.messages.create({ ...say("x"), stream: true })));
    return {
      recovered, attempts: (await seen(once.tag)).length, exhausted, exhaustedAttempts: (await seen(always.tag)).length,
      told, toldAttempts: (await seen(never.tag)).length, results, mid,
    };
  },
  async abort() {
    const out = {};
    for (const [what, fault] of [["mid", "pace=20ms,tokens=500"], ["hung", "hang=3,tokens=50"]]) {
      const a = call("abort", fault);
      const stream = await a.client.messages.create({ ...say("long"), stream: true });
      await read(stream, 3);
      stream.controller.abort();
      out[what] = await left(a.tag, Date.now());
    }
    for (const [what, fault, stream] of [["before", "first=30s", true], ["quiet", "quiet=30s", true], ["unary", "first=30s", false]]) {
      const a = call("abort", fault);
      const control = new AbortController();
      const pending = attempt(async () => {
        const r = await a.client.messages.create({ ...say("long"), stream }, { signal: control.signal });
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
    const slow = await read(await call("slow", "first=1200ms,quiet=800ms,pace=30ms,tokens=20").client.messages.create({ ...say("slowly"), stream: true }));
    const pinged = await call("slow", "quiet=900ms,tokens=5,ping=200ms").client.messages.stream(say("slowly")).finalMessage();
    const a = call("slow", "first=5s", { timeout: 1000 });
    const timeout = await attempt(() => a.client.messages.create(say("slowly")));
    return { slow, pinged: pinged.content, timeout, upstream: (await ended(a.tag)).map((q) => q.outcome) };
  },
  async "cut upstream"() {
    const stream = await attempt(async () => {
      for await (const _ of await call("cut", "cut=3,tokens=30").client.messages.create({ ...say("x"), stream: true }));
    });
    const final = await attempt(() => call("cut", "cut=3,tokens=30").client.messages.stream(say("x")).finalMessage());
    const whole = await attempt(() => call("cut", "cut=3").client.messages.create(say("x")));
    const early = await attempt(async () => read(await call("cut", "stop=3").client.messages.create({ ...say("x"), stream: true })));
    return { stream: stream ?? "a normal end", final, whole, early };
  },
  async "large body"() {
    const up = call("large");
    const whole = await up.client.messages.create(say(big(4 << 20)));
    const down = await call("large", "body=120000").client.messages.create({ ...say("big"), max_tokens: 20000 });
    const stream = await read(await call("large", "body=3000000").client.messages.create({ ...say("big"), max_tokens: 500000, stream: true }));
    return { up: whole.usage, size: (await seen(up.tag))[0].size, down: digest(down.content[0].text), stream: digest(stream.text), length: stream.text.length };
  },
  async concurrent() {
    return many(48, async (i) => read(await call("many", `split=${5 + (i % 9)},tokens=${60 + i}`).client.messages.create({ ...say(`number ${i}`), stream: true })));
  },
});
