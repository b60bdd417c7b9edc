import { afterEach, describe, expect, test } from "vitest";
import { axe, open, person, real, withBrowser, type Person } from "./harness";
import { ids } from "./ids";

withBrowser();
let p: Person | null = null;
afterEach(async () => {
  await p?.leave();
  p = null;
});

const { campaign, big, account, appeal, approval, artifact, linked, policy, kase } = await ids();

// Every view, by the role that sees most of it.
const views: [name: string, path: string, user: string, title: RegExp][] = [
  ["queue", "/queue", "ben", /Queue/],
  ["queue, all, by size", "/queue?view=all&sort=size", "ben", /Queue/],
  ["queue, nothing found", "/queue?q=zzzz", "ben", /Queue/],
  ["campaign", `/campaigns/${campaign}`, "ben", new RegExp(campaign)],
  ["campaign, chart as a table", `/campaigns/${campaign}?table=1`, "ben", new RegExp(campaign)],
  ["campaign, evidence", `/campaigns/${campaign}/evidence`, "ben", new RegExp(campaign)],
  ["campaign, graph", `/campaigns/${campaign}/graph`, "ben", new RegExp(campaign)],
  ["campaign, graph as a table", `/campaigns/${campaign}/graph?as=table`, "ben", new RegExp(campaign)],
  ["campaign, accounts", `/campaigns/${big}/accounts`, "ben", new RegExp(big)],
  ["campaign, verdicts", `/campaigns/${campaign}/verdicts?state=enforced&state=revoked&state=expired`, "ben", new RegExp(campaign)],
  ["campaign, history", `/campaigns/${campaign}/history`, "ben", new RegExp(campaign)],
  ["decide", `/campaigns/${campaign}/decide?measure=slow`, "ben", new RegExp(campaign)],
  ["benign groups", "/linked", "ben", /Benign groups/],
  ["benign group", `/linked/${linked}`, "ben", /Benign group/],
  ["accounts", "/accounts", "ben", /Accounts/],
  ["account", `/accounts/${account}`, "ben", /Account/],
  ["hunt", "/hunt?f=plan:is:trial&pivot=bin", "ben", /Hunt/],
  ["decisions", "/decisions", "ben", /Decisions/],
  ["verdicts of all", "/decisions?show=verdicts", "ben", /Decisions/],
  ["notices", "/appeals?show=notices", "ben", /Appeals/],
  ["cases", "/cases", "ben", /Cases/],
  ["case", `/cases/${kase}`, "ben", /Case/],
  ["open a case", "/cases?new=1", "ben", /Cases/],
  ["appeals", "/appeals", "ben", /Appeals/],
  ["appeal", `/appeals/${appeal}`, "ben", /Appeal/],
  ["approvals", "/approvals", "ben", /Approvals/],
  ["approval", `/approvals/${approval}`, "ben", /Approval/],
  ["allow-list", "/allow?all=1", "ben", /Allow-list/],
  ["add to the allow-list", "/allow?new=1", "ben", /Allow-list/],
  ["policies", "/policies", "admin", /Policies/],
  ["policy", `/policies/${policy}`, "admin", /policy/i],
  ["policy, editing", `/policies/${policy}?edit=1`, "admin", /policy/i],
  ["credentials", "/credentials", "admin", /Credentials/],
  ["create a key", "/credentials?new=1", "admin", /Credentials/],
  ["artifacts", "/artifacts", "ben", /Artifacts/],
  ["artifact", `/artifacts/${artifact}`, "ben", /Artifact/],
  ["artifact, lineage as a table", `/artifacts/${artifact}?as=table`, "ben", /Artifact/],
  ["ledger", "/ledger", "ben", /Ledger/],
  ["ledger entry", "/ledger/3", "ben", /Ledger entry/],
  ["system", "/system", "ben", /System/],
  ["users", "/users", "admin", /Users/],
  ["add a user", "/users?new=user", "admin", /Users/],
  ["tokens", "/users?show=tokens", "ben", /Users and tokens/],
  ["settings", "/settings", "ben", /Settings/],
  ["no such address", "/accounts/a/b/c", "ben", /not found/i],
  ["as a viewer", "/queue", "vi", /Queue/],
  ["campaign as a viewer", `/campaigns/${campaign}`, "vi", new RegExp(campaign)],
  ["campaign as an auditor", `/campaigns/${campaign}`, "audit", new RegExp(campaign)],
  ["ledger entry as a viewer", "/ledger/3", "vi", /Ledger entry/],
];

