// What the made-up world has besides traffic.
import { iso, sha } from "./world.mjs";

const day = 24 * 3600_000;

export function artifacts(now) {
  const one = (id, name, ago, more) => ({ id, name, digest: "sha256:" + sha(name), path: "/models/" + name, updated: iso(now - ago * day), signature: null, inspection: null, loads: [], ...more });
  const good = (identity) => ({ ok: true, method: "sigstore", signer: identity, issuer: "https://accounts.example.com", format: "OpenSSF Model Signing v1.0", files: 14, unsigned: [], ignored: [] });
  const load = (ago, host, allowed, reason = "") => ({ at: iso(now - ago * day), by: "svc-serving", host, allowed, reason, ledger_index: Math.round(900 + ago * -20) });
  return [
    one("m-atlas4", "atlas-4", 0.4, { signature: good("release@example.com"), inspection: { verdict: "safe", files: [{ path: "model-00001-of-00004.safetensors", verdict: "safe" }, { path: "tokenizer.json", verdict: "safe" }] }, loads: [load(0.1, "gpu-07", true), load(1.2, "gpu-03", true), load(3, "gpu-07", true)] }),
    one("m-atlas5", "atlas-5-preview", 2, { signature: good("release@example.com"), inspection: { verdict: "safe", files: [{ path: "model.safetensors", verdict: "safe" }] }, loads: [load(2, "gpu-11", true)] }),
    one("m-chat", "atlas-4-chat-lora", 5, { signature: { ok: false, says: "adapter.bin is not signed: nothing says who made it" }, inspection: { verdict: "suspicious", files: [{ path: "adapter.bin", verdict: "suspicious", findings: [{ says: "a pickle that imports importlib: code would run when it is loaded" }] }, { path: "config.json", verdict: "safe" }] }, loads: [load(4.5, "gpu-02", false, "inspected: a file that runs code when it is loaded must not be loaded")] }),
    one("m-embed", "embedder-small", 21, {}),
    one("m-data", "corpus-2026-03", 60, { signature: good("data@example.com") }),
  ];
}

export function lineage(x, all) {
  if (x.id === "m-embed") return { model: x.digest, nodes: [], edges: [], uses: [], findings: [] };
  const n = (name, role, root = false, missing = false) => ({ identity: "sha256:" + sha(name), root, missing, artifact: { name, role, form: "directory", digests: { sha256: sha(name) } } });
  const e = (from, to, role, step, grade, signer = "build@example.com") => ({ from: "sha256:" + sha(from), to: "sha256:" + sha(to), role, step, statement: sha(from + to), standing: signer ? "signed" : "unsigned", signer, grade, detail: "" });
  const nodes = [n(x.name, "model"), n("atlas-4-sft", "model"), n("atlas-4-base", "model"), n("corpus-2026-03", "dataset", true), n("instructions-v7", "dataset", true), n("trainer-1.8", "code", true), n("preferences-2", "dataset", true, true)];
  const edges = [e("atlas-4-sft", x.name, "base model", "preference tuning", "claimed"), e("preferences-2", x.name, "training data", "preference tuning", "claimed", ""), e("atlas-4-base", "atlas-4-sft", "base model", "fine-tuning", "measured"), e("instructions-v7", "atlas-4-sft", "training data", "fine-tuning", "measured"), e("corpus-2026-03", "atlas-4-base", "training data", "pre-training", "claimed"), e("trainer-1.8", "atlas-4-base", "code", "pre-training", "recomputed")];
  return { model: x.digest, nodes, edges, uses: [{ ...e(x.name, "suite-eval-12", "evaluated", "evaluation", "recomputed"), to: "suite-eval-12" }], findings: x.id === "m-chat" ? [{ kind: "unsigned", fatal: true, detail: "the step that made it is stated by nobody who is trusted", artifact: x.name }] : [{ kind: "missing", fatal: false, detail: "preferences-2 is named as training data, but no statement says where it came from", artifact: "preferences-2" }] };
}

export const policyTexts = {
  judge: `# What a group of accounts must show before it is watched, reviewed or acted on.
version: 1
revision: "2026.1"

constants:
  min_keys: 2              # independent keys of evidence: who, what, how
  act_keys: 3              # all of them before anything is done without a person
  act_p: 0.01              # most that chance may explain of the extraction score before acting
  review_p: 0.05

rules:
  - name: proven-extraction
    stage: act
    when: linked && operator_rejected && keys >= act_keys && extraction_p <= act_p
    because: one operator runs these accounts, and their use is further from that of benign linked groups than chance explains
  - name: likely-extraction
    stage: review
    when: linked && operator_rejected && keys >= min_keys && extraction_p <= review_p
    because: one operator runs these accounts and their use looks like extraction; a person should decide
`,
  enforcement: `version: 1
revision: "2026.1"
mode: enforce
enforce: [observe, slow, budget, withhold]
stages:
  act:
    - {measure: withhold, expires: 72h}
    - {measure: slow, expires: 72h, delay: 2s, tokens_per_second: 20}
  review:
    - {measure: observe, expires: 7d}
approval: [suspend, step-up]
`,
};

const read = ["getMe", "listCampaigns", "getCampaign", "getCampaignTimeline", "listLinked", "getLinked", "listPeople", "listDecisions", "getDecision", "listApprovals", "getApproval", "listPolicies", "getPolicy", "listArtifacts", "getArtifact", "getArtifactLineage", "listLedgerEntries", "getLedgerProof", "getLedgerCheckpoint", "getLedgerKey", "getLedgerTile", "listTokens", "createToken", "revokeToken", "streamEvents", "getHealth", "getSystem", "changePassword", "beginTOTP", "removeTOTP", "confirmTOTP", "listPasskeys", "beginPasskeyRegistration", "finishPasskeyRegistration", "removePasskey"];
const personal = ["listCampaignAccounts", "getCampaignGraph", "getCampaignEvidence", "listCampaignEvents", "listCampaignVerdicts", "exportCampaign", "listAccounts", "getAccount", "getAccountEvidence", "hunt", "listVerdicts", "listCases", "getCase", "listNotices", "listAppeals", "getAppeal", "listAllow", "listCredentials", "getLedgerEntry", "checkPolicy"];
const work = ["changeCampaign", "previewDecision", "decide", "undoDecision", "openCase", "changeCase", "addNote", "reviewAppeal"];
const approve = ["approve", "refuse", "decideAppeal", "addAllow", "revokeAllow", "addPolicy", "activatePolicy", "revokeCredential"];

/** What a role may call. */
export function operations(role) {
  return {
    viewer: read,
    analyst: [...read, ...personal, ...work],
    approver: [...read, ...personal, ...work, ...approve],
    admin: [...read, "listCredentials", "checkPolicy", "addPolicy", "activatePolicy", "createCredential", "revokeCredential", "rotateCredential", "listUsers", "createUser", "changeUser", "inviteUser"],
    auditor: [...read, ...personal, "listUsers"],
  }[role];
}
