import { createHmac } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { axe, open, password, person, real, settled, url, withBrowser, type Person } from "./harness";

// Second factors and passkeys, against a running site: the made-up world has none.
withBrowser();
const people: Person[] = [];
afterEach(async () => {
  for (const p of people.splice(0)) await p.leave();
});
const sees = (p: Person, what: RegExp) => p.page.waitForFunction((s) => new RegExp(s, "i").test(document.body.innerText.replaceAll("\u00a0", " ")), what.source, { timeout: 15_000 });

/** A one-time code (RFC 6238, SHA-1, 30 s, six digits). */
function code(secret: string, at: number): string {
  const bits = [...secret.replace(/=+$/, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g)!.map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac("sha1", key).update(counter).digest();
  return String((mac.readUInt32BE(mac.at(-1)! & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

async function signIn(p: Person, user: string): Promise<void> {
  await p.page.fill("input[name=username]", user);
  await p.page.fill("input[name=password]", password);
  await p.page.keyboard.press("Enter");
}

test.runIf(real)("one-time codes: taken up, asked for, given up", async () => {
  const p = await person({ allow: /401/ });
  people.push(p);
  await p.page.goto(url + "/settings");
  await p.page.waitForSelector("input[name=username]");
  await signIn(p, "cy");
  await p.page.waitForSelector("#main");
  await settled(p.page);
  await p.page.getByRole("button", { name: "Use one-time codes" }).press("Enter");
  await p.page.waitForSelector("code.secret");
  const secret = (await p.page.locator("code.secret").innerText()).replace(/\s/g, "");
  expect(await axe(p.page)).toEqual([]);
  const begun = Date.now();
  await p.page.getByRole("textbox", { name: "Code" }).fill(code(secret, begun));
  await p.page.keyboard.press("Enter");
  await sees(p, /needs a code from now on/);
  await p.page.getByRole("button", { name: "Sign out" }).press("Enter");
  await p.page.waitForSelector("input[name=username]");
  await signIn(p, "cy");
  await p.page.waitForSelector("input[name=totp]");
  expect(await axe(p.page)).toEqual([]);
  // No code is taken twice: the one of the next half minute is.
  await p.page.fill("input[name=totp]", code(secret, begun + 30_000));
  await p.page.keyboard.press("Enter");
  await p.page.waitForSelector("#main");
  await p.page.goto(url + "/settings");
  await settled(p.page);
  await p.page.getByText("Use them no more").first().press("Enter");
  await p.page.locator("details[open] input[type=password]").fill(password);
  await p.page.keyboard.press("Enter");
  await sees(p, /No longer in use/);
  p.clean();
}, 90_000);

test.runIf(real)("a passkey: made, used, forgotten", async () => {
  const p = await person();
  people.push(p);
  const cdp = await p.context.newCDPSession(p.page);
  await cdp.send("WebAuthn.enable");
  await cdp.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  await p.page.goto(url + "/settings");
  await p.page.waitForSelector("input[name=username]");
  await signIn(p, "admin");
  await p.page.waitForSelector("#main");
  await settled(p.page);
  await p.page.getByLabel("Name of the passkey").fill("laptop");
  await p.page.keyboard.press("Enter");
  await sees(p, /You can sign in with it/);
  await sees(p, /laptop/);
  expect(await axe(p.page)).toEqual([]);
  await p.page.getByRole("button", { name: "Sign out" }).press("Enter");
  await p.page.getByRole("button", { name: "Sign in with a passkey" }).press("Enter");
  await p.page.waitForSelector("#main");
  await open(p, "/settings");
  await p.page.getByRole("button", { name: "Forget" }).first().press("Enter");
  await sees(p, /Forgotten/);
  p.clean();
});

test("what follows a sign-in stays on this site", async () => {
  const p = await person({ allow: /401|totp/ });
  people.push(p);
  await p.page.goto(url + "/signin?next=" + encodeURIComponent("//evil.example/x"));
  await p.page.waitForSelector("input[name=username]");
  await signIn(p, "vi");
  await p.page.waitForSelector("#main");
  expect(new URL(p.page.url()).origin).toBe(url);
  expect(new URL(p.page.url()).pathname).toBe("/queue");
  p.clean();
});
