import { afterEach, expect, test } from "vitest";
import { ids } from "./ids";
import { axe, password, person, real, sessions, settled, url, withBrowser, type Person } from "./harness";

// The whole way of a decision, by keyboard alone: no mouse moves and nothing is pressed with one.
withBrowser();
const people: Person[] = [];
afterEach(async ({ task }) => {
  for (const [i, p] of people.splice(0).entries()) {
    if (task.result?.state === "fail") await p.page.screenshot({ path: `e2e/out/${task.name.replace(/\W+/g, "-")}-${i}.png` }).catch(() => {});
    await p.leave();
  }
});

async function press(p: Person, ...keys: string[]): Promise<void> {
  for (const k of keys) await p.page.keyboard.press(k);
}

async function signIn(user: string, at = "/queue"): Promise<Person> {
  const p = await person({ allow: /401|totp/ });
  people.push(p);
  await p.page.goto(url + at);
  await p.page.waitForSelector("input[name=username]");
  await press(p, "Tab");
  while ((await focused(p)).name !== "username") await press(p, "Tab");
  await p.page.keyboard.type(user);
  await press(p, "Tab");
  await p.page.keyboard.type(password);
  await press(p, "Enter");
  await p.page.waitForFunction(() => document.querySelector("#main") || document.querySelector("input[name=totp]"));
  if (await p.page.locator("input[name=totp]").count()) {
    await p.page.waitForFunction(() => (document.activeElement as HTMLInputElement)?.name === "totp");
    await p.page.keyboard.type("123456");
    await press(p, "Enter");
  }
  await p.page.waitForSelector("#main");
  await settled(p.page);
  return p;
}

const focused = (p: Person) => p.page.evaluate(() => ({ name: (document.activeElement as HTMLInputElement)?.name ?? "", text: document.activeElement?.textContent?.trim() ?? "", tag: document.activeElement?.tagName ?? "", cls: document.activeElement?.className ?? "" }));

/** Presses a key until what has focus says what is wanted. */
async function until(p: Person, key: string, want: RegExp, most = 60): Promise<void> {
  for (let i = 0; i < most; i++) {
    await press(p, key);
    await p.page.waitForTimeout(30);
    if (want.test((await focused(p)).text)) return;
  }
  throw new Error(`${key} never led to ${want}; focus is on ${JSON.stringify(await focused(p))}`);
}

const main = async (p: Person) => (await p.page.locator("main").innerText()).replaceAll("\u00a0", " "); // no-break spaces are a matter of looks
const sees = (p: Person, what: RegExp) => p.page.waitForFunction((s) => new RegExp(s, "i").test(document.body.innerText.replaceAll("\u00a0", " ")), what.source, { timeout: 15_000 });
const at = (p: Person, path: RegExp) => p.page.waitForFunction((s) => new RegExp(s).test(location.pathname), path.source);

