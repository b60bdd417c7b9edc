// A made-up world for developing the console without a server: plausible, the same for the same seed, in memory.
import { createHash } from "node:crypto";

/** A small generator of numbers (mulberry32); not for secrets. */
export function chance(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    int: (lo, hi) => lo + Math.floor(next() * (hi - lo + 1)),
    of: (list) => list[Math.floor(next() * list.length)],
    some: (list, n) => {
      const copy = [...list];
      const out = [];
      while (out.length < n && copy.length) out.push(copy.splice(Math.floor(next() * copy.length), 1)[0]);
      return out;
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}

export const families = ["identity", "network", "template", "continuity", "twins", "queue", "schedule", "parameters"];
export const keyOf = (f) => (f === "identity" || f === "network" ? "who" : f === "schedule" || f === "parameters" ? "how" : "what");
export const iso = (ms) => new Date(ms).toISOString();
export const sha = (s) => createHash("sha256").update(s).digest("hex");

const hour = 3600_000;
const day = 24 * hour;
const plural = (n, s) => `${n.toLocaleString("en-US")} ${s}${n === 1 ? "" : "s"}`;
const short = (n) => (n >= 1e9 ? (n / 1e9).toFixed(2) + " B" : n >= 1e6 ? (n / 1e6).toFixed(1) + " M" : n.toLocaleString("en-US"));
const date = (ms) => new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });

const says = {
  identity: (k, n, x) => `${k} of ${plural(n, "account")} pay with cards of the same issuer range; ${x} % of the group hold the commonest one, 560 times what is usual`,
  network: (k, n, x) => `${k} of ${plural(n, "account")} come from the same few addresses; ${x} % of the group share the commonest one, 90 times what is usual`,
  template: (k, n, x) => `${k} of ${plural(n, "account")} repeat the same wording; ${x} % of the group hold the commonest one, 3,000 times what is usual`,
  continuity: (k, n) => `${k} of ${plural(n, "account")} carry on a conversation, or send an answer, that was made for another of them`,
  twins: (k, n) => `${k} of ${plural(n, "account")} ask about one mixture of topics, as if from one source`,
  queue: (k, n) => `${k} of ${plural(n, "account")} work through one list without repeats, where strangers would have met 140 times`,
  schedule: (k, n) => `${k} of ${plural(n, "account")} draw the load that one dispatcher would deal them; most began within 3 hours of each other`,
  parameters: (k, n) => `${k} of ${plural(n, "account")} send one rare combination of settings, met 40 times less often elsewhere`,
};
const tokenName = { identity: ["card range", "sign-up device", "phone prefix"], network: ["address", "network", "client"], template: ["wording", "system prompt"], continuity: ["conversation", "answer"], twins: ["topic cell"], queue: ["task list"], schedule: ["load pattern"], parameters: ["settings"] };
const features = [
  ["cues", "requests that ask for reasoning, grading or training data (square root of their share)", 0, 0.19],
  ["single", "requests of one turn, beyond the usual share", 0.001, 0.12],
  ["coverage", "distinct prompts over requests", 0.31, 0.72],
  ["longest", "output tokens a request, beyond the usual (logarithm)", 0.02, 0.61],
  ["evenness", "evenness of the load between accounts", 0.24, 0.7],
  ["hours", "evenness of the load over the hours of the day", 0.4, 0.82],
];

