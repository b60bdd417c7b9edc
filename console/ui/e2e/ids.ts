import { request } from "playwright-core";
import { sessions, url } from "./harness";

/** What the world has to look at: read from it, as a person with sight of all would. */
export async function ids(): Promise<Record<"campaign" | "big" | "account" | "appeal" | "approval" | "artifact" | "linked" | "policy" | "kase", string>> {
  const r = await request.newContext({ baseURL: url, extraHTTPHeaders: { Origin: url, Cookie: `${sessions.ben!.name}=${sessions.ben!.value}` } });
  const first = async (path: string): Promise<string> => ((await (await r.get("/api/v1" + path)).json()) as { items: { id: string }[] }).items[0]?.id ?? "undefined";
  const campaign = await first("/campaigns?stage=act&sort=risk&limit=1&state=new");
  const out = {
    campaign, big: await first("/campaigns?sort=size&limit=1"), account: await first(`/campaigns/${campaign}/accounts?limit=1`), appeal: await first("/appeals?limit=1"), approval: await first("/approvals?limit=1"),
    artifact: await first("/artifacts?limit=1"), linked: await first("/linked?limit=1"), policy: await first("/policies?limit=1"), kase: await first("/cases?limit=1"),
  };
  await r.dispose();
  return out;
}
