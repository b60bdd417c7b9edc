import { get } from "./client";
import type { AppealPage, ApprovalPage, CampaignPage } from "./gen/schema";
import { concerns, live } from "./live.svelte";
import { session } from "./session.svelte";

/** How much waits for somebody: the figures in the navigation. Reading appeals is recorded, so they are read rarely. */
class Waiting {
  queue = $state(0);
  approvals = $state(0);
  appeals = $state(0);
  overdue = $state(0);
  #timer = 0;

  /** Reads all, and again when live change touches them, at most every ten seconds. Returns what ends it. */
  follow(): () => void {
    void this.#read(["campaigns", "approvals", "appeals"]);
    let due = new Set<string>();
    const off = live.listen((e) => {
      for (const what of ["campaigns", "approvals", "appeals"]) if (concerns(e.kind, [], "/" + what)) due.add(what);
      if (due.size > 0 && !this.#timer) {
        this.#timer = window.setTimeout(() => {
          this.#timer = 0;
          const now = [...due];
          due = new Set();
          void this.#read(now);
        }, 10_000);
      }
    });
    return () => {
      off();
      clearTimeout(this.#timer);
      this.#timer = 0;
    };
  }

  async #read(what: string[]): Promise<void> {
    const quietly = async (f: () => Promise<void>) => f().catch(() => {});
    await Promise.all([
      what.includes("campaigns") && session.may("listCampaigns") && quietly(async () => {
        this.queue = (await get<CampaignPage>("/campaigns?limit=1&state=new,in_progress&stage=act,review")).total;
      }),
      what.includes("approvals") && session.may("listApprovals") && quietly(async () => {
        this.approvals = (await get<ApprovalPage>("/approvals?limit=1&state=open")).total;
      }),
      what.includes("appeals") && session.may("listAppeals") && quietly(async () => {
        const p = await get<AppealPage>("/appeals?limit=1&state=open,in_review");
        this.appeals = p.total;
        this.overdue = p.overdue;
      }),
    ]);
  }
}

export const waiting = new Waiting();
