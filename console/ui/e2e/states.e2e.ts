import { afterEach, describe, expect, test } from "vitest";
import { ids } from "./ids";
import { axe, open, password, person, real, settled, url, withBrowser, type Person } from "./harness";

withBrowser();
const people: Person[] = [];
afterEach(async () => {
  for (const p of people.splice(0)) await p.leave();
});
const as = async (...a: Parameters<typeof person>): Promise<Person> => {
  const p = await person(...a);
  people.push(p);
  return p;
};
const sees = (p: Person, what: RegExp) => p.page.waitForFunction((s) => new RegExp(s, "i").test(document.body.innerText.replaceAll("\u00a0", " ")), what.source, { timeout: 15_000 });
const { campaign, kase } = await ids();

describe("what goes wrong is said, and can be tried again", () => {
  test("the API fails", async () => {
    const p = await as({ user: "ana", allow: /503/ });
    let broken = true;
    await p.page.route(/\/api\/v1\/campaigns\?.*limit=100/, (r) => (broken ? r.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ type: "urn:palladium:problem:unavailable", title: "Unavailable", status: 503, code: "unavailable", detail: "The catalog does not answer.", request: "req-1" }) }) : r.continue()));
    await open(p, "/queue");
    await sees(p, /The catalog does not answer\.[^]*request req-1/);
    expect(await axe(p.page)).toEqual([]);
    broken = false;
    await p.page.getByRole("button", { name: "Try again" }).press("Enter");
    await p.page.waitForSelector("tr[data-i]");
    p.clean();
  });
  test("the server is gone", async () => {
    const p = await as({ user: "ana", allow: /ERR_INTERNET_DISCONNECTED/ });
    await open(p, "/queue");
    await p.context.setOffline(true);
    await p.page.keyboard.press("g");
    await p.page.keyboard.press("q");
    await p.page.keyboard.press("3");
    await sees(p, /The server cannot be reached/);
    await p.context.setOffline(false);
    await p.page.getByRole("button", { name: "Try again" }).press("Enter");
    await p.page.waitForSelector("tr[data-i]");
  });
  test("something is not there", async () => {
    const p = await as({ user: "ana", allow: /404/ });
    await open(p, "/campaigns/nothing-of-that-name");
    await sees(p, /Not there, or not for you/);
    p.clean();
  });
  test("a wrong password", async () => {
    const p = await as({ allow: /401/ });
    await open(p, "/ledger?q=x");
    await p.page.fill("input[name=username]", "vi");
    await p.page.fill("input[name=password]", "not it");
    await p.page.keyboard.press("Enter");
    await p.page.waitForSelector("[role=alert]");
    expect(await axe(p.page)).toEqual([]);
    await p.page.fill("input[name=password]", password);
    await p.page.keyboard.press("Enter");
    await p.page.waitForSelector("#main");
    expect(p.page.url()).toBe(url + "/ledger?q=x"); // to where it was asked for
    p.clean();
  });
  test("the session ends meanwhile", async () => {
    const p = await as({ user: "audit", allow: /401/ });
    await open(p, `/campaigns/${campaign}`);
    await p.context.clearCookies();
    await p.page.keyboard.press("2");
    await sees(p, /Your session has ended/);
    await p.page.fill("input[name=username]", "audit");
    await p.page.fill("input[name=password]", password);
    await p.page.keyboard.press("Enter");
    await p.page.waitForSelector("#main");
    expect(p.page.url()).toBe(`${url}/campaigns/${campaign}/evidence`);
    p.clean();
  });
});

describe("live", () => {
  test("another's work shows without a reload", async () => {
    const [ana, ben] = [await as({ user: "ana" }), await as({ user: "ben" })];
    await open(ana, "/queue?view=all");
    await sees(ana, new RegExp(campaign));
    await ben.page.goto(`${url}/campaigns/${campaign}`);
    await settled(ben.page);
    await ben.page.keyboard.press("a");
    await sees(ben, /It is yours/);
    await ana.page.waitForFunction((id) => /in progress/.test([...document.querySelectorAll("tr[data-i]")].find((r) => r.textContent?.includes(id))?.textContent ?? ""), campaign);
    await ben.page.keyboard.press("u");
    await ana.page.waitForFunction((id) => !/in progress/.test([...document.querySelectorAll("tr[data-i]")].find((r) => r.textContent?.includes(id))?.textContent ?? ""), campaign);
    ana.clean();
    ben.clean();
  });
});

