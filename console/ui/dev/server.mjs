// A server for developing the console, and for the tests of its views: the API's shapes over a made-up world, in memory.
// It checks nothing that the real API checks beyond what a view shows. Not part of the product.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { account, build, iso, keyOf, sha } from "./world.mjs";
import { Ledger } from "./ledger.mjs";
import { artifacts, lineage, policyTexts, operations } from "./rest.mjs";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const hour = 3600_000, day = 24 * hour;
const password = "correct horse battery";

export function start({ port = 7070, seed = 7, campaigns = 1000, host = "127.0.0.1" } = {}) {
  const w = build(seed, campaigns);
  const s = fill(w);
  const server = createServer((q, a) => handle(w, s, q, a).catch((e) => problem(a, 500, "internal", String(e?.stack ?? e))));
  return new Promise((done) => server.listen(port, host, () => done({ url: `http://${host}:${server.address().port}`, world: w, state: s, close: () => { for (const c of s.streams) c.end(); server.closeAllConnections(); server.close(); } })));
}

function fill(w) {
  const { now, r } = w;
  const users = [["u-ana", "ana", "analyst"], ["u-ben", "ben", "approver"], ["u-cy", "cy", "approver"], ["u-adm", "admin", "admin"], ["u-aud", "audit", "auditor"], ["u-vi", "vi", "viewer"]].map(([id, name, role]) => ({ id, name, email: name + "@example.com", role, subject: "", local: true, totp: name === "ben", passkeys: 0, disabled: false, created: iso(now - 90 * day), last_login: iso(now - r.next() * 3 * day) }));
  const ledger = new Ledger("example.com/palladium");
  for (let i = 0; i < 1200; i++) ledger.append(r.of(["palladium/verdict/v1", "palladium/verdict/v1", "palladium/read/v1", "palladium/model-load/v1", "https://slsa.dev/provenance/v1", "palladium/policy/v1"]), { n: i, subject: "acct-" + sha("x" + i).slice(0, 12), measure: "slow", by: "policy:2026.1" }, now - (1200 - i) * 17 * 60_000);
  const s = {
    users, ledger, sessions: new Map(), streams: new Set(), seq: 100, events: [], decisions: [], verdicts: [], approvals: [], cases: [], notes: [], notices: [], appeals: [], allow: [], policies: [], credentials: [], tokens: [], n: 1, passkeys: [],
    artifacts: artifacts(now), fail: null, slow: 0,
  };
  s.event = (kind, subject, actor, data = null, index = -1, at = Date.now()) => {
    const [noun, id] = subject.split(":");
    const of = { campaign: () => id, decision: () => s.decisions.find((x) => x.id === id)?.campaign, case: () => s.cases.find((x) => x.id === id)?.campaign, appeal: () => s.decisions.find((x) => x.id === s.appeals.find((y) => y.id === id)?.decision)?.campaign, approval: () => s.decisions.find((x) => x.approval === id)?.campaign }[noun]?.();
    const e = { seq: ++s.seq, at: iso(at), actor, kind, subject, data, ledger_index: index, ...(of ? { campaign: of } : {}) };
    s.events.push(e);
    for (const c of s.streams) c.write(`id: ${e.seq}\nevent: ${kind}\ndata: ${JSON.stringify({ ...e, data: null })}\n\n`);
    return e;
  };
  for (const [i, kind] of [[0, "judge"], [1, "enforcement"]]) {
    for (const [k, rev] of [[0, "2025.4"], [1, "2026.1"]]) s.policies.push({ id: `p-${i}${k}`, kind, revision: rev, text: policyTexts[kind].replace("2026.1", rev), author: "u-adm", at: iso(now - (60 - 30 * k) * day), active: k === 1 });
  }
  for (let i = 0; i < 40; i++) s.credentials.push({ id: "pk_" + sha("k" + i).slice(0, 10), account: i % 3 ? "acct-" + sha("k" + i).slice(0, 12) : "acme", organization: i % 3 ? "" : "Acme", plan: r.of(["pro", "free", "enterprise"]), models: i % 4 ? [] : ["atlas-4*"], endpoints: [], features: [], budgets: [], requests_per_minute: i % 5 ? 0 : 60, tokens_per_minute: 0, note: "", created: iso(now - r.next() * 90 * day), expires: i % 2 ? iso(now + 60 * day) : null, rotated: null, revoked: i === 7 ? iso(now - 3 * day) : null, state: i === 7 ? "revoked" : "active", reason: i === 7 ? "leaked in a public repository" : "" });
  s.credentials.sort((a, b) => (a.created < b.created ? 1 : -1));
  for (let i = 0; i < 9; i++) s.allow.push({ id: "al-" + i, kind: r.of(["allow", "researcher", "evaluator"]), subject: r.of(["organization:Example College", "account:acct-" + sha("al" + i).slice(0, 12), "domain:lab.example"]), owner: r.of(["u-ben", "u-cy"]), reason: r.of(["Red-teaming agreement until the end of the year", "Benchmark consortium, known contact", "Course at a university, term"]), created: iso(now - 50 * day), expires: iso(now + (i * 17 - 10) * day), revoked_at: null, in_force: i > 0 });
  s.allow.sort((a, b) => (a.expires < b.expires ? -1 : 1));
  for (const u of users.slice(0, 4)) s.tokens.push({ id: "t-" + u.name, user: u.id, name: "nightly export", scopes: ["read", "investigate"], created: iso(now - 20 * day), expires: iso(now + 100 * day), last_used: iso(now - 2 * hour), revoked_at: null });
  // Some history: automated decisions on the first campaigns, one that waits, appeals.
  for (const [i, c] of w.list.slice(2, 8).entries()) decide(w, s, c, { measure: i % 2 ? "slow" : "withhold", reason: "campaign.extraction", text: "Accounts of one operator drew answers in a way that only training another model explains.", expires: iso(now + (2 + i) * day), delay_ms: 2000, tokens_per_second: 20 }, "policy:2026.1", true, now - (20 - i) * hour);
  decide(w, s, w.list[8], { measure: "suspend", reason: "campaign.extraction", text: "The accounts are one operator and extract.", expires: iso(now + 7 * day) }, "u-ana", false, now - 3 * hour);
  for (let i = 0; i < 3; i++) {
    const d = s.decisions.filter((x) => x.state === "enforced")[i];
    const v = s.verdicts.find((x) => x.decision === d.id);
    appeal(s, v, ["We are a university course; forty students share one template that our teacher wrote.", "I do not know these other accounts. I pay with a company card.", "Our nightly batch looks like this. Please call us."][i], now - (6 - i) * 20 * hour);
  }
  for (let i = 0; i < 12; i++) s.cases.push({ id: "case-" + (100 + i), campaign: w.list[i * 5].id, account: "", state: r.of(["new", "in_progress", "on_hold"]), resolution: "", assignee: r.of(["u-ana", "u-ben", ""]), opened: iso(now - (12 - i) * 9 * hour), due: iso(now + (i * 14 - 20) * hour), closed: null, revision: 1, overdue: i * 14 - 20 < 0 });
  s.notes.push({ id: "n-1", case: "case-100", by: "u-ana", at: iso(now - 5 * hour), text: "Payment provider confirms one cardholder behind the first three issuer ranges." });
  return s;
}

