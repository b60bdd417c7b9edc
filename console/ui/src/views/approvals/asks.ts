import type { Approval } from "../../api/gen/schema";
import { label } from "../../show/label";
import { plural } from "../../show/number";
import { measureName } from "../../show/words";

/** What an approval asks for, in a line. The request is the asker's own JSON: whatever is not as expected is left out. */
export function asks(a: Approval): string {
  const r = (a.request ?? {}) as Record<string, unknown>;
  if (a.kind === "decision" && typeof r.measure === "string") {
    const n = Array.isArray(r.accounts) ? r.accounts.length : Number(r.accounts);
    return measureName(r.measure) + (Number.isFinite(n) && n > 0 ? " on " + plural(n, "account") : "") + (typeof r.campaign === "string" && r.campaign ? " of campaign " + label(r.campaign, 24) : "");
  }
  if (a.kind === "policy") return "Put a policy in use: " + label(a.subject, 40);
  if (a.kind === "allow") return "Allow " + label(typeof r.subject === "string" ? r.subject : a.subject, 48);
  return label(a.subject, 48);
}
