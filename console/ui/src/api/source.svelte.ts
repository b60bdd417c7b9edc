// What a view reads: kept while it is shown, shown at once when it is met again, fetched anew when it changed.

import { untrack } from "svelte";
import { get, Problem, send } from "./client";
import { live } from "./live.svelte";

interface Kept {
  data: unknown;
  etag: string;
}

const kept = new Map<string, Kept>();
const most = 300;

function keep(path: string, data: unknown, etag: string): void {
  kept.delete(path);
  kept.set(path, { data, etag });
  if (kept.size > most) kept.delete(kept.keys().next().value!);
}

/** Forgets all that was read: when the reader signs out or becomes another. */
export function forget(): void {
  kept.clear();
}

const aborted = (e: unknown) => e instanceof DOMException && e.name === "AbortError";

function asProblem(e: unknown): Problem {
  return e instanceof Problem ? e : new Problem(0, "The answer could not be read", String(e));
}

/** One object of the API. */
export class Source<T> {
  data = $state.raw<T | undefined>(undefined);
  etag = $state("");
  error = $state.raw<Problem | null>(null);
  loading = $state(false);
  path = $state<string | null>(null);
  #abort: AbortController | null = null;

  open(path: string | null): void {
    if (path !== this.path) {
      const known = path === null ? undefined : kept.get(path);
      this.path = path;
      this.data = known?.data as T | undefined;
      this.etag = known?.etag ?? "";
      this.error = null;
    }
    if (path !== null) void this.reload();
  }

  close(): void {
    this.#abort?.abort();
  }

  async reload(): Promise<void> {
    const path = this.path;
    if (path === null) return;
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    try {
      const a = await send<T>(path, { signal: abort.signal });
      if (abort.signal.aborted) return;
      this.put(a.data, a.etag);
      this.error = null;
    } catch (e) {
      if (aborted(e) || abort.signal.aborted) return;
      this.error = asProblem(e);
    } finally {
      if (!abort.signal.aborted) this.loading = false;
    }
  }

  /** Takes what a write returned as what is there now. */
  put(data: T, etag = ""): void {
    this.data = data;
    this.etag = etag;
    if (this.path !== null) keep(this.path, data, etag);
  }
}

/** Reads the object at a path for as long as the component lives; null reads nothing. */
export function source<T>(path: () => string | null): Source<T> {
  const s = new Source<T>();
  $effect.pre(() => {
    const p = path();
    untrack(() => s.open(p));
    if (p === null) return;
    const off = live.watch(p, () => void s.reload());
    return () => {
      off();
      s.close();
    };
  });
  return s;
}

export interface Page<T> {
  items: T[];
  next: string;
  total?: number;
}

/** A list of the API, page after page. */
export class Pages<T> {
  items = $state.raw<T[]>([]);
  next = $state("");
  total = $state<number | undefined>(undefined);
  error = $state.raw<Problem | null>(null);
  loading = $state(false);
  /** Whether a first page, even an empty one, is there. */
  ready = $state(false);
  path = $state<string | null>(null);
  #abort: AbortController | null = null;

  open(path: string | null): void {
    if (path !== this.path) {
      this.path = path;
      this.ready = false;
      this.items = [];
      this.next = "";
      this.total = undefined;
      this.error = null;
      const known = path === null ? undefined : (kept.get(path)?.data as Page<T> | undefined);
      if (known) this.#take(known, true);
    }
    if (path !== null) void this.reload();
  }

  close(): void {
    this.#abort?.abort();
  }

  /** Reads as many items anew as are there now, and puts them in the place of the old. */
  async reload(): Promise<void> {
    if (this.path === null) return;
    await this.#fetch(this.path, "", Math.max(this.items.length, 1));
  }

  /** Reads the next page. */
  async more(): Promise<void> {
    if (this.path === null || this.loading || this.next === "" || this.error) return;
    await this.#fetch(this.path, this.next, 1);
  }

  async retry(): Promise<void> {
    this.error = null;
    await (this.ready ? this.more() : this.reload());
  }

  async #fetch(path: string, cursor: string, want: number): Promise<void> {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    try {
      let got: T[] = cursor === "" ? [] : this.items;
      const all = got.length + want;
      let page: Page<T>;
      do {
        const at = cursor === "" ? path : path + (path.includes("?") ? "&" : "?") + "cursor=" + encodeURIComponent(cursor);
        page = await get<Page<T>>(at, abort.signal);
        if (abort.signal.aborted) return;
        got = [...got, ...page.items];
        cursor = page.next;
      } while (cursor !== "" && got.length < all);
      this.#take({ ...page, items: got }, true);
      this.error = null;
    } catch (e) {
      if (aborted(e) || abort.signal.aborted) return;
      this.error = asProblem(e);
    } finally {
      if (!abort.signal.aborted) this.loading = false;
    }
  }

  #take(p: Page<T>, ready: boolean): void {
    this.items = p.items;
    this.next = p.next;
    this.total = p.total ?? (p.next === "" ? p.items.length : undefined);
    this.ready = ready;
    if (this.path !== null) keep(this.path, p, "");
  }

  /** Puts changed items in the place of those they are of. */
  patch(same: (a: T) => boolean, item: T): boolean {
    const i = this.items.findIndex(same);
    if (i < 0) return false;
    this.items = this.items.with(i, item);
    return true;
  }
}

/** Reads the list at a path for as long as the component lives. With quiet, live change is left to the caller. */
export function pages<T>(path: () => string | null, how: { quiet?: boolean } = {}): Pages<T> {
  const s = new Pages<T>();
  $effect.pre(() => {
    const p = path();
    untrack(() => s.open(p));
    if (p === null) return;
    const off = how.quiet ? () => {} : live.watch(p, () => void s.reload());
    return () => {
      off();
      s.close();
    };
  });
  return s;
}