function terms(b) {
  return { delay_ms: b.delay_ms ?? 0, tokens_per_second: b.tokens_per_second ?? 0, tokens: b.tokens ?? 0, model: b.model ?? "" };
}

function decide(w, s, c, b, by, automated, at = Date.now()) {
  const id = "d-" + s.n++;
  const two = !automated && (b.measure === "suspend" || b.measure === "step-up" || b.approval);
  const list = b.accounts?.length ? b.accounts : w.members(c).map((m) => m.id);
  const d = { id, campaign: c.id, measure: b.measure, accounts: list.length, reason: b.reason, text: b.text, by, automated, at: iso(at), expires: b.expires, state: two ? "pending" : "enforced", approval: "", undone_by: "", undone_at: null, ...terms(b) };
  s.decisions.unshift(d);
  if (two) {
    const a = { id: "ap-" + s.n++, kind: "decision", subject: "decision:" + id, request: { campaign: c.id, measure: b.measure, accounts: list.length, expires: b.expires, ...terms(b) }, requested_by: by, reason: b.text, at: iso(at), expires: iso(at + 2 * day), state: "open", decided_by: "", decided_at: null, comment: "", list };
    d.approval = a.id;
    s.approvals.unshift(a);
    s.event("approval.asked", "approval:" + a.id, by, null, -1, at);
  } else enforce(w, s, c, d, list, at);
  s.event("decision.made", "decision:" + id, by, { campaign: c.id, measure: b.measure, accounts: list.length }, -1, at);
  return d;
}

function enforce(w, s, c, d, list, at = Date.now()) {
  for (const a of list) {
    const n = s.n++;
    const index = n % 50 === 0 || list.length < 100 ? s.ledger.append("palladium/verdict/v1", { verdict: "v-" + n, account: a, measure: d.measure, reason: d.reason, decision: d.id }, at) : s.ledger.entries.length - 1;
    const v = { id: "v-" + n, account: a, campaign: c.id, stage: c.stage, measure: d.measure, reason: d.reason, issued: iso(at), expires: d.expires, state: "enforced", decision: d.id, decided_by: d.by, automated: d.automated, policy_revision: "2026.1", approval: d.approval, explanation: d.text, revoked_at: null, revoked_by: "", revoke_reason: "", ledger_index: index, appeal: "apl_" + sha("ref" + n).slice(0, 16), ...terms(d) };
    s.verdicts.unshift(v);
    s.notices.unshift({ id: "no-" + n, account: a, verdict: v.id, decision: d.id, at: iso(at), reason: d.reason, measure: d.measure, automated: d.automated, scope: "all requests of this account", text: d.text, expires: d.expires, appeal_ref: v.appeal });
  }
  counts(w, s, c);
}

function counts(w, s, c) {
  const by = new Map();
  for (const v of s.verdicts) if (v.campaign === c.id && v.state === "enforced") by.set(v.measure, (by.get(v.measure) ?? 0) + 1);
  c.in_force = [...by].map(([measure, n]) => ({ measure, enforced: n, shadow: 0 }));
  c.revision++;
  const held = new Map(s.verdicts.filter((v) => v.campaign === c.id && v.state === "enforced").map((v) => [v.account, v]));
  for (const m of w.members(c)) { const v = held.get(m.id); m.verdict = v ? { id: v.id, measure: v.measure, state: v.state, expires: v.expires } : null; }
}

function appeal(s, v, text, at = Date.now(), contact = "holder@example.org") {
  const a = { id: "a-" + s.n++, ref: v.appeal, account: v.account, decision: v.decision, verdict: v.id, contact, text, at: iso(at), due: iso(at + 3 * day), overdue: at + 3 * day < Date.now(), state: "open", reviewer: "", decided_at: null, reply: "", restored: false };
  s.appeals.unshift(a);
  s.event("appeal.made", "appeal:" + a.id, "holder", null, -1, at);
  return a;
}

// ---------------------------------------------------------------- HTTP

function json(a, status, body, headers = {}) {
  const text = JSON.stringify(body);
  a.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers });
  a.end(text);
}
function problem(a, status, code, detail, extra = {}) {
  if (a.headersSent) return a.end();
  a.writeHead(status, { "Content-Type": "application/problem+json" });
  a.end(JSON.stringify({ type: "urn:palladium:problem:" + code, title: code.replaceAll("_", " "), status, code, detail, request: "req-" + Math.random().toString(16).slice(2, 10), ...extra }));
}
function page(list, u, more = {}) {
  const limit = Math.min(500, Number(u.searchParams.get("limit")) || 50);
  const at = Number(u.searchParams.get("cursor")) || 0;
  return { items: list.slice(at, at + limit), next: at + limit < list.length ? String(at + limit) : "", total: list.length, ...more };
}
const csv = (u, n) => (u.searchParams.get(n) ?? "").split(",").filter(Boolean);
const only = (list, u, ...names) => names.reduce((l, n) => { const want = csv(u, n); return want.length ? l.filter((x) => want.includes(String(x[n]))) : l; }, list);
async function body(q) {
  const parts = [];
  for await (const p of q) parts.push(p);
  return parts.length ? JSON.parse(Buffer.concat(parts).toString()) : {};
}

const csp = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html palladium";
const kinds = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

async function file(u, a) {
  const name = normalize(u.pathname).replace(/^\/+/, "");
  const asset = name.startsWith("assets/");
  try {
    const file = join(dist, asset ? name : "index.html");
    const packed = await readFile(file + ".br").catch(() => null);
    const data = packed ?? (await readFile(file));
    a.writeHead(200, { ...(packed ? { "Content-Encoding": "br" } : {}), "Content-Type": asset ? (kinds[extname(name)] ?? "application/octet-stream") : kinds[".html"], "Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff", "Cache-Control": asset ? "public, max-age=31536000, immutable" : "no-cache" });
    a.end(data);
  } catch {
    problem(a, 404, "not_found", "no such file");
  }
}