describe("the address holds it all", () => {
  test("a reload shows the same", async () => {
    const p = await as({ user: "ana" });
    await open(p, "/queue");
    await p.page.keyboard.press("5");
    await p.page.selectOption("select", "size");
    await p.page.waitForTimeout(300);
    await settled(p.page);
    for (let i = 0; i < 6; i++) await p.page.keyboard.press("j");
    await p.page.waitForTimeout(300);
    const id = await p.page.evaluate(() => document.activeElement?.textContent);
    expect(p.page.url()).toMatch(/view=all.*sort=size.*at=/);
    await p.page.reload();
    await settled(p.page);
    await p.page.waitForFunction((want) => document.activeElement?.textContent === want, id);
    // Into the row, and back by the browser: on the row that was left.
    await p.page.keyboard.press("Enter");
    await p.page.waitForFunction(() => location.pathname.startsWith("/campaigns/"));
    await settled(p.page);
    await p.page.goBack();
    await p.page.waitForFunction((want) => document.activeElement?.textContent === want, id);
    p.clean();
  });
  test("a thousand rows: all can be reached, few are in the page", async () => {
    const p = await as({ user: "ana" });
    await open(p, "/queue?view=all");
    const total = Number(/([\d,]+)\s*campaigns?/.exec(await p.page.locator("main header").first().innerText())![1]!.replace(",", ""));
    for (let i = 0; i < 40; i++) {
      await p.page.keyboard.press("Shift+G");
      await p.page.waitForTimeout(120);
      const seen = await p.page.evaluate(() => Number(document.querySelector("tr.at")?.getAttribute("aria-rowindex") ?? 0));
      if (seen - 1 === total) break;
    }
    expect(await p.page.evaluate(() => Number(document.querySelector("tr.at")?.getAttribute("aria-rowindex")))).toBe(total + 1);
    expect(await p.page.locator("tr[data-i]").count()).toBeLessThan(60);
    expect(await p.page.locator("table").first().getAttribute("aria-rowcount")).toBe(String(total + 1));
    p.clean();
  });
});

describe("keys and looks", () => {
  test("the palette goes anywhere, and finds", async () => {
    const p = await as({ user: "ana" });
    await open(p, "/queue");
    await p.page.keyboard.press("Control+k");
    await p.page.keyboard.type("ledger");
    await p.page.keyboard.press("Enter");
    await p.page.waitForFunction(() => location.pathname === "/ledger");
    await p.page.keyboard.press("Control+k");
    await p.page.keyboard.type(campaign);
    await p.page.waitForSelector(`[role=option]:has-text("${campaign}")`);
    await p.page.keyboard.press("Enter");
    await p.page.waitForFunction((id) => location.pathname === "/campaigns/" + id, campaign);
    p.clean();
  });
  test("keys without a modifier can be turned off", async () => {
    const p = await as({ user: "ana" });
    await open(p, "/settings");
    await p.page.getByLabel(/Keys without a modifier/).press("Space");
    await p.page.goto(url + "/queue");
    await settled(p.page);
    await p.page.keyboard.press("j");
    await p.page.keyboard.press("?");
    expect(await p.page.locator("tr.at, dialog[open]").count()).toBe(0);
    await p.page.keyboard.press("Control+k");
    expect(await p.page.locator("dialog[open]").count()).toBe(1);
    p.clean();
  });
  test("light and dark by choice, kept", async () => {
    const p = await as({ user: "ana", theme: "light" });
    await open(p, "/queue");
    const paper = () => p.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const before = await paper();
    await p.page.keyboard.press("Shift+T");
    expect(await paper()).not.toBe(before);
    await p.page.reload();
    await settled(p.page);
    expect(await paper()).not.toBe(before);
    p.clean();
  });
  test("JSON and curl of what is shown", async () => {
    const p = await as({ user: "ana" });
    await p.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
    await open(p, `/campaigns/${campaign}`);
    await p.page.getByRole("button", { name: "More: JSON, curl, link" }).press("Enter");
    await p.page.keyboard.press("ArrowDown");
    await p.page.keyboard.press("Enter");
    await sees(p, /Command copied/);
    const text = await p.page.evaluate(() => navigator.clipboard.readText());
    expect(text).toContain(`${url}/api/v1/campaigns/${campaign}`);
    expect(text).toContain("$PALLADIUM_TOKEN");
    await p.page.getByRole("button", { name: "More: JSON, curl, link" }).press("Enter");
    await p.page.keyboard.press("Enter");
    await sees(p, /"operator_p"/);
    expect(await axe(p.page)).toEqual([]);
    p.clean();
  });
});

