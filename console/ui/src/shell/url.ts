// Addresses of the console. All that a view shows is in the address, so that a link shows another person the same.

export interface Route {
  name: string;
  pattern: string; // segments; one that starts with : is a parameter
  title: string;
}

export interface Match {
  route: Route;
  params: Record<string, string>;
}

/** Finds the route of a path. Parameters are decoded; a path that cannot be decoded matches nothing. */
export function match(routes: Route[], path: string): Match | null {
  const parts = path.split("/").filter((s) => s !== "");
  for (const route of routes) {
    const want = route.pattern.split("/").filter((s) => s !== "");
    if (want.length !== parts.length) continue;
    const params: Record<string, string> = {};
    const fits = want.every((w, i) => {
      const got = decode(parts[i]!);
      if (got === null) return false;
      if (!w.startsWith(":")) return w === got;
      params[w.slice(1)] = got;
      return true;
    });
    if (fits) return { route, params };
  }
  return null;
}

function decode(s: string): string | null {
  try {
    return decodeURIComponent(s);
  } catch {
    return null;
  }
}

export type Values = Record<string, string | number | boolean | string[] | null | undefined>;

/** Writes a path with parameters in their places; every value is encoded as one segment. */
export function path(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  return strings.reduce((out, s, i) => out + s + (i < values.length ? encodeURIComponent(String(values[i])) : ""), "");
}

/** Writes a query. What is empty, null or false is left out; lists become a value for each item. */
export function query(values: Values): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(values)) {
    if (v == null || v === "" || v === false) continue;
    if (Array.isArray(v)) for (const x of v) q.append(k, x);
    else q.set(k, String(v));
  }
  const s = q.toString();
  return s === "" ? "" : "?" + s;
}

/** Returns search with some values changed; the others stay. */
export function patch(search: string, values: Values): string {
  const q = new URLSearchParams(search);
  for (const [k, v] of Object.entries(values)) {
    q.delete(k);
    if (v == null || v === "" || v === false) continue;
    if (Array.isArray(v)) for (const x of v) q.append(k, x);
    else q.set(k, String(v));
  }
  const s = q.toString();
  return s === "" ? "" : "?" + s;
}

/** An address within the console, or / for anything else: what may follow a sign-in. */
export function inside(url: string | null): string {
  if (!url || !url.startsWith("/") || url.startsWith("//") || url.includes("\\")) return "/";
  return url;
}
