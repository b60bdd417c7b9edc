import { existsSync } from "node:fs";
import type { TestProject } from "vitest/node";

// What stands for the whole run: a server of the world, unless PALLADIUM_URL names one that is running.
declare module "vitest" {
  export interface ProvidedContext {
    url: string;
    real: boolean;
    sessions: Record<string, { name: string; value: string }>;
  }
}

export function chromium(): string {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  if (!found) throw new Error("no Chromium is here: install it (Debian: apt-get install chromium), or name it in CHROMIUM");
  return found;
}

export const password = process.env.PALLADIUM_PASSWORD ?? "correct horse battery";

/** Who works in the world, by what they are: a running site needs these users, with the password above. */
const people = { ana: "analyst", ben: "approver", cy: "approver", admin: "admin", audit: "auditor", vi: "viewer" };

/** Signs everybody in once: whoever signs in too often has to wait. */
async function sessions(url: string, real: boolean): Promise<Record<string, { name: string; value: string }>> {
  const out: Record<string, { name: string; value: string }> = {};
  for (const [user, role] of Object.entries(people)) {
    const totp = !real && user === "ben" ? { totp: "123456" } : {};
    const r = await fetch(url + "/api/v1/session", { method: "POST", headers: { "Content-Type": "application/json", Origin: url }, body: JSON.stringify({ user, password, ...totp }) });
    if (!r.ok) throw new Error(`${user} (${role}) cannot sign in at ${url}: ${r.status} ${await r.text()}`);
    const [name = "", value = ""] = (r.headers.get("set-cookie") ?? "").split(";")[0]!.split("=");
    out[user] = { name, value };
  }
  return out;
}

export default async function setup({ provide }: TestProject): Promise<(() => void) | void> {
  chromium();
  if (process.env.PALLADIUM_URL) {
    const url = process.env.PALLADIUM_URL.replace(/\/$/, "");
    provide("url", url);
    provide("real", true);
    provide("sessions", await sessions(url, true));
    return;
  }
  const { start } = (await import("../dev/server.mjs" as string)) as { start: (o: object) => Promise<{ url: string; close: () => void }> };
  const s = await start({ port: 0 });
  provide("url", s.url);
  provide("real", false);
  provide("sessions", await sessions(s.url, false));
  return s.close;
}