// The page for account holders, as the API has it: the same labels, much less behind them.
async function holder(s, u, q, a) {
  const n = s.notices.find((x) => x.appeal_ref === u.pathname.slice(8));
  if (!n) return problem(a, 404, "not_found", "nothing of that name");
  if (q.method === "POST") {
    const parts = [];
    for await (const p of q) parts.push(p);
    const f = new URLSearchParams(Buffer.concat(parts).toString());
    appeal(s, s.verdicts.find((v) => v.id === n.verdict), f.get("text"), Date.now(), f.get("contact") ?? "");
    a.writeHead(303, { Location: u.pathname });
    return a.end();
  }
  const made = s.appeals.find((x) => x.ref === n.appeal_ref);
  const text = (t) => t.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  a.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'; form-action 'self'" });
  a.end(`<!DOCTYPE html><html lang="en"><title>Notice</title><main><h1>About your account</h1><p>${text(n.text)}</p>` + (made ? `<h2>Your objection</h2><p>${text(made.text)}</p><p>${made.state}</p><p>${text(made.reply)}</p>` : `<form method="post"><label for="text">Why is the measure wrong?</label><textarea id="text" name="text" required></textarea><label for="contact">How can you be reached? (if you like)</label><input id="contact" name="contact"><button>Send</button></form>`) + "</main></html>");
}

function me(user) {
  return user && { id: user.id, name: user.name, email: user.email, role: user.role, via: "session", operations: operations(user.role), totp: user.totp, passkeys: user.passkeys, local: true, expires: iso(Date.now() + 8 * hour) };
}

async function handle(w, s, q, a) {
  const u = new URL(q.url, "http://x");
  if (u.pathname.startsWith("/appeal/")) return holder(s, u, q, a);
  if (!u.pathname.startsWith("/api/v1/")) return file(u, a);
  const path = u.pathname.slice(7);
  const token = /palladium=(\w+)/.exec(q.headers.cookie ?? "")?.[1];
  const user = s.users.find((x) => x.id === s.sessions.get(token));
  if (s.slow) await new Promise((done) => setTimeout(done, s.slow));
  if (s.fail && s.fail(q.method, path)) return problem(a, 503, "unavailable", "The store does not answer. Nothing was done; try again in a minute.");
  if (path === "/session") {
    const methods = { password: true, passkey: true, oidc: "", setup: false };
    if (q.method === "GET") return json(a, 200, { me: me(user) ?? null, methods });
    if (q.method === "DELETE") { s.sessions.delete(token); a.writeHead(204); return a.end(); }
    const b = await body(q);
    const found = s.users.find((x) => x.name === b.user);
    if (!found || b.password !== password) return problem(a, 401, "sign_in_failed", "User, password or code is wrong.");
    if (found.totp && !b.totp) return problem(a, 401, "totp_required", "A one-time code is needed.");
    const t = sha(String(Math.random())).slice(0, 24);
    s.sessions.set(t, found.id);
    return json(a, 200, { me: me(found), methods }, { "Set-Cookie": `palladium=${t}; Path=/; HttpOnly; SameSite=Strict` });
  }
  if (path.startsWith("/session/passkey")) return problem(a, 503, "unavailable", "Passkeys are not set up here.");
  if (!user) return problem(a, 401, "not_signed_in", "Sign in first.");
  if (path === "/events") {
    a.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    a.write(": here\n\n");
    const after = Number(u.searchParams.get("after")) || s.seq;
    for (const e of s.events.filter((x) => x.seq > after)) a.write(`id: ${e.seq}\nevent: ${e.kind}\ndata: ${JSON.stringify({ ...e, data: null })}\n\n`);
    s.streams.add(a);
    q.on("close", () => s.streams.delete(a));
    return;
  }
  for (const [method, pattern, f] of routes) {
    if (method !== q.method) continue;
    const m = pattern.exec(path);
    if (!m) continue;
    const b = method === "GET" ? null : await body(q);
    return f({ w, s, u, q, a, b, user, p: m.slice(1).map(decodeURIComponent) });
  }
  problem(a, 404, "not_found", "There is no " + path);
}

const item = ({ evidence, counter_evidence, why_stage, would_clear, why_not, calibration, features, models, days, benign, timeline, step, ...rest }) => rest;
const whole = ({ timeline, step, ...rest }) => rest;
const need = (x, a) => x ?? (problem(a, 404, "not_found", "There is nothing of that name."), null);
const same = (a) => problem(a, 403, "same_person", "A second person must do it: you made or asked for this yourself.");

