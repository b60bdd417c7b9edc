import { existsSync } from "node:fs";
import type { TestProject } from "vitest/node";

// What stands for the whole run: a server of the world, unless PALLADIUM_URL names one that is running.
declare module "vitest" {
  export interface ProvidedContext {
    url: string;
    real: boolean;
  }
}

export function chromium(): string {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  if (!found) throw new Error("no Chromium is here: install it (Debian: apt-get install chromium), or name it in CHROMIUM");
  return found;
}

export default async function setup({ provide }: TestProject): Promise<(() => void) | void> {
  chromium();
  if (process.env.PALLADIUM_URL) {
    provide("url", process.env.PALLADIUM_URL.replace(/\/$/, ""));
    provide("real", true);
    return;
  }
  const { start } = (await import("../dev/server.mjs" as string)) as { start: (o: object) => Promise<{ url: string; close: () => void }> };
  const s = await start({ port: 0 });
  provide("url", s.url);
  provide("real", false);
  return s.close;
}