for (const theme of ["light", "dark"] as const) {
  describe(theme, () => {
    for (const [name, path, user, title] of views) {
      if (!path.includes("undefined")) {
        test(name, async () => {
          p = await person({ user, theme });
          await open(p, path);
          expect(await p.page.locator("h1").first().innerText()).toMatch(title);
          if (name.endsWith("graph")) await p.page.waitForFunction(() => !/Drawing/.test(document.querySelector("main")?.textContent ?? ""));
          // The pictures of docs/, and what a person should look at: PALLADIUM_SHOTS=DIR.
          if (process.env.PALLADIUM_SHOTS) await p.page.screenshot({ path: `${process.env.PALLADIUM_SHOTS}/${theme}-${name.replace(/\W+/g, "-")}.png` });
          expect(await axe(p.page)).toEqual([]);
          p.clean();
        });
      } else test.skip(`${name}: the world has none`, () => {});
    }
    test("sign-in", async () => {
      p = await person({ theme });
      await open(p, "/queue");
      expect(await p.page.locator("h1").innerText()).toMatch(/Sign in/);
      expect(await axe(p.page)).toEqual([]);
      p.clean();
    });
    test("help and palette", async () => {
      p = await person({ user: "ben", theme });
      await open(p, "/queue");
      await p.page.keyboard.press("?");
      await p.page.waitForSelector("dialog");
      expect(await axe(p.page)).toEqual([]);
      await p.page.keyboard.press("Escape");
      await p.page.keyboard.press("Control+k");
      await p.page.keyboard.type(campaign.slice(0, 3));
      await p.page.waitForTimeout(500);
      expect(await axe(p.page)).toEqual([]);
      p.clean();
    });
    test("undo and resolve", async () => {
      p = await person({ user: "ben", theme });
      await open(p, `/campaigns/${campaign}`);
      await p.page.keyboard.press("e");
      await p.page.waitForSelector("dialog");
      expect(await axe(p.page)).toEqual([]);
      p.clean();
    });
  });
}

// Nothing is cut off, and the page itself never scrolls sideways.
for (const width of [390, 900]) {
  test(`fits ${width} pixels`, async () => {
    p = await person({ user: "ben", width });
    for (const path of ["/queue", `/campaigns/${campaign}`, `/campaigns/${campaign}/graph`, `/campaigns/${campaign}/decide`, `/campaigns/${campaign}/evidence`, `/accounts/${account}`, "/hunt?pivot=bin", "/system", "/ledger/3", "/settings", `/appeals/${appeal}`].filter((x) => !x.includes("undefined"))) {
      await open(p, path);
      const over = await p.page.evaluate(() => {
        const main = document.querySelector("main")!;
        return [document.documentElement.scrollWidth - document.documentElement.clientWidth, main.scrollWidth - main.clientWidth];
      });
      expect([path, ...over]).toEqual([path, 0, 0]);
    }
    p.clean();
  }, 120_000);
}

test.skipIf(real)("narrow views have no violation", async () => {
  p = await person({ user: "ben", width: 390 });
  for (const path of ["/queue", `/campaigns/${campaign}`, `/campaigns/${campaign}/decide`]) {
    await open(p, path);
    expect(await axe(p.page)).toEqual([]);
  }
  await p.page.getByRole("button", { name: "Menu" }).click();
  expect(await axe(p.page)).toEqual([]);
  p.clean();
});
