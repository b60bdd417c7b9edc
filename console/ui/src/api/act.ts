import { tell } from "../shell/tell.svelte";
import { Problem, post, send } from "./client";
import type { Campaign, CampaignChange, Decision } from "./gen/schema";
import { live } from "./live.svelte";
import { path } from "../shell/url";

/** Says in a line what went wrong with something that the reader tried. */
export function complain(what: string, e: unknown): void {
  const p = e instanceof Problem ? e : new Problem(0, String(e));
  const why = p.status === 412 ? "somebody changed it meanwhile; it was read anew, try again" : (p.detail || p.title).replace(/\.$/, "");
  tell.show(`${what}: ${why}.`, "bad");
}

/** Changes a campaign as it is now: reads it for its ETag when none is given. */
export async function changeCampaign(id: string, change: CampaignChange, etag = ""): Promise<{ data: Campaign; etag: string }> {
  const at = path`/campaigns/${id}`;
  const match = etag || (await send<Campaign>(at)).etag;
  const a = await send<Campaign>(at, { method: "PATCH", body: change, etag: match });
  live.touched("campaign.changed");
  return a;
}

/** Undoes a decision. */
export async function undo(id: string, reason: string): Promise<Decision> {
  const d = await post<Decision>(path`/decisions/${id}/undo`, { reason });
  live.touched("decision.undone");
  return d;
}