function campaign(r, i, now, size) {
  const stage = i < 14 ? "act" : i < 240 ? "review" : "watch";
  const running = r.next() < 0.55;
  const last = running ? now - r.next() * 5 * hour : now - day - r.next() * 9 * day;
  const first = last - (1 + r.next() * 12) * day;
  const detected = stage === "watch" ? null : first + (0.5 + r.next() * 20) * hour;
  const have = families.filter((f) => r.next() < (stage === "act" ? 0.75 : stage === "review" ? 0.6 : 0.45));
  if (!have.some((f) => keyOf(f) === "who")) have.unshift("identity");
  if (!have.some((f) => keyOf(f) === "what")) have.push("template");
  if (stage === "act" && !have.some((f) => keyOf(f) === "how")) have.push("schedule");
  have.sort((a, b) => families.indexOf(a) - families.indexOf(b));
  const exchanges = Math.round(size * (20 + r.next() * 160));
  const output = Math.round(exchanges * (180 + r.next() * 900));
  const reasoning = Math.round(output * (r.next() < 0.7 ? 0.15 + r.next() * 0.5 : 0));
  const steps = 56;
  const shape = Array.from({ length: steps }, (_, k) => Math.max(0.02, 0.4 + 0.5 * Math.sin(k / 4 + i) + 0.25 * r.normal()) * (k / steps < 0.12 ? k / steps / 0.12 : 1));
  const sum = shape.reduce((a, b) => a + b, 0);
  const seen = first + (last - first) / 1;
  const step = (seen - first) / steps;
  const timeline = shape.map((s, k) => {
    const share = s / sum;
    return { start: iso(first + k * step), exchanges: Math.round(exchanges * share), tokens: { input: Math.round(output * 0.35 * share), output: Math.round(output * share), reasoning: Math.round(reasoning * share) } };
  });
  const evidence = have.map((f) => {
    const k = f === "twins" || f === "schedule" ? size : Math.max(2, Math.round(size * (0.55 + 0.45 * r.next())));
    return { family: f, key: keyOf(f), says: says[f](k.toLocaleString("en-US"), size, r.int(40, 99)), accounts: k, weight: Number((1 + r.next() * 7).toFixed(2)) };
  }).sort((a, b) => b.weight - a.weight);
  const risk = Number(Math.min(0.999, (stage === "act" ? 0.75 : stage === "review" ? 0.4 : 0.05) + r.next() * 0.24 + Math.min(0.08, size / 300000)).toFixed(3));
  const id = "c" + String(18 + i * 7).padStart(4, "0");
  const verb = stage === "act" ? " are one operator and are extracting" : stage === "review" ? " look like one operator and may be extracting" : " may be one operator; too little is known to call it extraction";
  const state = i < 6 ? "new" : r.next() < 0.62 ? "new" : r.of(["in_progress", "in_progress", "on_hold", "resolved", "closed"]);
  return {
    id, revision: 1, updated: iso(now - r.next() * hour), stage,
    claim: `${plural(size, "account")}${verb}: ${short(output)} output tokens ${running ? `since ${date(first)}, still running` : `from ${date(first)} to ${date(last)}, silent since`}.`,
    operator_p: Math.pow(10, -2 - r.next() * 12), extraction_p: stage === "act" ? 0.001 + r.next() * 0.008 : stage === "review" ? 0.005 + r.next() * 0.045 : 0.06 + r.next() * 0.4,
    first: iso(first), last: iso(last), detected_at: detected ? iso(detected) : null,
    exchanges, exchanges_before_detection: Math.round(exchanges * (stage === "watch" ? 1 : r.next() * 0.08)),
    tokens: { input: Math.round(output * 0.35), output, reasoning }, size, risk,
    trend: running ? Number((0.3 + r.next() * 3).toFixed(2)) : 0, deadline: stage === "watch" || r.next() < 0.35 ? null : iso(now + (r.next() * 5 - 0.6) * day),
    state, resolution: state === "resolved" || state === "closed" ? r.of(["true_positive", "benign", "false_positive"]) : "", assignee: state === "in_progress" ? r.of(["u-ana", "u-ben"]) : "",
    labels: r.next() < 0.15 ? r.some(["reseller?", "benchmark", "seen before", "partner report"], 1) : [],
    techniques: stage === "watch" ? [] : ["AML.T0024.002", "AML.T0040"], families: have, top_reason: evidence[0].says, in_force: [], gone: null, peak: stage,
    evidence,
    counter_evidence: [
      !have.includes("network") && { says: "the accounts do not agree in addresses or clients" },
      r.next() < 0.5 && { says: `${r.int(2, 9)} of ${plural(size, "account")} declare the same organisation, which who hides would not do` },
      r.next() < 0.4 && { says: "a third of the accounts has used the service for more than a year" },
      r.next() < 0.3 && { says: "the prompts collide as often as those of strangers who work on one public benchmark" },
    ].filter(Boolean),
    why_stage: stage === "act" ? ["act (proven-extraction): yes: one operator runs these accounts, all three independent keys say so, and their use is further from that of benign linked groups than chance explains"]
      : ["act (proven-extraction): no: keys = 2, wanted at least 3 [act_keys] (independent keys of evidence: who, what, how)", stage === "review" ? "review (likely-extraction): yes: one operator runs these accounts and their use looks like extraction; a person should decide" : "watch (not-decided-yet): yes: the accounts share more than chance explains, but one of the two tests has not decided yet"],
    would_clear: ["the operator vouching for the accounts (relation tenant, reseller, cohort or internal), once it has verified them", "loads that differ between the accounts as those of independent users do, or prompts that collide as those of strangers do"],
    why_not: "", calibration: "150 benign linked groups of this traffic; of the 194 known, the operator vouches for 4",
    features: features.map(([name, s, p50, p95]) => ({ name, says: s, p50, p95, value: Number((p50 + (p95 - p50) * (stage === "watch" ? r.next() * 1.1 : 0.6 + r.next() * 1.4)).toFixed(3)) })),
    models: [{ name: "atlas-4", share: 0.88 }, { name: "atlas-5", share: 0.09 }, { name: "atlas-4-mini", share: 0.03 }],
    days: Array.from({ length: 7 }, (_, k) => ({ from: iso(first + k * day), to: iso(first + (k + 1) * day), accounts: Math.round(size * Math.min(1, 0.3 + k * 0.12)), p: Math.pow(10, -1 - r.next() * 9), e: Math.pow(10, r.next() * 6) })),
    benign: [], timeline, step,
  };
}

