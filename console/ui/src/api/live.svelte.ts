import { base } from "./client";
import type { Event } from "./gen/schema";
import { Reader } from "./stream";

/** The first part of an event's kind, and which objects of the API may have changed by it. */
const touches: Record<string, string[]> = {
  campaign: ["campaigns", "linked"],
  decision: ["decisions", "verdicts", "campaigns", "accounts", "approvals", "notices", "system"],
  verdict: ["decisions", "verdicts", "campaigns", "accounts"],
  approval: ["approvals", "decisions", "campaigns", "policies"],
  appeal: ["appeals", "accounts", "campaigns", "system"],
  case: ["cases"],
  policy: ["policies", "approvals", "system"],
  allow: ["allow", "accounts", "approvals"],
  credential: ["credentials"],
  artifact: ["artifacts"],
  user: ["users"],
  token: ["tokens"],
};

const quiet = 4_000; // milliseconds between two readings of one thing: some readings are written to the ledger

/** Live change. One stream for the page; what is shown is read anew when an event touches it. */
class Live {
  /** on: events arrive; off: nobody is signed in; lost: the stream broke and is being opened again. */
  state = $state<"on" | "off" | "lost">("off");
  /** The newest event. */
  last = $state.raw<Event | null>(null);
  #watched = new Map<string, Set<() => void>>();
  #due = new Map<string, number>(); // path -> time of the last reading
  #timers = new Map<string, number>();
  #abort: AbortController | null = null;
  #after = "";
  #listeners = new Set<(e: Event) => void>();

  /** Calls reload when what the path names may have changed. Returns what ends it. */
  watch(path: string, reload: () => void): () => void {
    const set = this.#watched.get(path) ?? new Set();
    set.add(reload);
    this.#watched.set(path, set);
    this.#due.set(path, Date.now());
    return () => {
      set.delete(reload);
      if (set.size === 0) {
        this.#watched.delete(path);
        this.#due.delete(path);
        clearTimeout(this.#timers.get(path));
        this.#timers.delete(path);
      }
    };
  }

  /** Calls f for each event. Returns what ends it. */
  listen(f: (e: Event) => void): () => void {
    this.#listeners.add(f);
    return () => this.#listeners.delete(f);
  }

  start(): void {
    if (this.#abort) return;
    const abort = (this.#abort = new AbortController());
    void this.#run(abort.signal);
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.#after = "";
    this.state = "off";
  }

  /** What the reader's own write has touched is read anew at once, stream or not. */
  touched(kind: string): void {
    for (const path of this.#watched.keys()) if (concerns(kind, [], path)) this.#reload(path, 0);
  }

  async #run(signal: AbortSignal): Promise<void> {
    let wait = 500;
    while (!signal.aborted) {
      try {
        const r = await fetch(base + "/events" + (this.#after ? "?after=" + this.#after : ""), { headers: { Accept: "text/event-stream" }, signal, credentials: "same-origin" });
        if (r.status === 401 || r.status === 403) return;
        if (!r.ok || !r.body) throw new Error("no stream");
        this.state = "on";
        wait = 500;
        const reader = new Reader();
        const text = r.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
          const { done, value } = await text.read();
          if (done) break;
          for (const m of reader.push(value)) this.#take(m.id, m.data);
        }
      } catch {
        if (signal.aborted) return;
      }
      this.state = "lost";
      await new Promise((done) => setTimeout(done, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, 30_000);
    }
  }

  #take(id: string, data: string): void {
    if (id) this.#after = id;
    let e: Event;
    try {
      e = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof e?.kind !== "string" || e.kind.startsWith("read.")) return;
    this.last = e;
    for (const f of this.#listeners) f(e);
    for (const path of this.#watched.keys()) if (concerns(e.kind, subjects(e), path)) this.#reload(path, quiet);
  }

  #reload(path: string, gap: number): void {
    if (this.#timers.has(path)) return;
    const wait = Math.max((this.#due.get(path) ?? 0) + gap - Date.now(), gap === 0 ? 0 : 300);
    this.#timers.set(
      path,
      window.setTimeout(() => {
        this.#timers.delete(path);
        this.#due.set(path, Date.now());
        for (const f of this.#watched.get(path) ?? []) f();
      }, wait),
    );
  }
}

/** What an event is about: its subject, further ones where the reader may see them, and the campaign that it concerns. */
export function subjects(e: Event): string[] {
  return [e.subject ?? "", ...(e.refs ?? []), ...(e.campaign ? ["campaign:" + e.campaign] : [])];
}

/** Whether an event of a kind about subjects may change what a path of the API gives. */
export function concerns(kind: string, subjects: string[], path: string): boolean {
  const [noun = ""] = kind.split(".");
  const [where = "", query] = path.split("?");
  const [collection = "", id] = where.split("/").filter(Boolean).map(decodeURIComponent);
  if (!touches[noun]?.includes(collection)) return false;
  // A subject of a kind says which one of it; without such a subject any may be meant.
  const about = (kind: string, id: string | null | undefined) => {
    const own = id ? subjects.filter((s) => s.startsWith(kind + ":")) : [];
    return own.length === 0 || own.includes(kind + ":" + id);
  };
  const asked = new URLSearchParams(query);
  return about(collection.replace(/ies$/, "y").replace(/s$/, ""), id) && ["campaign", "decision"].every((name) => about(name, asked.get(name)));
}

export const live = new Live();
