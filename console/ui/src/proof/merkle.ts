// Inclusion proofs of RFC 6962, verified as RFC 9162, 2.1.3.2 says. Indices and sizes stay below 2^53.

import { sha256 } from "./sha256";

const leafPrefix = Uint8Array.of(0);
const nodePrefix = Uint8Array.of(1);

/** The hash of a leaf: SHA-256 of a zero byte and the entry. */
export function leafHash(entry: Uint8Array): Promise<Uint8Array> {
  return sha256(leafPrefix, entry);
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
  return sha256(nodePrefix, left, right);
}

/** One step of a proof: which side the sibling stands on, and what the two hash to. */
export interface Step {
  sibling: Uint8Array;
  left: boolean;
  result: Uint8Array;
}

/**
 * Computes the root that a leaf at index leads to in a tree of size leaves, with the steps on the way.
 * Throws when the path is too long or too short for that place.
 */
export async function rootFrom(index: number, size: number, leaf: Uint8Array, path: Uint8Array[]): Promise<{ root: Uint8Array; steps: Step[] }> {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) {
    throw new Error(`entry ${index} is not among the ${size} of the tree`);
  }
  let fn = index;
  let sn = size - 1;
  let r = leaf;
  const steps: Step[] = [];
  for (const p of path) {
    if (p.length !== 32) throw new Error("a hash of the proof does not have 32 bytes");
    if (sn === 0) throw new Error("the proof has more hashes than the tree has levels");
    const left = fn % 2 === 1 || fn === sn;
    r = left ? await nodeHash(p, r) : await nodeHash(r, p);
    steps.push({ sibling: p, left, result: r });
    if (left) {
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  if (sn !== 0) throw new Error("the proof has fewer hashes than the tree has levels");
  return { root: r, steps };
}
