import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject } from "vitest";
import { chromium as executable } from "./browser";

export { password } from "./browser";
export const sessions = inject("sessions");
export const url = inject("url");
export const real = inject("real");

let browser: Browser;
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Starts the browser for the tests of a file. */
export function withBrowser(): void {
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: executable(),
      // No sandbox, as containers give none. Nothing of the browser's own may reach for the network; WebGL in software.
      args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    });
  });
  afterAll(() => browser?.close());
}

/** A person at a browser. What goes wrong while they are there is remembered. */
export interface Person {
  page: Page;
  context: BrowserContext;
  wrong: string[];
  hosts: Set<string>;
  /** Fails when an error was logged, a request failed, or another host was asked. */
  clean: () => void;
  leave: () => Promise<void>;
}

export interface Setting {
  theme?: "light" | "dark";
  width?: number;
  height?: number;
  user?: string; // nobody is signed in without
  allow?: RegExp; // of what goes wrong on purpose
}

export async function person(s: Setting = {}): Promise<Person> {
  const context = await browser.newContext({ viewport: { width: s.width ?? 1440, height: s.height ?? 900 }, colorScheme: s.theme ?? "light", reducedMotion: "reduce", ignoreHTTPSErrors: !!process.env.PALLADIUM_OIDC });
  if (s.user) await context.addCookies([{ ...sessions[s.user]!, url }]);
  const page = await context.newPage();
  const wrong: string[] = [];
  const hosts = new Set<string>();
  const add = (text: string) => !s.allow?.test(text) && wrong.push(text);
  page.on("console", (m) => (m.type() === "error" || m.type() === "warning") && add(`console: ${m.text()}`));
  page.on("pageerror", (e) => add(`error: ${e.message}`));
  page.on("requestfailed", (r) => !/ERR_ABORTED/.test(r.failure()?.errorText ?? "") && add(`failed: ${r.url()} ${r.failure()?.errorText}`));
  page.on("response", (r) => r.status() >= 400 && add(`status ${r.status()}: ${r.url()}`));
  page.on("request", (r) => r.url().startsWith("http") && hosts.add(new URL(r.url()).origin));
  return {
    page, context, wrong, hosts,
    clean: () => {
      expect(wrong).toEqual([]);
      expect([...hosts].filter((h) => h !== url)).toEqual([]);
    },
    leave: () => context.close(),
  };
}

/** Goes to a view and waits until it shows something that is no placeholder. */
export async function open(p: Person, path: string): Promise<void> {
  await p.page.goto(url + path);
  await settled(p.page);
}

/** Waits until nothing loads any more. */
export async function settled(page: Page): Promise<void> {
  await page.waitForSelector("h1");
  await page.waitForFunction(() => !document.querySelector(".waiting, [aria-busy=true]"), undefined, { timeout: 20_000 });
  await page.waitForTimeout(60);
}

/** What axe finds, in a line each: rule, and where. */
export async function axe(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: (c: Document, o: object) => Promise<{ violations: { id: string; help: string; nodes: { target: unknown[]; failureSummary?: string }[] }[] }> } };
    const r = await axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return r.violations.map((v) => `${v.id} (${v.help}): ${v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + (n.failureSummary ?? "").split("\n")[1]).join(" | ")}`);
  });
}
