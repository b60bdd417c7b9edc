// The cases with LangChain's chat models for OpenAI and Anthropic.
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { arrived, attempt, base, big, coarse, digest, ended, key, left, many, model, run, seen, setting, sleep, statuses, weather } from "./harness.mjs";

const name = "langchain";
const makers = {
  chat: (headers, more) => new ChatOpenAI({ model, apiKey: key, maxRetries: 0, configuration: { baseURL: `${base}/v1`, defaultHeaders: headers }, ...more }),
  responses: (headers, more) => new ChatOpenAI({ model, apiKey: key, maxRetries: 0, useResponsesApi: true, configuration: { baseURL: `${base}/v1`, defaultHeaders: headers }, ...more }),
  messages: (headers, more) => new ChatAnthropic({ model, apiKey: key, maxTokens: 900, maxRetries: 0, anthropicApiUrl: base, clientOptions: { defaultHeaders: headers }, ...more }),
};
const each = async (f) => {
  const out = {};
  for (const [road, make] of Object.entries(makers)) {
    out[road] = await attempt(() =>
      f((what, fault, more) => {
        const s = setting(name, what, fault);
        return { tag: s.tag, chat: make(s.headers, more) };
      }),
    );
  }
  return out;
};
const tools = [{ type: "function", function: { name: "weather", description: "weather", parameters: weather } }];

async function read(runnable, prompt, stopAt = Infinity, options = {}) {
  let whole, n = 0;
  for await (const k of await runnable.stream(prompt, options)) {
    whole = whole ? whole.concat(k) : k;
    if (k.text) n++;
    if (n >= stopAt) break;
  }
  return { text: whole?.text, deltas: n, usage: whole?.usage_metadata, calls: whole?.tool_calls, finish: whole?.response_metadata?.finish_reason ?? whole?.additional_kwargs?.stop_reason };
}

run(name, {
  plain: async () => ({
    ...(await each(async (open) => {
      const a = open("plain");
      const r = await a.chat.invoke("hello there");
      const [q] = await seen(a.tag);
      return { text: r.text, usage: r.usage_metadata, id: r.id, own: q.header["X-Own"], body: q.digest };
    })),
    embeddings: await attempt(async () => coarse(await new OpenAIEmbeddings({ model: "test-embedding", apiKey: key, configuration: { baseURL: `${base}/v1` } }).embedQuery("a b"))),
  }),
  stream: () => each((open) => read(open("stream", "split=5,tokens=40").chat, "tell me")),
  tools: () =>
    each(async (open) => {
      const first = await open("tools").chat.bindTools(tools).invoke("weather");
      const stream = await read(open("tools", "split=9").chat.bindTools(tools), "weather");
      const after = await open("tools").chat.bindTools(tools).invoke([new HumanMessage("weather"), first, ...first.tool_calls.map((c) => new ToolMessage({ content: "fine", tool_call_id: c.id }))]);
      return { first: first.tool_calls, stream, after: after.text };
    }),
  usage: () => each(async (open) => (await read(open("usage").chat, "count this please")).usage),
  "errors and retries": () =>
    each(async (open) => {
      const once = open("errors", "status=503,times=1,retry=20ms", { maxRetries: 3 });
      const recovered = await attempt(async () => (await once.chat.invoke("again")).text);
      const results = {};
      for (const status of statuses) results[status] = await attempt(async () => (await open("errors", `status=${status}`).chat.invoke("no")).text);
      return { recovered, attempts: (await seen(once.tag)).length, results, mid: await attempt(() => read(open("errors", "error=4").chat, "x")) };
    }),
  abort: () =>
    each(async (open) => {
      const out = {};
      for (const [what, fault, stop] of [["mid", "pace=20ms,tokens=500", 3], ["before", "first=30s", Infinity]]) {
        const control = new AbortController();
        const a = open("abort", fault);
        const pending = attempt(() => read(a.chat, "long", stop, { signal: control.signal }));
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
    each(async (open) => {
      const slow = await read(open("slow", "first=700ms,quiet=500ms,pace=30ms,tokens=10,ping=200ms").chat, "slowly");
      const a = open("slow", "first=5s");
      return { slow, timeout: await attempt(async () => (await a.chat.invoke("slowly", { timeout: 1000 })).text), upstream: (await ended(a.tag)).map((q) => q.outcome) };
    }),
  "cut upstream": () =>
    each(async (open) => ({
      stream: await attempt(() => read(open("cut", "cut=3,tokens=30").chat, "x")),
      whole: await attempt(async () => (await open("cut", "cut=3").chat.invoke("x")).text),
      early: await attempt(() => read(open("cut", "stop=3").chat, "x")),
    })),
  "large body": () =>
    each(async (open) => {
      const up = open("large");
      const whole = await up.chat.invoke(big(1 << 20));
      const down = await open("large", "body=120000", { maxTokens: 20000 }).chat.invoke("big");
      return { usage: whole.usage_metadata, size: (await seen(up.tag))[0].size, down: digest(down.text), stream: digest((await read(open("large", "body=1000000", { maxTokens: 200000 }).chat, "big")).text) };
    }),
  concurrent: () => each((open) => many(24, (i) => read(open("many", `split=${5 + (i % 9)},tokens=${40 + i}`).chat, `number ${i}`))),
});
