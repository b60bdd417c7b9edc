"""The cases with the Python packages openai and anthropic: what a program using them sees, a line for each case."""

import hashlib
import json
import os
import re
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

BASE, KEY, ROAD, UPSTREAM = (os.environ[n] for n in ("BASE", "KEY", "ROAD", "UPSTREAM"))
MODEL = os.environ.get("MODEL", "test-model")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]}
number = 0
lock = threading.Lock()


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def setting(client, case, fault=""):
    """Make the mark and the headers of one call."""
    global number
    with lock:
        number += 1
        tag = f"{ROAD}-{client}-{case}-{number}"
    return tag, {"x-upstream-fault": ",".join(filter(None, [fault, f"tag={tag}"])), "x-own": "kept"}


def seen(tag):
    with urllib.request.urlopen(f"{UPSTREAM}/_upstream/seen?tag={tag}") as r:
        return json.load(r)


def ended(tag, seconds=3):
    """Wait until the upstream saw the end of every request marked with tag."""
    until = time.time() + seconds
    while True:
        all = seen(tag)
        if all and all[-1]["outcome"] != "running" or time.time() > until:
            return all
        time.sleep(0.01)


def left(tag, at):
    """Say how the upstream saw a caller leave at the time at."""
    q = ended(tag)[-1]
    m = re.match(r"(.*?)(\.\d+)?Z$", q.get("ended", ""))
    if not m:
        return {"outcome": q["outcome"]}
    then = time.mktime(time.strptime(m[1], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(m[2] or 0)
    print(f"# {ROAD} {tag}: cancelled {1000 * (then - at):.0f} ms after the caller left", file=sys.stderr)
    return {"outcome": q["outcome"], "soon": then - at < 1}


def failure(e):
    headers = getattr(getattr(e, "response", None), "headers", {})
    return {
        "failed": type(e).__name__,
        "message": re.sub(r"req_[0-9a-f]+", "req_*", str(e)),
        "status": getattr(e, "status_code", None),
        "code": getattr(e, "code", None),
        "retryAfter": headers.get("retry-after"),
        "shouldRetry": headers.get("x-should-retry"),
        "requestId": bool(headers.get("x-request-id") or headers.get("request-id")),
    }


def attempt(f):
    try:
        return f()
    except Exception as e:  # noqa: BLE001 - what a program sees is the result
        return failure(e)


def many(n, f):
    with ThreadPoolExecutor(n) as pool:
        all = list(pool.map(lambda i: json.dumps(attempt(lambda: f(i)), sort_keys=True), range(n)))
    failed = [r for r in all if '"failed"' in r]
    return {"digest": digest("".join(all)), "different": len(set(all)), "failed": len(failed), "first": failed[0] if failed else None}


def big(n):
    return "a word and another, " * (n // 20)


class OpenAI:
    """Chat completions and responses, with the openai package."""

    name = "openai-python"

    def __init__(self):
        import openai

        self.sdk = openai

    def call(self, case, fault="", **more):
        tag, headers = setting(self.name, case, fault)
        return tag, self.sdk.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, default_headers=headers, **({"max_retries": 0, "timeout": 60} | more))

    def ask(self, client, text, **more):
        return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **more)

    def whole(self, client, text, **more):
        return self.ask(client, text, **more).choices[0].message.content

    def read(self, client, text, stop=None, **more):
        out = {"text": "", "deltas": 0, "finish": None, "usage": None, "empty": 0}
        with self.ask(client, text, stream=True, **more) as stream:
            for k in stream:
                if k.usage:
                    out["usage"] = k.usage.model_dump()
                if not k.choices:
                    out["empty"] += 1
                    continue
                if k.choices[0].delta.content:
                    out["text"] += k.choices[0].delta.content
                    out["deltas"] += 1
                out["finish"] = k.choices[0].finish_reason or out["finish"]
                if stop and out["deltas"] >= stop:
                    break
        return out

    def plain(self):
        tag, c = self.call("plain")
        raw = c.chat.completions.with_raw_response.create(model=MODEL, messages=[{"role": "user", "content": "hello there"}])
        q = seen(tag)[0]
        responses = self.call("plain")[1].responses.create(model=MODEL, input="hello there")
        vector = self.call("plain")[1].embeddings.create(model=MODEL, input="a b").data[0].embedding
        vector = [round(x, 1) for x in vector]  # the policy rounds too, to more places
        return {
            "chat": raw.parse().model_dump(), "request": raw.headers.get("x-request-id"), "limit": "x-ratelimit-remaining-tokens" in raw.headers,
            "own": q["header"].get("X-Own"), "agent": q["header"].get("User-Agent"), "body": q["digest"], "responses": responses.model_dump(),
            "vector": vector, "models": [m.id for m in self.call("plain")[1].models.list()],
        }

    def stream(self):
        kinds = [e.type for e in self.call("stream", "split=7,unknown")[1].responses.create(model=MODEL, input="x", stream=True)]
        return {"split": self.read(self.call("stream", "split=5,tokens=40")[1], "tell me"), "crlf": self.read(self.call("stream", "crlf,join=4")[1], "tell me"), "responses": kinds}

    def tools(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
        whole = self.ask(self.call("tools")[1], "weather", tools=tools).choices[0].model_dump()
        tag, c = self.call("tools", "split=9")
        with c.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": "weather"}], tools=tools) as s:
            for _ in s:
                pass
            final = s.get_final_completion().choices[0].model_dump()
        return {"whole": whole, "stream": final}

    def usage(self):
        return {
            "asked": self.read(self.call("usage")[1], "count this", stream_options={"include_usage": True}),
            "silent": self.read(self.call("usage")[1], "count this"),
            "whole": self.ask(self.call("usage")[1], "count this", max_tokens=5).usage.model_dump(),
        }


class Anthropic:
    """Messages, with the anthropic package."""

    name = "anthropic-python"

    def __init__(self):
        import anthropic

        self.sdk = anthropic

    def call(self, case, fault="", **more):
        tag, headers = setting(self.name, case, fault)
        return tag, self.sdk.Anthropic(base_url=BASE, api_key=KEY, default_headers=headers, **({"max_retries": 0, "timeout": 60} | more))

    def ask(self, client, text, **more):
        return client.messages.create(**({"model": MODEL, "max_tokens": 900, "messages": [{"role": "user", "content": text}]} | more))

    def whole(self, client, text, **more):
        return self.ask(client, text, **more).content[0].text

    def read(self, client, text, stop=None, **more):
        out = {"text": "", "deltas": 0, "kinds": [], "usage": None}
        with self.ask(client, text, stream=True, **more) as stream:
            for e in stream:
                out["kinds"].append(e.type)
                if e.type == "content_block_delta":
                    out["text"] += getattr(e.delta, "text", "") or getattr(e.delta, "partial_json", "")
                    out["deltas"] += 1
                if e.type == "message_delta":
                    out["usage"] = e.usage.model_dump()
                if stop and out["deltas"] >= stop:
                    break
        return out

    def plain(self):
        tag, c = self.call("plain")
        raw = c.messages.with_raw_response.create(model=MODEL, max_tokens=99, messages=[{"role": "user", "content": "hello there"}])
        q = seen(tag)[0]
        counted = self.call("plain")[1].messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "one two"}])
        return {
            "message": raw.parse().model_dump(), "request": raw.headers.get("request-id"), "limit": "anthropic-ratelimit-requests-remaining" in raw.headers,
            "own": q["header"].get("X-Own"), "version": q["header"].get("Anthropic-Version"), "body": q["digest"], "counted": counted.input_tokens,
            "models": [m.id for m in self.call("plain")[1].models.list()],
        }

    def stream(self):
        return {"split": self.read(self.call("stream", "split=5,tokens=40")[1], "tell me"), "odd": self.read(self.call("stream", "crlf,join=4,unknown")[1], "tell me")}

    def tools(self):
        tools = [{"name": "weather", "input_schema": WEATHER}]
        whole = self.ask(self.call("tools")[1], "weather", tools=tools).model_dump()
        return {"whole": whole, "stream": self.read(self.call("tools", "split=9")[1], "weather", tools=tools)}

    def usage(self):
        return {"whole": self.ask(self.call("usage")[1], "count this", max_tokens=5).usage.model_dump(), "stream": self.read(self.call("usage")[1], "count this")}


