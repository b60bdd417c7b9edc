// How the console speaks to the API: same origin, cookie of the session, problem+json for what goes wrong.

export const base = "/api/v1";

/** An error of the API (RFC 9457), or of the way to it (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail = "",
    readonly code = "",
    readonly request = "",
    readonly retryAfter = 0,
    readonly fields: { field: string; says: string }[] = [],
  ) {
    super(detail || title);
  }
}

export interface Answer<T> {
  data: T;
  etag: string;
}

interface Options {
  method?: string;
  body?: unknown;
  etag?: string; // If-Match
  once?: string; // Idempotency-Key; "" for what changes nothing
  signal?: AbortSignal;
  as?: "json" | "text" | "blob";
}

let signedOut: () => void = () => {};

/** Sets what is called when the session turns out to have ended. */
export function onSignedOut(f: () => void): void {
  signedOut = f;
}

/** A random name for a write, so that repeating it does nothing twice. */
export function onceKey(): string {
  const b = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
}

/** Sends a request. Throws a Problem for every answer that is not a success. */
export async function send<T>(path: string, o: Options = {}): Promise<Answer<T>> {
  const method = o.method ?? "GET";
  const headers: Record<string, string> = { Accept: o.as === "text" ? "text/plain, application/problem+json" : "application/json, application/problem+json" };
  if (o.body !== undefined) headers["Content-Type"] = "application/json";
  if (o.etag) headers["If-Match"] = o.etag;
  const once = o.once ?? (method === "GET" ? "" : onceKey());
  if (once) headers["Idempotency-Key"] = once;
  let r: Response;
  try {
    r = await fetch(base + path, {
      method,
      headers,
      body: o.body === undefined ? undefined : JSON.stringify(o.body),
      signal: o.signal,
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new Problem(0, "The server cannot be reached", "Check that palladium is running and that this machine can reach it, then try again.");
  }
  if (!r.ok) {
    const p = await problem(r);
    if (r.status === 401 && !path.startsWith("/session")) signedOut();
    throw p;
  }
  const etag = r.headers.get("ETag") ?? "";
  if (r.status === 204) return { data: undefined as T, etag };
  if (o.as === "text") return { data: (await r.text()) as T, etag };
  if (o.as === "blob") return { data: (await r.blob()) as T, etag };
  return { data: (await r.json()) as T, etag };
}

async function problem(r: Response): Promise<Problem> {
  const request = r.headers.get("X-Request-Id") ?? "";
  const retry = Number(r.headers.get("Retry-After")) || 0;
  try {
    const p = await r.json();
    return new Problem(r.status, p.title || `Error ${r.status}`, p.detail ?? "", p.code ?? "", p.request ?? request, retry, p.errors ?? []);
  } catch {
    return new Problem(r.status, `Error ${r.status}`, "The server gave no reason that could be read.", "", request, retry);
  }
}

export const get = <T>(path: string, signal?: AbortSignal) => send<T>(path, { signal }).then((a) => a.data);

/** Sends a write, under a key of its own unless one is given. */
export const post = <T>(path: string, body?: unknown, once?: string) => send<T>(path, { method: "POST", body, once }).then((a) => a.data);

/** Asks something that needs a body, and changes nothing. */
export const ask = <T>(path: string, body: unknown, signal?: AbortSignal) => send<T>(path, { method: "POST", body, once: "", signal }).then((a) => a.data);

/** A request as a command line. The token is left to the reader's environment. */
export function curl(method: string, path: string, body?: unknown): string {
  const url = location.origin + base + path;
  const q = (s: string) => "'" + s.replaceAll("'", `'\\''`) + "'";
  const parts = ["curl", "-sS", '-H "Authorization: Bearer $PALLADIUM_TOKEN"'];
  if (method !== "GET") parts.push("-X " + method, "-H 'Idempotency-Key: '\"$(uuidgen)\"");
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", "-d " + q(JSON.stringify(body)));
  parts.push(q(url));
  return parts.join(" ");
}