test("from the queue to enforced, appealed, and restored", async () => {
  const { campaign } = await ids();
  const ana = await signIn("ana");

  // Queue: to the row, and into it.
  await until(ana, "j", new RegExp(`^${campaign}$`));
  await press(ana, "Enter");
  await at(ana, new RegExp(`^/campaigns/${campaign}$`));
  await settled(ana.page);
  expect((await focused(ana)).text).toContain(campaign);

  // Decide: choose the measure, read the effect, say why.
  await press(ana, "d");
  await at(ana, /decide$/);
  await settled(ana.page);
  await press(ana, "m");
  for (let i = 0; i < 8 && !/measure=withhold/.test(ana.page.url()); i++) await press(ana, "ArrowDown");
  await sees(ana, /requests of [\d,]+ accounts would have got no log probabilities/);
  await press(ana, "w");
  await ana.page.keyboard.type("Between these days many accounts of one operator sent the same templates. Write to us to be cleared.");
  expect(await main(ana)).toContain("Write to us to be cleared.");
  await press(ana, "Control+Enter");
  await at(ana, new RegExp(`^/campaigns/${campaign}$`));
  await sees(ana, /Withhold on [\d,]+ accounts?: (in force|recorded in shadow)/);
  await settled(ana.page);

  // The exact verdicts; one of the accounts, and what it was told.
  await press(ana, "5");
  await at(ana, /verdicts$/);
  await settled(ana.page);
  await until(ana, "j", /^acct|^[a-z0-9]/i);
  const account = (await focused(ana)).text;
  await press(ana, "Enter");
  await at(ana, /^\/accounts\//);
  await settled(ana.page);
  expect(await main(ana)).toContain("Withhold");
  const inForce = async (p: Person) => [...(await main(p)).matchAll(/(enforced|shadow)\s+Withhold/gi)].length;
  const before = await inForce(ana);
  const ref = /appeal reference\s+(\S+)/.exec(await main(ana))?.[1] ?? "";
  expect(ref).not.toBe("");

  // The account holder, who is nobody here.
  const holder = await person();
  people.push(holder);
  await holder.page.goto(`${url}/appeal/${ref}`);
  await holder.page.waitForSelector("textarea");
  while ((await focused(holder)).name !== "text") await press(holder, "Tab");
  await holder.page.keyboard.type("We are a class; the template is our teacher's. <b>Ask</b> her.");
  await press(holder, "Tab");
  await holder.page.keyboard.type("class@school.example");
  await press(holder, "Tab", "Enter");
  await sees(holder, /Your objection/);

  // Another person than the decider reviews and overturns.
  const ben = await signIn("ben");
  await press(ben, "g", "e");
  await at(ben, /^\/appeals$/);
  await settled(ben.page);
  await until(ben, "j", /We are a class/);
  await press(ben, "Enter");
  await at(ben, /^\/appeals\//);
  await settled(ben.page);
  expect(await main(ben)).toContain("<b>Ask</b> her.");
  await press(ben, "a");
  await sees(ben, /You review it/);
  await settled(ben.page);
  await press(ben, "d", "Space");
  await sees(ben, /for this account/);
  while ((await focused(ben)).tag !== "TEXTAREA") await press(ben, "Tab");
  await ben.page.keyboard.type("You were right, and access is back. We are sorry.");
  await press(ben, "Control+Enter");
  await sees(ben, /Overturned: access is given back/);
  expect(await main(ben)).toContain("access given back");

  // The holder reads the answer; the account is as before.
  await holder.page.reload();
  await sees(holder, /You were right, and access is back/);
  await ben.page.goto(`${url}/accounts/${account}`);
  await settled(ben.page);
  expect(await main(ben)).toMatch(/revoked\s+Withhold/i);
  expect(await inForce(ben)).toBe(before - 1);
  ana.clean();
  holder.clean();
  ben.clean();
}, 180_000);

test("a measure that refuses needs a second person, and can be undone", async () => {
  const { campaign } = await ids();
  const ana = await signIn("ana", `/campaigns/${campaign}`);
  await press(ana, "d");
  await at(ana, /decide$/);
  await settled(ana.page);
  await press(ana, "m");
  for (let i = 0; i < 8 && !/measure=suspend/.test(ana.page.url()); i++) await press(ana, "ArrowDown");
  await sees(ana, /this measure always does/);
  await press(ana, "w");
  await ana.page.keyboard.type("The accounts are one operator and extract.");
  await sees(ana, /would have been refused/);
  await press(ana, "Control+Enter");
  await sees(ana, /a second person has to agree/);

  // Who asked cannot agree.
  await press(ana, "g", "p");
  await at(ana, /^\/approvals$/);
  await settled(ana.page);
  await until(ana, "j", /^Suspend on [\d,]+.accounts?/);
  await press(ana, "Enter");
  await at(ana, /^\/approvals\//);
  await settled(ana.page);
  expect(await main(ana)).toContain("You asked for this yourself");
  expect(await axe(ana.page)).toEqual([]);

  const cy = await signIn("cy", new URL(ana.page.url()).pathname);
  expect(await main(cy)).toContain("What speaks against it");
  await press(cy, "d");
  await cy.page.keyboard.type("I read both sides.");
  await press(cy, "Tab");
  expect((await focused(cy)).text).toBe("Agree");
  await press(cy, "Enter");
  await sees(cy, /Agreed\. It is in force now/);

  // It arrives at the asker by itself, and she undoes it.
  await ana.page.goto(`${url}/campaigns/${campaign}`);
  await settled(ana.page);
  expect(await main(ana)).toMatch(/Suspend/);
  expect(await main(ana)).toMatch(/ends in 7\sdays/);
  await press(ana, "u");
  await ana.page.waitForSelector("dialog");
  await ana.page.keyboard.type("The customer has verified itself");
  await press(ana, "Enter");
  await sees(ana, /Undone\. All that it took is given back/);
  await ana.page.goto(`${url}/campaigns/${campaign}/history`);
  await settled(ana.page);
  expect(await main(ana)).toMatch(/undid a decision/);
  ana.clean();
  cy.clean();
}, 180_000);

// With the gateway's address in PALLADIUM_GATEWAY: what the account holder's own program sees of it all.
const gateway = process.env.PALLADIUM_GATEWAY?.replace(/\/$/, "");
test.runIf(real && gateway)("suspended: refused by the gateway, heard while blocked, let in again", async () => {
  const { campaign } = await ids();
  const ana = await signIn("ana", `/campaigns/${campaign}/decide`);
  await press(ana, "m");
  for (let i = 0; i < 8 && !/measure=suspend/.test(ana.page.url()); i++) await press(ana, "ArrowDown");
  await sees(ana, /this measure always does/);
  await press(ana, "w");
  await ana.page.keyboard.type("These accounts are one operator and extract.");
  await sees(ana, /would have been refused/);
  await press(ana, "Control+Enter");
  await sees(ana, /a second person has to agree/);
  const cy = await signIn("cy", "/approvals");
  await until(cy, "j", /^Suspend on [\d,]+.accounts? of campaign/);
  await press(cy, "Enter");
  await at(cy, /^\/approvals\//);
  await settled(cy.page);
  await press(cy, "d");
  await cy.page.keyboard.type("I read both sides.");
  await press(cy, "Tab", "Enter");
  await sees(cy, /Agreed\. It is in force now/);

  // One of the accounts, with a key of its own.
  await ana.page.goto(`${url}/campaigns/${campaign}/verdicts`);
  await settled(ana.page);
  await until(ana, "j", /^acct|^[a-z0-9]/i);
  const account = (await focused(ana)).text;
  await press(ana, "Enter");
  await at(ana, /^\/accounts\//);
  await settled(ana.page);
  expect(await main(ana)).toMatch(/enforced\s+Suspend/i);
  const ref = /appeal reference\s+(\S+)/.exec(await main(ana))?.[1] ?? "";
  const admin = { Origin: url, Cookie: `${sessions.admin!.name}=${sessions.admin!.value}`, "Content-Type": "application/json", "Idempotency-Key": "a-key-of-" + account };
  const made = await fetch(url + "/api/v1/credentials", { method: "POST", headers: admin, body: JSON.stringify({ account }) });
  expect(made.status).toBe(201);
  const { secret } = (await made.json()) as { secret: string };
  const call = async () => {
    const r = await fetch(gateway + "/v1/chat/completions", { method: "POST", headers: { Authorization: "Bearer " + secret, "Content-Type": "application/json" }, body: JSON.stringify({ model: "m", max_tokens: 5, messages: [{ role: "user", content: "Hello" }] }) });
    return { status: r.status, text: await r.text() };
  };
  const becomes = async (want: (r: { status: number; text: string }) => boolean, seconds: number) => {
    let r = await call();
    for (const end = Date.now() + seconds * 1000; !want(r) && Date.now() < end; r = await call()) await new Promise((f) => setTimeout(f, 500));
    return r;
  };
  const refused = await becomes((r) => r.status === 403, 15);
  expect(refused.status).toBe(403);
  expect(refused.text).toContain(ref);

  // The holder appeals at the address that the refusal gives; a third person hears them.
  const holder = await person();
  people.push(holder);
  await holder.page.goto(`${url}/appeal/${ref}`);
  await holder.page.waitForSelector("textarea");
  while ((await focused(holder)).name !== "text") await press(holder, "Tab");
  await holder.page.keyboard.type("Our nightly evaluation, announced to you in March.");
  await press(holder, "Tab", "Tab", "Enter");
  await sees(holder, /Your objection/);
  expect((await call()).status).toBe(403);
  const ben = await signIn("ben", "/appeals");
  await until(ben, "j", /nightly evaluation/);
  await press(ben, "Enter");
  await at(ben, /^\/appeals\//);
  await settled(ben.page);
  await press(ben, "a");
  await sees(ben, /You review it/);
  await settled(ben.page);
  await press(ben, "d", "Space");
  await sees(ben, /for this account/);
  while ((await focused(ben)).tag !== "TEXTAREA") await press(ben, "Tab");
  await ben.page.keyboard.type("You were right, and access is back.");
  await press(ben, "Control+Enter");
  await sees(ben, /Overturned: access is given back/);
  await holder.page.reload();
  await sees(holder, /You were right, and access is back/);
  // The suspension ends at once, policy's own measures with its next round.
  const served = await becomes((r) => r.status === 200, 90);
  expect(served).toMatchObject({ status: 200 });

  // The others are let go by undoing; what policy had put on them is still there.
  await ana.page.goto(`${url}/campaigns/${campaign}`);
  await settled(ana.page);
  await press(ana, "u");
  await ana.page.waitForSelector("dialog");
  await ana.page.keyboard.type("Suspended in error");
  await press(ana, "Enter");
  await sees(ana, /Undone\. All that it took is given back/);
  for (const p of [ana, cy, ben, holder]) p.clean();
}, 300_000);

test.skipIf(real)("the undo key takes back what was just decided", async () => {
  const ana = await signIn("ana", "/queue?view=all&sort=size");
  await press(ana, "j", "j", "j", "j");
  const id = (await focused(ana)).text;
  await press(ana, "d");
  await at(ana, /decide$/);
  await settled(ana.page);
  await press(ana, "w");
  await ana.page.keyboard.type("Looks like one operator.");
  await sees(ana, /requests of/);
  await press(ana, "Control+Enter");
  await sees(ana, /in force/);
  await press(ana, "u");
  await sees(ana, /Undone/);
  await ana.page.goto(`${url}/campaigns/${id}/verdicts?state=revoked`);
  await settled(ana.page);
  expect(await main(ana)).toMatch(/revoked/);
  ana.clean();
});
