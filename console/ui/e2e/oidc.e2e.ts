import { afterEach, expect, test } from "vitest";
import { axe, person, settled, url, withBrowser, type Person } from "./harness";

// Sign-in through an identity provider. TestOIDCInBrowser of app/office starts a site and a provider, and runs this.
const user = process.env.PALLADIUM_OIDC;
withBrowser();
const people: Person[] = [];
afterEach(async () => {
  for (const p of people.splice(0)) await p.leave();
});

/** From the console to the provider, and in there as somebody; by keyboard alone. */
async function through(p: Person, at: string, name: string): Promise<void> {
  await p.page.goto(url + at);
  await p.page.waitForSelector("input[name=username]");
  expect(await axe(p.page)).toEqual([]);
  const button = p.page.getByRole("link", { name: /Example IdP/ }).or(p.page.getByRole("button", { name: /Example IdP/ }));
  await button.press("Enter");
  await p.page.waitForFunction((o) => location.origin !== o, url);
  await p.page.locator("input[name=username]").fill(name);
  await p.page.locator("input[name=password]").fill("verysecure");
  await p.page.keyboard.press("Enter");
  await p.page.waitForURL((u) => u.origin === url);
}

test.runIf(user)("to the provider and back to where one was going", async () => {
  // The provider has no icon; a file of ours that is missing would be named by its address.
  const p = await person({ allow: /favicon|404 \(Not Found\)/ });
  people.push(p);
  await through(p, "/campaigns/c-one?x=1", user!);
  await p.page.waitForSelector("#main");
  await settled(p.page);
  expect(new URL(p.page.url()).pathname).toBe("/campaigns/c-one");
  expect(await p.page.locator("h1").first().innerText()).toMatch(/c-one/);
  expect(await p.page.evaluate(() => document.cookie)).toBe(""); // no script reads the session
  // Out, and nobody is there any more.
  await p.page.goto(url + "/settings");
  await settled(p.page);
  await p.page.getByRole("button", { name: "Sign out" }).press("Enter");
  await p.page.waitForSelector("input[name=username]");
  await p.page.goto(url + "/queue");
  await p.page.waitForSelector("input[name=username]");
  expect(p.wrong).toEqual([]);
}, 60_000);

test.runIf(user)("whom the provider knows and this site does not, is told so", async () => {
  // The provider has no icon; a file of ours that is missing would be named by its address.
  const p = await person({ allow: /favicon|404 \(Not Found\)/ });
  people.push(p);
  await through(p, "/queue", "test-user2");
  await p.page.waitForSelector("[role=alert]");
  expect(await p.page.locator("[role=alert]").first().innerText()).toMatch(/knows you|administrator|not known/i);
  expect(await axe(p.page)).toEqual([]);
  expect(p.wrong).toEqual([]);
}, 60_000);