const routes = [
  ["GET", /^\/me$/, ({ a, user }) => json(a, 200, me(user))],
  ["GET", /^\/me\/passkeys$/, ({ a, s }) => json(a, 200, { items: s.passkeys })],
  ["GET", /^\/campaigns$/, ({ w, u, a, user }) => {
    let l = only(w.list, u, "state", "stage");
    const who = u.searchParams.get("assignee");
    if (who) l = l.filter((c) => (who === "none" ? !c.assignee : c.assignee === (who === "me" ? user.id : who)));
    const label = u.searchParams.get("label");
    if (label) l = l.filter((c) => c.labels.includes(label));
    const text = u.searchParams.get("q")?.toLowerCase();
    if (text) l = l.filter((c) => c.id.includes(text) || c.labels.some((x) => x.toLowerCase().includes(text)) || w.accounts.get(text)?.campaign === c.id);
    const by = u.searchParams.get("sort") || "risk";
    const v = { risk: (c) => -c.risk, draw: (c) => -c.tokens.output, size: (c) => -c.size, updated: (c) => -Date.parse(c.updated), deadline: (c) => (c.deadline ? Date.parse(c.deadline) : Infinity) }[by];
    json(a, 200, page([...l].sort((x, y) => v(x) - v(y)).map(item), u, { total: l.length }));
  }],
  ["GET", /^\/campaigns\/([^/]+)$/, ({ w, a, p }) => { const c = need(w.byId.get(p[0]), a); if (c) json(a, 200, whole(c), { ETag: `"${c.revision}"` }); }],
  ["PATCH", /^\/campaigns\/([^/]+)$/, ({ w, s, a, b, q, p, user }) => {
    const c = need(w.byId.get(p[0]), a);
    if (!c) return;
    if (q.headers["if-match"] !== `"${c.revision}"`) return problem(a, 412, "changed", "It has changed since you read it.");
    if (b.assignee === "me") b.assignee = user.id;
    const { why, ...rest } = b;
    Object.assign(c, rest, { revision: c.revision + 1, updated: iso(Date.now()) });
    s.event("campaign.changed", "campaign:" + c.id, user.id, b);
    json(a, 200, whole(c), { ETag: `"${c.revision}"` });
  }],
  ["GET", /^\/campaigns\/([^/]+)\/accounts$/, ({ w, u, a, p }) => {
    const c = need(w.byId.get(p[0]), a);
    if (!c) return;
    let l = w.members(c);
    const f = u.searchParams.get("family"), t = u.searchParams.get("token"), text = u.searchParams.get("q");
    if (f) l = l.filter((m) => m.held.some((h) => h.family === f && (!t || h.token === t)));
    if (text) l = l.filter((m) => m.id.startsWith(text));
    const by = u.searchParams.get("sort") || "membership";
    const v = { membership: (m) => -m.membership, draw: (m) => -m.tokens.output, exchanges: (m) => -m.exchanges, id: (m) => m.id }[by];
    l = [...l].sort((x, y) => (v(x) < v(y) ? -1 : v(x) > v(y) ? 1 : 0));
    const out = page(l, u, { total: l.length });
    json(a, 200, { ...out, items: out.items.map(({ held, ...m }) => m) });
  }],
  ["GET", /^\/campaigns\/([^/]+)\/timeline$/, ({ w, s, a, p }) => {
    const c = need(w.byId.get(p[0]), a);
    if (!c) return;
    const marks = [{ at: c.first, kind: "first", says: "First exchange of the campaign", subject: "" }];
    if (c.detected_at) marks.push({ at: c.detected_at, kind: "detected", says: `Reached ${c.stage} after ${c.exchanges_before_detection.toLocaleString("en-US")} exchanges`, subject: "" });
    for (const d of s.decisions.filter((x) => x.campaign === c.id)) {
      marks.push({ at: d.at, kind: "decision.made", says: `${d.measure} on ${d.accounts.toLocaleString("en-US")} accounts by ${d.by}`, subject: "decision:" + d.id });
      if (d.undone_at) marks.push({ at: d.undone_at, kind: "decision.undone", says: `${d.measure} undone by ${d.undone_by}`, subject: "decision:" + d.id });
    }
    json(a, 200, { step_seconds: Math.round(c.step / 1000), draws: c.timeline, models: c.models, marks: marks.sort((x, y) => (x.at < y.at ? -1 : 1)) });
  }],
  ["GET", /^\/campaigns\/([^/]+)\/evidence\/([^/]+)$/, ({ w, u, a, p }) => {
    const c = need(w.byId.get(p[0]), a);
    const e = c && need(c.evidence.find((x) => x.family === p[1]), a);
    if (!e) return;
    const ms = w.members(c);
    const rows = w.tokens(c).filter((t) => t.family === p[1]).map((t) => { const held = ms.filter((m) => m.held.includes(t)); return { token: t.token, accounts: held.length, weight: t.weight, sum: Number((t.weight * held.length).toFixed(1)), members: held.slice(0, 20).map((m) => m.id) }; }).filter((t) => t.accounts > 0).sort((x, y) => y.sum - x.sum);
    json(a, 200, page(rows, u, { family: e.family, key: e.key, says: e.says, accounts: e.accounts, weight: e.weight, total: rows.length }));
  }],
  ["GET", /^\/campaigns\/([^/]+)\/events$/, ({ w, s, u, a, p }) => {
    const c = need(w.byId.get(p[0]), a);
    if (!c) return;
    const mine = new Set(["campaign:" + c.id, ...s.decisions.filter((d) => d.campaign === c.id).flatMap((d) => ["decision:" + d.id, "approval:" + d.approval])]);
    const found = [{ seq: 1, at: c.first, actor: "system", kind: "campaign.found", subject: "campaign:" + c.id, data: null, ledger_index: -1 }, ...(c.detected_at ? [{ seq: 2, at: c.detected_at, actor: "system", kind: "campaign.changed", subject: "campaign:" + c.id, data: { stage: c.stage }, ledger_index: 12 }] : [])];
    json(a, 200, page([...found, ...s.events.filter((e) => mine.has(e.subject))].sort((x, y) => (x.at < y.at ? 1 : -1)), u));
  }],
  ["GET", /^\/campaigns\/([^/]+)\/verdicts$/, ({ s, u, a, p }) => json(a, 200, page(only(s.verdicts.filter((v) => v.campaign === p[0]), u, "state"), u))],
  ["GET", /^\/campaigns\/([^/]+)\/graph$/, ({ w, u, a, p }) => { const c = need(w.byId.get(p[0]), a); if (c) json(a, 200, graph(w, c, u)); }],
  ["POST", /^\/campaigns\/([^/]+)\/preview$/, ({ w, a, b, p }) => {
    const c = need(w.byId.get(p[0]), a);
    if (!c) return;
    const n = b.accounts?.length || c.size;
    const now = Date.now();
    const days = c.timeline.slice(-28);
    const share = n / c.size;
    const rows = Array.from({ length: 7 }, (_, i) => { const part = days.slice(i * 4, i * 4 + 4); return { start: iso(now - (7 - i) * day), requests: Math.round(part.reduce((x, d) => x + d.exchanges, 0) * share), tokens: Math.round(part.reduce((x, d) => x + d.tokens.output, 0) * share) }; });
    setTimeout(() => json(a, 200, { since: iso(now - 7 * day), until: iso(now), accounts: Math.round(n * 0.93), requests: rows.reduce((x, d) => x + d.requests, 0), tokens_share: Math.min(0.4, c.tokens.output / 9e8) * share, outside_share: b.measure === "budget" ? 0 : 0.0021, days: rows }), 150);
  }],
  ["POST", /^\/campaigns\/([^/]+)\/decisions$/, ({ w, s, a, b, p, user }) => {
    const c = need(w.byId.get(p[0]), a);
    if (!c) return;
    if (!b.text || !b.reason) return problem(a, 400, "bad_request", "Some fields are not as they must be.", { errors: [{ field: "text", says: "say why, in words that the account holder may read" }] });
    json(a, 201, decide(w, s, c, b, user.id, false));
  }],
  ["GET", /^\/campaigns\/([^/]+)\/export$/, ({ a, p }) => { a.writeHead(200, { "Content-Type": "application/zip", "Content-Disposition": `attachment; filename="${p[0]}.zip"` }); a.end("PK"); }],
  ["GET", /^\/linked$/, ({ w, u, a }) => json(a, 200, page(w.linked, u))],
  ["GET", /^\/linked\/([^/]+)$/, ({ w, a, p }) => { const g = need(w.linked.find((x) => x.id === p[0]), a); if (g) json(a, 200, g); }],
  ["GET", /^\/people$/, ({ s, u, a }) => json(a, 200, page(s.users.map(({ id, name, role, disabled }) => ({ id, name, role, disabled })), u))],
  ["GET", /^\/accounts$/, ({ w, u, a }) => {
    const text = u.searchParams.get("q") ?? "", cid = u.searchParams.get("campaign"), plan = u.searchParams.get("plan"), f = u.searchParams.get("family"), t = u.searchParams.get("token");
    const out = [];
    for (const c of cid ? [w.byId.get(cid)].filter(Boolean) : w.list.slice(0, 40)) for (const m of w.members(c)) {
      if (out.length > 2000) break;
      if ((!text || m.id.startsWith(text) || m.organization.toLowerCase().includes(text.toLowerCase())) && (!plan || m.plan === plan) && (!f || m.held.some((h) => h.family === f && (!t || h.token === t)))) out.push(account(w, c, m));
    }
    json(a, 200, page(out, u));
  }],
  ["GET", /^\/accounts\/([^/]+)$/, ({ w, s, a, p }) => {
    const at = need(w.accounts.get(p[0]), a);
    if (!at) return;
    const c = w.byId.get(at.campaign), m = w.members(c).find((x) => x.id === p[0]);
    json(a, 200, { account: account(w, c, m), joined: [{ campaign: c.id, stage: c.stage, membership: m.membership, exchanges: m.exchanges, tokens: m.tokens, evidence: m.families.map((f) => ({ family: f, key: keyOf(f), says: { identity: "sign-up or payment data that others of the group share", template: "wording that others of the group repeat", network: "addresses or clients that others of the group share" }[f] ?? "a pattern that others of the group show", accounts: Math.max(1, (c.evidence.find((e) => e.family === f)?.accounts ?? 2) - 1), weight: m.held.find((h) => h.family === f)?.weight ?? 1 })) }], verdicts: s.verdicts.filter((v) => v.account === m.id), appeals: s.appeals.filter((x) => x.account === m.id), notices: s.notices.filter((x) => x.account === m.id), allow: s.allow.filter((x) => x.subject === "account:" + m.id), models: c.models });
  }],
  ["GET", /^\/accounts\/([^/]+)\/evidence$/, ({ w, u, a, p }) => {
    const at = need(w.accounts.get(p[0]), a);
    if (!at) return;
    const c = w.byId.get(at.campaign), ms = w.members(c), m = ms.find((x) => x.id === p[0]);
    json(a, 200, page(m.held.map((h) => ({ campaign: c.id, family: h.family, token: h.token, weight: h.weight, others: ms.filter((x) => x.held.includes(h)).length - 1 })).sort((x, y) => y.weight - x.weight), u));
  }],
  ["POST", /^\/hunt$/, ({ w, a, b }) => json(a, 200, hunt(w, b))],
  ["GET", /^\/decisions$/, ({ s, u, a }) => json(a, 200, page(only(s.decisions, u, "campaign", "state"), u))],
  ["GET", /^\/decisions\/([^/]+)$/, ({ s, a, p }) => { const d = need(s.decisions.find((x) => x.id === p[0]), a); if (d) json(a, 200, d); }],
  ["POST", /^\/decisions\/([^/]+)\/undo$/, ({ w, s, a, b, p, user }) => {
    const d = need(s.decisions.find((x) => x.id === p[0]), a);
    if (!d) return;
    if (!["enforced", "pending", "shadow"].includes(d.state)) return problem(a, 409, "conflict", "It is not in force: there is nothing to undo.");
    undo(w, s, d, user.id, b.reason);
    json(a, 200, d);
  }],
  ["GET", /^\/verdicts$/, ({ s, u, a }) => json(a, 200, page(only(s.verdicts, u, "state", "campaign", "account", "decision"), u))],
  ["GET", /^\/approvals$/, ({ s, u, a }) => json(a, 200, page(only(s.approvals, u, "state").map(({ list, ...x }) => x), u))],
  ["GET", /^\/approvals\/([^/]+)$/, ({ s, a, p }) => { const x = need(s.approvals.find((y) => y.id === p[0]), a); if (x) json(a, 200, { ...x, list: undefined }); }],
  ["POST", /^\/approvals\/([^/]+)\/(approve|refuse)$/, ({ w, s, a, b, p, user }) => {
    const x = need(s.approvals.find((y) => y.id === p[0]), a);
    if (!x) return;
    if (x.requested_by === user.id) return same(a);
    if (x.state !== "open") return problem(a, 409, "conflict", "It was decided already.");
    Object.assign(x, { state: p[1] === "approve" ? "approved" : "refused", decided_by: user.id, decided_at: iso(Date.now()), comment: b.comment ?? "" });
    const d = s.decisions.find((y) => x.subject === "decision:" + y.id);
    if (d) { d.state = p[1] === "approve" ? "enforced" : "refused"; if (p[1] === "approve") enforce(w, s, w.byId.get(d.campaign), d, x.list); }
    s.event("approval." + x.state, "approval:" + x.id, user.id);
    json(a, 200, { ...x, list: undefined });
  }],
  ["GET", /^\/cases$/, ({ s, u, a }) => json(a, 200, page(only(s.cases, u, "state", "campaign", "account", "assignee").sort((x, y) => (x.due < y.due ? -1 : 1)), u))],
  ["POST", /^\/cases$/, ({ s, a, b, user }) => {
    const c = { id: "case-" + (100 + s.n++), campaign: b.campaign ?? "", account: b.account ?? "", state: "new", resolution: "", assignee: b.assignee === "me" ? user.id : b.assignee ?? "", opened: iso(Date.now()), due: b.due ?? iso(Date.now() + 3 * day), closed: null, revision: 1, overdue: false };
    s.cases.push(c);
    if (b.note) s.notes.push({ id: "n-" + s.n++, case: c.id, by: user.id, at: iso(Date.now()), text: b.note });
    s.event("case.opened", "case:" + c.id, user.id);
    json(a, 201, { case: c, notes: s.notes.filter((n) => n.case === c.id) }, { ETag: '"1"' });
  }],
  ["GET", /^\/cases\/([^/]+)$/, ({ s, a, p }) => { const c = need(s.cases.find((x) => x.id === p[0]), a); if (c) json(a, 200, { case: c, notes: s.notes.filter((n) => n.case === c.id) }, { ETag: `"${c.revision}"` }); }],
  ["PATCH", /^\/cases\/([^/]+)$/, ({ s, a, b, q, p, user }) => {
    const c = need(s.cases.find((x) => x.id === p[0]), a);
    if (!c) return;
    if (q.headers["if-match"] !== `"${c.revision}"`) return problem(a, 412, "changed", "It has changed since you read it.");
    if (b.assignee === "me") b.assignee = user.id;
    Object.assign(c, b, { revision: c.revision + 1, closed: b.state === "closed" ? iso(Date.now()) : c.closed });
    s.event("case.changed", "case:" + c.id, user.id);
    json(a, 200, { case: c, notes: s.notes.filter((n) => n.case === c.id) }, { ETag: `"${c.revision}"` });
  }],
  ["POST", /^\/cases\/([^/]+)\/notes$/, ({ s, a, b, p, user }) => { const n = { id: "n-" + s.n++, case: p[0], by: user.id, at: iso(Date.now()), text: b.text }; s.notes.push(n); s.event("case.changed", "case:" + p[0], user.id); json(a, 201, n); }],
  ["GET", /^\/notices$/, ({ s, u, a }) => json(a, 200, page(only(s.notices, u, "account", "decision"), u))],
  ["GET", /^\/appeals$/, ({ s, u, a }) => { const open = (x) => x.state === "open" || x.state === "in_review"; json(a, 200, page(only(s.appeals, u, "state", "account").sort((x, y) => open(y) - open(x) || (x.due < y.due ? -1 : 1)), u, { overdue: s.appeals.filter((x) => open(x) && x.overdue).length })); }],
  ["GET", /^\/appeals\/([^/]+)$/, ({ s, a, p, user }) => { const x = need(s.appeals.find((y) => y.id === p[0]), a); if (x) json(a, 200, appealDetail(s, x, user)); }],
  ["POST", /^\/appeals\/([^/]+)\/review$/, ({ s, a, p, user }) => {
    const x = need(s.appeals.find((y) => y.id === p[0]), a);
    if (!x) return;
    if (s.decisions.find((d) => d.id === x.decision)?.by === user.id) return same(a);
    Object.assign(x, { state: "in_review", reviewer: user.id });
    s.event("appeal.taken", "appeal:" + x.id, user.id);
    json(a, 200, appealDetail(s, x, user));
  }],
  ["POST", /^\/appeals\/([^/]+)\/decide$/, ({ w, s, a, b, p, user }) => {
    const x = need(s.appeals.find((y) => y.id === p[0]), a);
    if (!x) return;
    const d = s.decisions.find((y) => y.id === x.decision);
    if (d?.by === user.id) return same(a);
    Object.assign(x, { state: b.outcome, reviewer: user.id, reply: b.reply, decided_at: iso(Date.now()), restored: b.outcome === "overturned", overdue: false });
    if (b.outcome === "overturned" && d) {
      if (b.scope === "decision") undo(w, s, d, user.id, "appeal overturned");
      else { for (const v of s.verdicts) if (v.account === x.account && v.decision === d.id) Object.assign(v, { state: "revoked", revoked_at: iso(Date.now()), revoked_by: user.id, revoke_reason: "appeal overturned" }); counts(w, s, w.byId.get(d.campaign)); }
    }
    s.event("appeal.decided", "appeal:" + x.id, user.id);
    json(a, 200, appealDetail(s, x, user));
  }],
  ["GET", /^\/allow$/, ({ s, u, a }) => json(a, 200, page(only(s.allow.filter((x) => u.searchParams.get("all") === "true" || x.in_force), u, "kind"), u))],
  ["POST", /^\/allow$/, ({ s, a, b, user }) => { const x = { id: "al-" + s.n++, ...b, created: iso(Date.now()), revoked_at: null, in_force: true }; s.allow.unshift(x); s.event("allow.added", "allow:" + x.id, user.id); json(a, 201, x); }],
  ["DELETE", /^\/allow\/([^/]+)$/, ({ s, a, p, user }) => { const x = s.allow.find((y) => y.id === p[0]); if (x) Object.assign(x, { revoked_at: iso(Date.now()), in_force: false }); s.event("allow.revoked", "allow:" + p[0], user.id); a.writeHead(204); a.end(); }],
  ["GET", /^\/policies$/, ({ s, u, a }) => json(a, 200, page(only([...s.policies].sort((x, y) => (x.at < y.at ? 1 : -1)).map((x) => ({ ...x, text: "" })), u, "kind"), u))],
  ["POST", /^\/policies$/, ({ s, a, b, user }) => { const bad = wrong(b.text); if (bad) return problem(a, 400, "bad_request", bad); const x = { id: "p-" + s.n++, kind: b.kind, revision: /revision:\s*"?([\w.-]+)/.exec(b.text)?.[1] ?? "?", text: b.text, author: user.id, at: iso(Date.now()), active: false }; s.policies.push(x); s.event("policy.added", "policy:" + x.id, user.id); json(a, 201, x); }],
  ["POST", /^\/policies\/check$/, ({ a, b }) => json(a, 200, { ok: !wrong(b.text), revision: /revision:\s*"?([\w.-]+)/.exec(b.text)?.[1] ?? "", says: wrong(b.text) })],
  ["GET", /^\/policies\/([^/]+)$/, ({ s, a, p }) => { const x = need(s.policies.find((y) => y.id === p[0]), a); if (x) json(a, 200, x); }],
  ["POST", /^\/policies\/([^/]+)\/activate$/, ({ s, a, p, user }) => { const x = need(s.policies.find((y) => y.id === p[0]), a); if (!x) return; if (x.author === user.id) return same(a); for (const y of s.policies) if (y.kind === x.kind) y.active = y === x; s.event("policy.activated", "policy:" + x.id, user.id); json(a, 200, x); }],
  ["GET", /^\/credentials$/, ({ s, u, a }) => json(a, 200, page(only(s.credentials, u, "account", "state"), u))],
  ["POST", /^\/credentials$/, ({ s, a, b, user }) => { const c = { id: "pk_" + sha(String(s.n++)).slice(0, 10), organization: "", plan: "", models: [], endpoints: [], features: [], budgets: [], requests_per_minute: 0, tokens_per_minute: 0, note: "", ...b, created: iso(Date.now()), expires: b.expires ?? null, rotated: null, revoked: null, state: "active", reason: "" }; s.credentials.unshift(c); s.event("credential.created", "credential:" + c.id, user.id); json(a, 201, { credential: c, secret: "plk_" + sha(c.id).slice(0, 40) }); }],
  ["POST", /^\/credentials\/([^/]+)\/(revoke|rotate)$/, ({ s, a, b, p, user }) => { const c = need(s.credentials.find((x) => x.id === p[0]), a); if (!c) return; if (p[1] === "revoke") Object.assign(c, { state: "revoked", revoked: iso(Date.now()), reason: b.reason }); else c.rotated = iso(Date.now()); s.event("credential." + p[1] + "d", "credential:" + c.id, user.id); json(a, 200, p[1] === "revoke" ? c : { credential: c, secret: "plk_" + sha(c.id + s.n++).slice(0, 40) }); }],
  ["GET", /^\/artifacts$/, ({ s, u, a }) => { const t = u.searchParams.get("q") ?? ""; json(a, 200, page(s.artifacts.filter((x) => x.name.includes(t) || x.digest.startsWith(t)).map((x) => ({ id: x.id, name: x.name, digest: x.digest, path: x.path, updated: x.updated, signed: x.signature ? (x.signature.ok ? "verified" : "refused") : "unknown", inspected: x.inspection ? (x.inspection.verdict === "safe" ? "allowed" : "refused") : "unknown", loads: x.loads.length })), u)); }],
  ["GET", /^\/artifacts\/([^/]+)$/, ({ s, a, p }) => { const x = need(s.artifacts.find((y) => y.id === p[0]), a); if (x) json(a, 200, x); }],
  ["GET", /^\/artifacts\/([^/]+)\/lineage$/, ({ s, a, p }) => { const x = need(s.artifacts.find((y) => y.id === p[0]), a); if (x) json(a, 200, lineage(x, s.artifacts)); }],
  ["GET", /^\/ledger\/entries$/, ({ s, u, a }) => { let l = [...s.ledger.entries].reverse(); const g = (n) => u.searchParams.get(n); if (g("type")) l = l.filter((e) => e.type === g("type")); if (g("digest")) l = l.filter((e) => e.digest === g("digest")); if (g("from")) l = l.filter((e) => e.time >= g("from")); if (g("to")) l = l.filter((e) => e.time < g("to")); json(a, 200, page(l.map(({ index, type, digest, size, time }) => ({ index, type, digest, size, time })), u, { size: s.ledger.entries.length })); }],
  ["GET", /^\/ledger\/entries\/(\d+)$/, ({ s, a, p }) => { const e = need(s.ledger.entries[Number(p[0])], a); if (e) json(a, 200, { entry: { index: e.index, type: e.type, digest: e.digest, size: e.size, time: e.time }, leaf: e.entry.toString("base64"), statement: e.statement, text: e.text, base64: "" }); }],
  ["GET", /^\/ledger\/proof\/(\d+)$/, ({ s, a, p }) => { if (!need(s.ledger.entries[Number(p[0])], a)) return; a.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" }); a.end(s.ledger.proof(Number(p[0]))); }],
  ["GET", /^\/ledger\/checkpoint$/, ({ s, a }) => { a.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" }); a.end(s.ledger.checkpoint()); }],
  ["GET", /^\/ledger\/key$/, ({ s, a }) => { a.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" }); a.end(s.ledger.key + "\n"); }],
  ["GET", /^\/users$/, ({ s, u, a, user }) => (["admin", "auditor"].includes(user.role) ? json(a, 200, page(s.users, u)) : problem(a, 403, "forbidden", "Your role may not list users."))],
  ["POST", /^\/users$/, ({ s, a, b, user }) => { const x = { id: "u-" + s.n++, email: "", subject: "", ...b, local: !b.subject, totp: false, passkeys: 0, disabled: false, created: iso(Date.now()), last_login: null }; s.users.push(x); s.event("user.created", "user:" + x.id, user.id); json(a, 201, { user: x, invitation: b.subject ? "" : "inv_" + sha(x.id).slice(0, 32), expires: iso(Date.now() + 3 * day) }); }],
  ["PATCH", /^\/users\/([^/]+)$/, ({ s, a, b, p, user }) => { const x = need(s.users.find((y) => y.id === p[0]), a); if (!x) return; if (x.id === user.id && (b.disabled || (b.role && b.role !== "admin"))) return problem(a, 409, "conflict", "You are the last administrator: name another first."); Object.assign(x, b); s.event("user.changed", "user:" + x.id, user.id); json(a, 200, x); }],
  ["POST", /^\/users\/([^/]+)\/invite$/, ({ s, a, p }) => { const x = need(s.users.find((y) => y.id === p[0]), a); if (x) json(a, 200, { user: x, invitation: "inv_" + sha(x.id + s.n++).slice(0, 32), expires: iso(Date.now() + 3 * day) }); }],
  ["GET", /^\/tokens$/, ({ s, u, a, user }) => json(a, 200, page(s.tokens.filter((t) => ["admin", "auditor"].includes(user.role) || t.user === user.id), u))],
  ["POST", /^\/tokens$/, ({ s, a, b, user }) => { const t = { id: "t-" + s.n++, user: user.id, ...b, created: iso(Date.now()), last_used: null, revoked_at: null }; s.tokens.unshift(t); json(a, 201, { token: t, secret: "plt_" + sha(t.id).slice(0, 40) }); }],
  ["DELETE", /^\/tokens\/([^/]+)$/, ({ s, a, p }) => { const t = s.tokens.find((x) => x.id === p[0]); if (t) t.revoked_at = iso(Date.now()); a.writeHead(204); a.end(); }],
  ["GET", /^\/health$/, ({ a }) => json(a, 200, { ok: false, version: "v0.6.0-dev", parts: [{ name: "catalog", ok: true, says: "sqlite, schema 7" }, { name: "stream", ok: true, says: "embedded, 41,220 messages held" }, { name: "archive", ok: true, says: "12 days, 3.1 GB" }, { name: "detector", ok: true, says: "leads; 0.8 s behind" }, { name: "notify", ok: false, says: "sink soc-webhook: connection refused; 14 wait, next attempt in 40 s" }, { name: "ledger", ok: true, says: "1,214 entries, one witness" }] })],
  ["GET", /^\/system$/, ({ w, s, a }) => json(a, 200, system(w, s))],
];

function wrong(text) {
  const lines = (text ?? "").split("\n");
  const i = lines.findIndex((l) => /\bwhenn:/.test(l));
  if (i >= 0) return `line ${i + 1}: unknown key "whenn": did you mean "when"?`;
  return /revision:/.test(text ?? "") ? "" : "line 1: revision is missing: name this version, as in revision: \"2026.2\"";
}

function undo(w, s, d, by, reason) {
  Object.assign(d, { state: "revoked", undone_by: by, undone_at: iso(Date.now()) });
  for (const v of s.verdicts) if (v.decision === d.id && v.state === "enforced") Object.assign(v, { state: "revoked", revoked_at: iso(Date.now()), revoked_by: by, revoke_reason: reason });
  const ap = s.approvals.find((x) => x.id === d.approval && x.state === "open");
  if (ap) ap.state = "expired";
  counts(w, s, w.byId.get(d.campaign));
  s.event("decision.undone", "decision:" + d.id, by, { reason });
}

function appealDetail(s, x, user) {
  const d = s.decisions.find((y) => y.id === x.decision) ?? null;
  return { appeal: x, decision: d, notice: s.notices.find((n) => n.verdict === x.verdict) ?? null, verdict: s.verdicts.find((v) => v.id === x.verdict) ?? null, may_review: d?.by !== user.id };
}

function graph(w, c, u) {
  const limit = Number(u.searchParams.get("limit")) || 150;
  const around = u.searchParams.get("around") ?? "";
  const want = csv(u, "family");
  const ms = w.members(c);
  let toks = w.tokens(c).filter((t) => !want.length || want.includes(t.family));
  let pool = ms;
  if (around.startsWith("t:")) { const [, f, ...rest] = around.split(":"); pool = ms.filter((m) => m.held.some((h) => h.family === f && h.token === rest.join(":"))); }
  if (around.startsWith("g:")) { const key = around.slice(2); pool = ms.filter((m) => sign(m, toks) === key); }
  if (around.startsWith("a:")) { const m = ms.find((x) => x.id === around.slice(2)); toks = m ? m.held : []; pool = m ? [m, ...ms.filter((x) => x !== m && x.held.some((h) => m.held.includes(h)))] : []; }
  const held = new Map(toks.map((t) => [t, pool.filter((m) => m.held.includes(t)).length]));
  const drawn = toks.filter((t) => held.get(t) > 1 || around).sort((x, y) => held.get(y) * y.weight - held.get(x) * x.weight).slice(0, pool.length > limit ? Math.min(9, Math.floor(limit / 3)) : Math.floor(limit / 3));
  const nodes = drawn.map((t) => ({ id: `t:${t.family}:${t.token}`, kind: "token", label: t.token, accounts: held.get(t), weight: t.weight, family: t.family, opens: true }));
  const edges = [];
  const room = limit - nodes.length;
  const aggregated = pool.length > room;
  const add = (id, kind, label, members) => {
    const m = members[0];
    const n = members.length;
    nodes.push({ id, kind, label, accounts: n, weight: Number(m.held.filter((h) => drawn.includes(h)).reduce((x, h) => x + h.weight, 0).toFixed(2)), membership: members.reduce((x, y) => x + y.membership, 0) / n, exchanges: members.reduce((x, y) => x + y.exchanges, 0), output: members.reduce((x, y) => x + y.tokens.output, 0), opens: true });
    for (const h of m.held) if (drawn.includes(h)) edges.push({ source: id, target: `t:${h.family}:${h.token}`, family: h.family, weight: h.weight, accounts: n });
  };
  let shown = 0;
  if (!aggregated) for (const m of pool) { add("a:" + m.id, "account", m.id, [m]); shown++; }
  else {
    const groups = new Map();
    for (const m of pool) { const k = sign(m, drawn); if (!groups.has(k)) groups.set(k, []); groups.get(k).push(m); }
    const big = [...groups].sort((x, y) => y[1].length - x[1].length).slice(0, room);
    if (big.length === 1) for (const m of pool.slice(0, room)) { add("a:" + m.id, "account", m.id, [m]); shown++; }
    else for (const [k, list] of big) { shown += list.length; if (list.length === 1) add("a:" + list[0].id, "account", list[0].id, list); else add("g:" + k, "group", list[0].held.filter((h) => drawn.includes(h)).map((h) => h.token).slice(0, 3).join(", ") || "nothing drawn", list); }
  }
  const links = pool.reduce((x, m) => x + m.held.length, 0);
  return { nodes, edges, total: { accounts: ms.length, tokens: w.tokens(c).length, links }, hidden: { accounts: (around ? pool.length : ms.length) - shown, tokens: toks.length - drawn.length, links: 0 }, aggregated, around };
}
const sign = (m, drawn) => m.held.filter((h) => drawn.includes(h)).map((h) => h.token).sort().join("|");

function hunt(w, b) {
  const all = [];
  for (const c of w.list.slice(0, 40)) for (const m of w.members(c)) { if (all.length > 6000) break; all.push([account(w, c, m), m]); }
  const val = (x, f) => ({ token: x[1].held.map((h) => h.token), family: x[1].families, campaign: x[0].campaigns, output: x[0].tokens.output })[f] ?? x[0][f];
  const holds = (x, f) => {
    const v = [val(x, f.field)].flat();
    const has = (t) => v.some(t);
    return { is: () => has((y) => String(y) === String(f.value)), not: () => !has((y) => String(y) === String(f.value)), in: () => has((y) => [f.value].flat().includes(String(y))), begins: () => has((y) => String(y).startsWith(f.value)), has: () => has((y) => String(y).toLowerCase().includes(String(f.value).toLowerCase())), from: () => has((y) => (typeof y === "number" ? y >= Number(f.value) : y >= f.value)), to: () => has((y) => (typeof y === "number" ? y < Number(f.value) : y < f.value)) }[f.op]?.() ?? true;
  };
  const out = all.filter((x) => (b.filters ?? []).every((f) => holds(x, f)));
  const by = { id: (x) => x.id, exchanges: (x) => -x.exchanges, output: (x) => -x.tokens.output, last: (x) => -Date.parse(x.last) }[b.sort ?? "output"];
  const pivot = new Map();
  if (b.pivot) for (const x of out) for (const v of [val(x, b.pivot)].flat()) { if (v === "") continue; const p = pivot.get(v) ?? { value: String(v), accounts: 0, exchanges: 0, output: 0 }; p.accounts++; p.exchanges += x[0].exchanges; p.output += x[0].tokens.output; pivot.set(v, p); }
  const sorted = out.map((x) => x[0]).sort((x, y) => (by(x) < by(y) ? -1 : 1));
  const at = Number(b.cursor) || 0, limit = b.limit ?? 50;
  return { items: sorted.slice(at, at + limit), next: at + limit < sorted.length ? String(at + limit) : "", total: sorted.length, pivot: [...pivot.values()].sort((x, y) => y.accounts - x.accounts).slice(0, 100) };
}

function system(w, s) {
  const count = (f) => s.verdicts.filter(f).length;
  const open = s.appeals.filter((x) => x.state === "open" || x.state === "in_review");
  return {
    at: iso(Date.now()), since: iso(Date.now() - 4 * day),
    drops: [{ where: "gateway observations", taken: 18223410, dropped: 0 }, { where: "stream", taken: 18223410, dropped: 214 }, { where: "archive", taken: 18223196, dropped: 0 }],
    detector: { from: iso(w.now - 12 * day), to: iso(Date.now() - 900), lag_seconds: 0.9, exchanges: 18223196, accounts: 214220, rejected: 31, campaigns: w.list.length, linked: 194 },
    calibration: [{ name: "false_act", says: "campaigns at act that people found benign", stated: 0.01, observed: 0.0, low: 0, high: 0.071, n: 41 }, { name: "false_review", says: "campaigns at review that people found benign", stated: 0.05, observed: 0.062, low: 0.033, high: 0.108, n: 161 }, { name: "overturned", says: "automated decisions that appeals overturned", stated: 0.02, observed: null, low: 0, high: 1, n: 0 }],
    enforcement: { mode: "enforce", enforce: ["observe", "slow", "budget", "withhold"], states: ["pending", "enforced", "shadow", "revoked", "expired"].map((state) => ({ state, verdicts: state === "shadow" ? 320 : count((v) => v.state === state) })), measures: ["observe", "slow", "budget", "withhold", "step-up", "smaller-model", "suspend"].map((measure) => ({ measure, enforced: count((v) => v.state === "enforced" && v.measure === measure), shadow: measure === "suspend" ? 290 : measure === "step-up" ? 30 : 0 })) },
    process: { open: open.length, overdue: open.filter((x) => x.overdue).length, decided: 37, overturned: 4, median_hours: 9.5, expired_unreviewed: 0 },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await start({ port: Number(process.env.PORT) || 7070 });
  console.log(`${url}  users ana (analyst), ben (approver, any code), cy (approver), admin, audit, vi; password: ${password}`);
}
