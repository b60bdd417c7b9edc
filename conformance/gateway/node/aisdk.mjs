// The cases with the Vercel AI SDK, over its OpenAI provider (responses and chat) and its Anthropic provider.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import { arrived, attempt, base, big, clock, digest, ended, key, left, many, model, run, seen, setting, sleep, statuses, weather } from "./harness.mjs";

const name = "ai-sdk";
const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: key });
const anthropic = createAnthropic({ baseURL: `${base}/v1`, apiKey: key });
const roads = { chat: openai.chat(model), responses: openai.responses(model), messages: anthropic(model) };
const tools = { weather: tool({ inputSchema: jsonSchema(weather) }), clock: tool({ inputSchema: jsonSchema(clock) }) };

// ask makes the arguments of one call.
const ask = (m, what, prompt, fault, more = {}) => {
  const s = setting(name, what, fault);
  return { tag: s.tag, args: { model: m, prompt, headers: s.headers, maxRetries: 0, maxOutputTokens: 900, ...more } };
};
const each = async (f) => {
  const out = {};
  for (const [road, m] of Object.entries(roads)) out[road] = await attempt(() => f(m));
  return out;
};

// read collects the parts of a stream.
async function read(args, stopAt = Infinity) {
  const out = { kinds: [], text: "", calls: [], errors: [] };
  let n = 0;
  const r = streamText({ ...args, onError: () => {} });
  for await (const p of r.fullStream) {
    out.kinds.push(p.type);
    if (p.type === "text-delta") [out.text, n] = [out.text + p.text, n + 1];
    if (p.type === "tool-call") out.calls.push([p.toolName, p.input]);
    if (p.type === "error") out.errors.push(String(p.error?.message ?? JSON.stringify(p.error)));
    if (p.type === "finish") [out.finish, out.usage] = [p.finishReason, p.totalUsage];
    if (n >= stopAt) break;
  }
  out.kinds = digest(out.kinds.join());
  return out;
}

run(name, {
  plain: async () => ({
    ...(await each(async (m) => {
      const a = ask(m, "plain", "hello there");
      const r = await generateText(a.args);
      const [q] = await seen(a.tag);
      return { text: r.text, usage: r.usage, finish: r.finishReason, id: r.response.id, note: r.response.headers["x-upstream-note"], own: q.header["X-Own"], body: q.digest };
    })),
    embeddings: await attempt(async () => (await embedMany({ model: openai.embedding("test-embedding"), values: ["a b", "c"] })).usage),
    object: await attempt(async () => (await generateObject({ model: roads.chat, schema: jsonSchema(weather), prompt: "x" })).object),
  }),
  stream: () => each((m) => read(ask(m, "stream", "tell me", "split=5,tokens=40").args)),
  tools: () =>
    each(async (m) => {
      const whole = await generateText({ ...ask(m, "tools", "weather and time").args, tools });
      return { whole: whole.toolCalls.map((c) => [c.toolName, c.input]), stream: await read({ ...ask(m, "tools", "weather and time", "split=9").args, tools }) };
    }),
  usage: () => each(async (m) => (await read(ask(m, "usage", "count this please", "", { maxOutputTokens: 17 }).args)).usage),
  "errors and retries": () =>
    each(async (m) => {
      const once = ask(m, "errors", "again", "status=429,times=2,retry=20ms", { maxRetries: 3 });
      const recovered = await attempt(async () => (await generateText(once.args)).text);
      const results = {};
      for (const status of statuses) results[status] = await attempt(() => generateText(ask(m, "errors", "no", `status=${status}`).args));
      return { recovered, attempts: (await seen(once.tag)).length, results, mid: await read(ask(m, "errors", "x", "error=4").args) };
    }),
  abort: () =>
    each(async (m) => {
      const out = {};
      for (const [what, fault, stop] of [["mid", "pace=20ms,tokens=500", 3], ["before", "first=30s", Infinity]]) {
        const control = new AbortController();
        const a = ask(m, "abort", "long", fault, { abortSignal: control.signal });
        const pending = attempt(() => read(a.args, stop));
        if (stop === 3) await pending;
        else await arrived(a.tag);
        const at = Date.now();
        control.abort();
        out[what] = await left(a.tag, at);
        await pending;
      }
      return out;
    }),
  "slow upstream": () =>
    each(async (m) => {
      const slow = await read(ask(m, "slow", "slowly", "first=700ms,quiet=500ms,pace=30ms,tokens=10,ping=200ms").args);
      const a = ask(m, "slow", "slowly", "first=5s", { abortSignal: AbortSignal.timeout(1000) });
      return { slow, timeout: await attempt(() => generateText(a.args)), upstream: (await ended(a.tag)).map((q) => q.outcome) };
    }),
  "cut upstream": () =>
    each(async (m) => ({
      stream: await attempt(() => read(ask(m, "cut", "x", "cut=3,tokens=30").args)),
      whole: await attempt(() => generateText(ask(m, "cut", "x", "cut=3").args)),
      early: await attempt(() => read(ask(m, "cut", "x", "stop=3").args)),
    })),
  "large body": () =>
    each(async (m) => {
      const up = ask(m, "large", big(4 << 20));
      const whole = await generateText(up.args);
      const down = await generateText(ask(m, "large", "big", "body=2000000", { maxOutputTokens: 300000 }).args);
      return { usage: whole.usage, size: (await seen(up.tag))[0].size, down: digest(down.text), stream: digest((await read(ask(m, "large", "big", "body=2000000", { maxOutputTokens: 300000 }).args)).text) };
    }),
  concurrent: () => each((m) => many(24, (i) => read(ask(m, "many", `number ${i}`, `split=${5 + (i % 9)},tokens=${40 + i}`).args))),
});
