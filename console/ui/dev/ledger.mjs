// A small transparency log in memory, in the forms of C2SP, so that the console's own verification has something real to verify.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

const h = (...parts) => { const d = createHash("sha256"); for (const p of parts) d.update(p); return d.digest(); };
const leaf = (entry) => h(Buffer.of(0), entry);
const node = (a, b) => h(Buffer.of(1), a, b);

export class Ledger {
  entries = [];
  #leaves = [];
  #memo = new Map(); // roots of whole subtrees: they never change
  constructor(origin) {
    this.origin = origin;
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    this.private = privateKey;
    const raw = Buffer.concat([Buffer.of(1), publicKey.export({ format: "der", type: "spki" }).subarray(-32)]);
    this.id = h(Buffer.from(origin + "\n"), raw).subarray(0, 4);
    this.key = `${origin}+${this.id.toString("hex")}+${raw.toString("base64")}`;
  }
  append(type, statement, at = Date.now()) {
    const text = JSON.stringify(statement);
    const body = Buffer.from(text);
    const entry = Buffer.from(`palladium/ledger-entry/v1\ntype ${type}\nsha256 ${createHash("sha256").update(body).digest("hex")}\nsize ${body.length}\ntime ${new Date(at).toISOString()}\n`);
    this.entries.push({ index: this.entries.length, type, digest: createHash("sha256").update(body).digest("hex"), size: body.length, time: new Date(at).toISOString(), text, statement, entry });
    this.#leaves.push(leaf(entry));
    return this.entries.length - 1;
  }
  #root(lo, hi) {
    if (hi - lo === 1) return this.#leaves[lo];
    const key = lo + ":" + hi;
    const whole = Number.isInteger(Math.log2(hi - lo));
    if (whole && this.#memo.has(key)) return this.#memo.get(key);
    let k = 1;
    while (k * 2 < hi - lo) k *= 2;
    const out = node(this.#root(lo, lo + k), this.#root(lo + k, hi));
    if (whole) this.#memo.set(key, out);
    return out;
  }
  #path(i, lo, hi) {
    if (hi - lo === 1) return [];
    let k = 1;
    while (k * 2 < hi - lo) k *= 2;
    return i < lo + k ? [...this.#path(i, lo, lo + k), this.#root(lo + k, hi)] : [...this.#path(i, lo + k, hi), this.#root(lo, lo + k)];
  }
  checkpoint() {
    const n = this.entries.length;
    const text = `${this.origin}\n${n}\n${(n ? this.#root(0, n) : h()).toString("base64")}\n`;
    const sig = Buffer.concat([this.id, sign(null, Buffer.from(text), this.private)]).toString("base64");
    return `${text}\n\u2014 ${this.origin} ${sig}\n`;
  }
  proof(i) {
    const e = this.entries[i];
    return ["c2sp.org/tlog-proof@v1", "extra " + e.entry.toString("base64"), "index " + i, ...this.#path(i, 0, this.entries.length).map((x) => x.toString("base64")), "", this.checkpoint()].join("\n");
  }
}