def errors(c):
    once, client = c.call("errors", "status=429,times=2,retry=20ms", max_retries=3)
    recovered = attempt(lambda: c.whole(client, "again"))
    never, client = c.call("errors", "status=500,noretry", max_retries=2)
    told = attempt(lambda: c.whole(client, "again"))
    results = {s: attempt(lambda: c.whole(c.call("errors", f"status={s}")[1], "no")) for s in (400, 403, 404, 409, 413, 422, 429, 500, 502, 529)}
    mid = attempt(lambda: c.read(c.call("errors", "error=4")[1], "x"))
    return {"recovered": recovered, "attempts": len(seen(once)), "told": told, "toldAttempts": len(seen(never)), "results": results, "mid": mid}


def abort(c):
    tag, client = c.call("abort", "pace=20ms,tokens=500")
    c.read(client, "long", stop=3)
    out = {"mid": left(tag, time.time())}
    for what, fault in (("before", "first=30s"), ("quiet", "quiet=30s")):
        tag, client = c.call("abort", fault, timeout=1)
        at = time.time() + 1
        told = attempt(lambda: c.read(client, "long"))
        out[what] = {"told": told, "seen": left(tag, at)}
    return out


def slow(c):
    paced = c.read(c.call("slow", "first=700ms,quiet=500ms,pace=30ms,tokens=15,ping=200ms")[1], "slowly")
    tag, client = c.call("slow", "first=5s", timeout=1)
    return {"slow": paced, "timeout": attempt(lambda: c.whole(client, "slowly")), "upstream": [q["outcome"] for q in ended(tag)]}


def cut(c):
    return {
        "stream": attempt(lambda: c.read(c.call("cut", "cut=3,tokens=30")[1], "x")),
        "whole": attempt(lambda: c.whole(c.call("cut", "cut=3")[1], "x")),
        "early": attempt(lambda: c.read(c.call("cut", "stop=3")[1], "x")),
    }


def large(c):
    tag, client = c.call("large")
    up = c.whole(client, big(4 << 20))
    down = c.whole(c.call("large", "body=120000")[1], "big", max_tokens=20_000)
    stream = c.read(c.call("large", "body=2000000")[1], "big", max_tokens=300_000)
    return {"up": up, "size": seen(tag)[0]["size"], "down": digest(down), "stream": digest(stream["text"])}


def concurrent(c):
    return many(24, lambda i: c.read(c.call("many", f"split={5 + i % 9},tokens={40 + i}")[1], f"number {i}"))


def main():
    for kind in (OpenAI, Anthropic):
        c = kind()
        cases = {
            "plain": c.plain, "stream": c.stream, "tools": c.tools, "usage": c.usage, "errors and retries": lambda: errors(c), "abort": lambda: abort(c),
            "slow upstream": lambda: slow(c), "cut upstream": lambda: cut(c), "large body": lambda: large(c), "concurrent": lambda: concurrent(c),
        }
        for name, f in cases.items():
            if os.environ.get("CASE", name) == name:
                print(f"{c.name}\t{name}\t{json.dumps(attempt(f), ensure_ascii=False, default=str)}", flush=True)


main()
