// Self-contained proofs of C2SP tlog-proof, and the entries that Palladium's ledger keeps.

import { base64, equal, hex, sha256, Unsupported } from "./sha256";
import { leafHash, rootFrom, type Step } from "./merkle";
import { checkSignature, parseCheckpoint, parseKey, type Checkpoint } from "./note";

export interface TlogProof {
  index: number;
  entry: Uint8Array;
  hashes: Uint8Array[];
  checkpoint: string;
}

export interface Entry {
  type: string;
  sha256: string;
  size: number;
  time: string;
}

const header = "c2sp.org/tlog-proof@v1";
const entryHeader = "palladium/ledger-entry/v1";

/** Reads a proof as `palladium ledger prove` writes it. */
export function parseProof(text: string): TlogProof {
  const split = text.indexOf("\n\n");
  if (split < 0) throw new Error("the proof has no checkpoint");
  const lines = text.slice(0, split).split("\n");
  if (lines.shift() !== header) throw new Error(`the proof does not start with ${header}`);
  const extra = lines[0]?.startsWith("extra ") ? lines.shift()!.slice(6) : undefined;
  if (extra === undefined) throw new Error("the proof does not hold the entry");
  const m = /^index (0|[1-9][0-9]{0,14})$/.exec(lines.shift() ?? "");
  if (!m) throw new Error("the proof does not state the entry's number");
  return { index: Number(m[1]), entry: base64(extra), hashes: lines.map(base64), checkpoint: text.slice(split + 2) };
}

/** Reads an entry: five lines, nothing else. */
export function parseEntry(data: Uint8Array): Entry {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
  const m = /^(\S+)\ntype ([!-~]+)\nsha256 ([0-9a-f]{64})\nsize (0|[1-9][0-9]*)\ntime (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\n$/.exec(text);
  if (!m || m[1] !== entryHeader) throw new Error("the entry is not in its one proper form");
  return { type: m[2]!, sha256: m[3]!, size: Number(m[4]), time: m[5]! };
}

/** What was checked, one line each: what was compared, and how it came out. */
export interface Check {
  name: string;
  says: string;
  ok: boolean | null; // null: could not be checked here
}

export interface Verified {
  ok: boolean;
  checks: Check[];
  entry?: Entry;
  checkpoint?: Checkpoint;
  steps: Step[];
}

const because = (e: unknown) => (e instanceof Error ? e.message : String(e));

/**
 * Checks in this browser, with nothing but the log's public key, that an entry is in the log, and, when its statement is
 * given, that the statement is the one logged. It never throws: what fails is in the checks.
 */
export async function verify(proof: string, publicKey: string, statement?: Uint8Array): Promise<Verified> {
  const out: Verified = { ok: false, checks: [], steps: [] };
  const add = (name: string, says: string, ok: boolean | null) => out.checks.push({ name, says, ok });
  let p: TlogProof;
  try {
    p = parseProof(proof);
    out.entry = parseEntry(p.entry);
    out.checkpoint = parseCheckpoint(p.checkpoint);
    add("Form", `entry ${p.index}, ${p.hashes.length} hashes, a checkpoint over ${out.checkpoint.size} entries`, true);
  } catch (e) {
    add("Form", because(e), false);
    return out;
  }
  const cp = out.checkpoint;
  try {
    const { root, steps } = await rootFrom(p.index, cp.size, await leafHash(p.entry), p.hashes);
    out.steps = steps;
    const same = equal(root, cp.root);
    add("Place in the tree", same ? `${steps.length} hashes lead from the entry to the signed root` : "the hashes lead to another root than the signed one", same);
  } catch (e) {
    add("Place in the tree", because(e), e instanceof Unsupported ? null : false);
  }
  try {
    await checkSignature(cp, await parseKey(publicKey));
    add("Signature", `${cp.origin} has signed the root`, true);
  } catch (e) {
    add("Signature", because(e), e instanceof Unsupported ? null : false);
  }
  if (statement) {
    try {
      const digest = hex(await sha256(statement));
      const same = digest === out.entry.sha256 && statement.length === out.entry.size;
      add("Statement", same ? "its SHA-256 is the one that the entry holds" : "it is not the one that was logged: its SHA-256 is " + digest, same);
    } catch (e) {
      add("Statement", because(e), e instanceof Unsupported ? null : false);
    }
  }
  out.ok = out.checks.every((c) => c.ok === true);
  return out;
}
