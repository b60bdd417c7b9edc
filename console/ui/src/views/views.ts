import type { Component } from "svelte";

type Loaded = Promise<{ default: Component }>;

// Each view is fetched when it is first shown, and kept.
const loads: Record<string, () => Loaded> = {
  queue: () => import("./queue/Queue.svelte"),
  campaign: () => import("./campaign/Campaign.svelte"),
  linked: () => import("./linked/Linked.svelte"),
  linkedGroup: () => import("./linked/Group.svelte"),
  accounts: () => import("./accounts/Accounts.svelte"),
  account: () => import("./accounts/Account.svelte"),
  hunt: () => import("./hunt/Hunt.svelte"),
  decisions: () => import("./decisions/Decisions.svelte"),
  cases: () => import("./cases/Cases.svelte"),
  case: () => import("./cases/Case.svelte"),
  appeals: () => import("./appeals/Appeals.svelte"),
  appeal: () => import("./appeals/Appeal.svelte"),
  approvals: () => import("./approvals/Approvals.svelte"),
  approval: () => import("./approvals/Approval.svelte"),
  allow: () => import("./allow/Allow.svelte"),
  policies: () => import("./policies/Policies.svelte"),
  policy: () => import("./policies/Policy.svelte"),
  credentials: () => import("./credentials/Credentials.svelte"),
  artifacts: () => import("./artifacts/Artifacts.svelte"),
  artifact: () => import("./artifacts/Artifact.svelte"),
  ledger: () => import("./ledger/Ledger.svelte"),
  entry: () => import("./ledger/Entry.svelte"),
  system: () => import("./system/System.svelte"),
  users: () => import("./users/Users.svelte"),
  settings: () => import("./settings/Settings.svelte"),
};

const kept = new Map<string, Loaded>();

export const views: Record<string, () => Loaded> = Object.fromEntries(
  Object.entries(loads).map(([name, load]) => [
    name,
    () => {
      let p = kept.get(name);
      if (!p) {
        p = load();
        p.catch(() => kept.delete(name)); // may be had the next time
        kept.set(name, p);
      }
      return p;
    },
  ]),
);
