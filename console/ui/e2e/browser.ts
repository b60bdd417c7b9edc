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
  // A case, where there is none, so that there is one to look at.
  const ana = { Origin: url, Cookie: `${out.ana!.name}=${out.ana!.value}`, "Content-Type": "application/json" };
  const items = async (path: string) => ((await (await fetch(url + "/api/v1" + path, { headers: ana })).json()) as { items: { id: string }[] }).items;
  const [campaign] = await items("/campaigns?limit=1");
  if (campaign && (await items("/cases?limit=1")).length === 0) await fetch(url + "/api/v1/cases", { method: "POST", headers: { ...ana, "Idempotency-Key": "a-case-to-look-at" }, body: JSON.stringify({ campaign: campaign.id, assignee: "me", note: "Asked the payment provider." }) });
  return out;
}

/** Makes the people of a site that nobody has entered yet, from the bootstrap token that it printed. */
async function settle(url: string, token: string): Promise<void> {
  let n = 0;
  const send = async (path: string, body: object, cookie = ""): Promise<{ body: { invitation: string }; cookie: string }> => {
    const r = await fetch(url + "/api/v1" + path, { method: "POST", headers: { "Content-Type": "application/json", Origin: url, "Idempotency-Key": `settle-people-${++n}`, ...(cookie ? { Cookie: cookie } : {}) }, body: JSON.stringify(body) });
    if (!r.ok) throw new Error(`set up the people of ${url}: ${path}: ${r.status} ${await r.text()}`);
    return { body: (await r.json()) as { invitation: string }, cookie: (r.headers.get("set-cookie") ?? "").split(";")[0]! };
  };
  const admin = await send("/session/setup", { token, user: "admin", password });
  for (const [name, role] of Object.entries(people).filter(([, role]) => role !== "admin")) {
    const made = await send("/users", { name, role }, admin.cookie);
    await send("/session/setup", { token: made.body.invitation, password });
  }
}

export default async function setup({ provide }: TestProject): Promise<(() => void) | void> {
  chromium();
  if (process.env.PALLADIUM_URL) {
    const url = process.env.PALLADIUM_URL.replace(/\/$/, "");
    if (process.env.PALLADIUM_OIDC) {
      provide("url", url);
      provide("real", true);
      provide("sessions", {});
      return;
    }
    if (process.env.PALLADIUM_BOOTSTRAP) await settle(url, process.env.PALLADIUM_BOOTSTRAP);
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