export function build(seed = 7, campaigns = 1000) {
  const r = chance(seed);
  const now = Date.now();
  const accounts = new Map();
  const list = [];
  for (let i = 0; i < campaigns; i++) {
    const size = i === 1 ? 24000 : i === 0 ? 412 : Math.round(5 + Math.pow(r.next(), 4) * 160);
    list.push(campaign(r, i, now, size));
  }
  const linked = Array.from({ length: 60 }, (_, i) => ({
    id: "c" + String(9000 + i * 3), size: r.int(5, 400), gone: null,
    why_not_extraction: r.of(["one operator runs these accounts, and their use is what benign linked groups do", "a class of students: one employer of topics, many hands", "an honest reseller, vouched for by the operator", "one company with many keys; it signs with one name"]),
    features: features.map(([name, s, p50, p95]) => ({ name, says: s, p50, p95, value: Number((p50 + (p95 - p50) * r.next()).toFixed(3)) })),
  }));
  for (const c of list) c.benign = r.some(linked, 3).map((l, k) => ({ id: l.id, size: l.size, why_not_extraction: l.why_not_extraction, distance: Number((0.6 + k * 0.5 + r.next()).toFixed(2)) }));

  // Members are made when they are first asked for, from the campaign's own seed.
  const membersOf = new Map();
  const tokensOf = new Map();
  function tokens(c) {
    if (!tokensOf.has(c.id)) {
      const rr = chance(parseInt(c.id.slice(1)) + 99);
      tokensOf.set(c.id, c.evidence.flatMap((e) => Array.from({ length: e.family === "twins" || e.family === "queue" || e.family === "schedule" ? 2 : rr.int(3, 9) }, (_, k) => ({
        family: e.family, token: `${rr.of(tokenName[e.family])} ${sha(c.id + e.family + k).slice(0, 4)}`, share: k === 0 ? e.accounts / c.size * 0.85 : (e.accounts / c.size) * Math.pow(0.55, k), weight: Number((e.weight * (1.15 - k * 0.08)).toFixed(2)),
      }))));
    }
    return tokensOf.get(c.id);
  }
  function members(c) {
    if (!membersOf.has(c.id)) {
      const rr = chance(parseInt(c.id.slice(1)) + 5);
      const toks = tokens(c);
      const out = [];
      for (let k = 0; k < c.size; k++) {
        const id = "acct-" + sha(c.id + "/" + k).slice(0, 12);
        const share = (0.5 + rr.next()) / c.size;
        const held = toks.filter((t) => rr.next() < t.share);
        if (held.length === 0) held.push(toks[0]);
        const first = Date.parse(c.first) + rr.next() * 3 * hour;
        out.push({
          id, membership: Number(Math.max(0.41, 1 - Math.pow(rr.next(), 3) * 0.3).toFixed(3)), exchanges: Math.max(1, Math.round(c.exchanges * share)),
          tokens: { input: Math.round(c.tokens.input * share), output: Math.round(c.tokens.output * share), reasoning: Math.round(c.tokens.reasoning * share) },
          first: iso(first), last: iso(Date.parse(c.last) - rr.next() * 8 * hour), families: [...new Set(held.map((h) => h.family))].sort((a, b) => families.indexOf(a) - families.indexOf(b)),
          organization: rr.next() < 0.04 ? rr.of(["Nordwind GmbH", "Example College", "Blue Ridge Labs"]) : "", plan: rr.of(["free", "trial", "trial", "pro"]), relation: "", verdict: null, held,
        });
        accounts.set(id, { campaign: c.id, k });
      }
      out.sort((a, b) => b.membership - a.membership);
      membersOf.set(c.id, out);
    }
    return membersOf.get(c.id);
  }
  for (const c of list.slice(0, 40)) members(c);
  return { now, list, linked, accounts, members, tokens, byId: new Map(list.map((c) => [c.id, c])), r };
}

/** The account of a member. */
export function account(world, c, m) {
  const r = chance(parseInt(sha(m.id).slice(0, 8), 16));
  return {
    id: m.id, created: iso(Date.parse(m.first) - r.next() * 40 * day), organization: m.organization, plan: m.plan, email_domain: r.of(["mail.example", "post.example", "inbox.example"]), email_shape: r.of(["aaaaaa.00", "aaaa_aaaa", "aaaaa000"]),
    payment: "pay-" + sha(m.id).slice(0, 6), bin: r.of(["411111", "522222", "433333"]), phone_prefix: r.of(["+49 151", "+1 415", "+44 77"]), device: "dev-" + sha(c.id + r.int(0, 20)).slice(0, 6), signup_ip: "198.51.100." + r.int(1, 254),
    verified: r.some(["email", "phone", "card"], r.int(0, 3)), relation: m.relation, campaigns: [c.id], exchanges: m.exchanges, tokens: m.tokens, first: m.first, last: m.last,
  };
}