// What a stranger or a colleague may write must stay text, wherever it is shown.
test("script that was planted stays text", async () => {
  const evil = `"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\u202e{{7*7}}`;
  const p = await as({ user: "ana" });
  const send = (method: string, path: string, data: object, headers: Record<string, string> = {}) => p.context.request.fetch(url + "/api/v1" + path, { method, data, headers: { Origin: url, "Idempotency-Key": "evil-" + Math.random(), ...headers } });
  const etag = (await send("GET", `/campaigns/${campaign}`, {})).headers().etag ?? "";
  const labels = [`<img src=x onerror="window.pwned=1">`];
  expect((await send("PATCH", `/campaigns/${campaign}`, { labels }, { "If-Match": etag })).ok()).toBe(true);
  if (kase !== "undefined") expect((await send("POST", `/cases/${kase}/notes`, { text: evil })).ok()).toBe(true);
  for (const path of ["/queue?view=all", `/campaigns/${campaign}`, `/campaigns/${campaign}/history`, ...(kase === "undefined" ? [] : [`/cases/${kase}`]), `/queue?q=${encodeURIComponent(evil)}`, `/queue?label=${encodeURIComponent(evil)}`, `/hunt?f=${encodeURIComponent("organization:is:" + evil)}`, `/ledger?q=${encodeURIComponent(evil)}`, `/accounts?q=${encodeURIComponent(evil.slice(0, 100))}`]) {
    await open(p, path);
    expect(await p.page.evaluate(() => (window as { pwned?: number }).pwned)).toBeUndefined();
    expect(await p.page.locator("img").count()).toBe(0);
  }
  const now = (await send("GET", `/campaigns/${campaign}`, {})).headers().etag ?? "";
  await send("PATCH", `/campaigns/${campaign}`, { labels: [] }, { "If-Match": now });
  p.clean();
}, 120_000);

test("an entry of the ledger is verified here, and a bad one is found out", async () => {
  const p = await as({ user: "ana" });
  await open(p, "/ledger/2");
  await sees(p, /The entry is in the log, and the log is signed/);
  p.clean();
  // The server lies about the statement, then about the proof.
  await p.page.route(/\/ledger\/entries\/3$/, async (r) => {
    const a = await r.fetch();
    const body = await a.json();
    await r.fulfill({ response: a, json: { ...body, text: body.text + " " } });
  });
  await open(p, "/ledger/3");
  await sees(p, /It does not hold[^]*it is not the one that was logged/);
  await p.page.route(/\/ledger\/proof\/4$/, async (r) => {
    const a = await r.fetch();
    const lines = (await a.text()).split("\n");
    const end = lines.indexOf("");
    await r.fulfill({ response: a, body: [...lines.slice(0, end - 1), ...lines.slice(end)].join("\n") });
  });
  await open(p, "/ledger/4");
  await sees(p, /It does not hold[^]*fewer hashes than the tree has levels/);
});

test.skipIf(real)("a policy is checked before it can be stored", async () => {
  const p = await as({ user: "admin" });
  await open(p, "/policies/p-01?edit=1");
  const box = p.page.getByLabel("Text of the policy");
  const text = await box.inputValue();
  await box.fill(text.replace("when:", "whenn:"));
  await p.page.keyboard.press("Control+Enter");
  await sees(p, /unknown key "whenn"/);
  expect(await p.page.getByRole("button", { name: "Store this version" }).isDisabled()).toBe(true);
  await box.fill(text.replace("2026.1", "2026.2").replace("review_p: 0.05", "review_p: 0.04"));
  await p.page.keyboard.press("Control+Enter");
  await sees(p, /It holds, as revision 2026\.2/);
  await p.page.getByRole("button", { name: "Store this version" }).press("Enter");
  await sees(p, /Stored\. It is not in use yet/);
  await p.page.waitForFunction(() => !/edit=1/.test(location.search));
  await settled(p.page);
  expect(await p.page.getByRole("button", { name: "Put in use" }).isDisabled()).toBe(true); // who wrote it cannot
  p.clean();
});
