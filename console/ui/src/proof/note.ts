// Signed notes and checkpoints of C2SP: a text, a blank line, signature lines.

import { base64, ed25519, equal, hex, sha256 } from "./sha256";

export interface Verifier {
  name: string;
  id: Uint8Array; // four bytes
  key: Uint8Array; // 32 bytes, Ed25519
}

export interface Checkpoint {
  origin: string;
  size: number;
  root: Uint8Array;
  text: string; // what is signed
  signatures: { name: string; raw: Uint8Array }[];
}

const utf8 = new TextEncoder();

/** Reads a public key of the form NAME+ID+KEY and checks that the id is that of the key. */
export async function parseKey(line: string): Promise<Verifier> {
  const m = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(line.trim());
  if (!m) throw new Error("the log's public key is not a line NAME+HASH+KEY");
  const [, name = "", idHex = "", data = ""] = m;
  const raw = base64(data);
  if (raw[0] !== 1 || raw.length !== 33) throw new Error("the log's public key is not an Ed25519 key");
  const id = (await sha256(utf8.encode(name + "\n"), raw)).slice(0, 4);
  if (hex(id) !== idHex) throw new Error("the log's public key does not have the hash that it states");
  return { name, id, key: raw.slice(1) };
}

/** Reads a checkpoint in its one proper form. Nothing is verified yet. */
export function parseCheckpoint(note: string): Checkpoint {
  const split = note.lastIndexOf("\n\n");
  if (split < 0 || !note.endsWith("\n")) throw new Error("the checkpoint is no signed note");
  const text = note.slice(0, split + 1);
  const [origin = "", sizeText = "", rootText = ""] = text.split("\n");
  if (origin === "" || !/^(0|[1-9][0-9]{0,14})$/.test(sizeText)) throw new Error("the signed text is no checkpoint: it must be origin, size and root hash");
  const root = base64(rootText);
  if (root.length !== 32) throw new Error("the checkpoint's root hash does not have 32 bytes");
  const signatures = note.slice(split + 2, -1).split("\n").map((line) => {
    const m = /^\u2014 ([^\s+]+) (\S+)$/.exec(line);
    if (!m) throw new Error("the checkpoint has a line that is no signature");
    const raw = base64(m[2]!);
    if (raw.length < 5) throw new Error("the checkpoint has a signature that is too short");
    return { name: m[1]!, raw };
  });
  return { origin, size: Number(sizeText), root, text, signatures };
}

/** Checks that the log itself has signed the checkpoint. Throws, saying why, when it has not. */
export async function checkSignature(cp: Checkpoint, by: Verifier): Promise<void> {
  if (cp.origin !== by.name) throw new Error(`the checkpoint is of log ${cp.origin}, the key of ${by.name}`);
  const own = cp.signatures.filter((s) => s.name === by.name && equal(s.raw.slice(0, 4), by.id));
  if (own.length === 0) throw new Error(`no signature is by the key of ${by.name}`);
  for (const s of own) {
    if (!(await ed25519(by.key, utf8.encode(cp.text), s.raw.slice(4)))) throw new Error(`the signature of ${by.name} does not hold`);
  }
}
