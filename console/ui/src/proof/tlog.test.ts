import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { rootFrom, leafHash, nodeHash } from "./merkle";
import { base64, equal, hex, sha256, toBase64 } from "./sha256";
import { parseEntry, parseProof, verify } from "./tlog";

const data = (name: string) => readFileSync(new URL("testdata/" + name, import.meta.url), "utf8");
const key = data("ledger.pub");
const statement = new TextEncoder().encode(data("6.json"));

describe("proofs that the command line has made", () => {
  for (const i of [0, 6, 10]) {
    test(`entry ${i} holds`, async () => {
      const v = await verify(data(`${i}.tlog-proof`), key);
      expect(v.checks.filter((c) => c.ok !== true)).toEqual([]);
      expect(v.ok).toBe(true);
      expect(v.checkpoint?.size).toBe(11);
    });
  }
  test("with the statement", async () => {
    expect((await verify(data("6.tlog-proof"), key, statement)).ok).toBe(true);
  });
  test("another statement is found out", async () => {
    const v = await verify(data("6.tlog-proof"), key, new TextEncoder().encode('{"n":7}'));
    expect(v.ok).toBe(false);
    expect(v.checks.find((c) => c.name === "Statement")?.ok).toBe(false);
  });
});

// Whatever is changed in a proof, it must not hold any more.
describe("changed proofs", () => {
  const good = data("6.tlog-proof");
  const lines = good.split("\n");
  const swap = (from: string, to: string) => {
    expect(good).toContain(from);
    return good.replace(from, to);
  };
  const cases: Record<string, string> = {
    "another index": swap("index 6", "index 7"),
    "an index beyond the tree": swap("index 6", "index 11"),
    "a negative index": swap("index 6", "index -6"),
    "a hash less": [...lines.slice(0, 3), ...lines.slice(4)].join("\n"),
    "a hash more": [...lines.slice(0, 4), lines[3], ...lines.slice(4)].join("\n"),
    "hashes in another order": [...lines.slice(0, 3), lines[4], lines[3], ...lines.slice(5)].join("\n"),
    "another entry": swap(lines[1]!.slice(6, 60), toBase64(new TextEncoder().encode("palladium/ledger-entry/v1\ntype https:")).slice(0, 54)),
    "another size": swap("\n11\n", "\n12\n"),
    "another origin": swap("example.com/models\n11", "example.com/model2\n11"),
    "no signature": good.slice(0, good.indexOf("\u2014 ")),
    "text before it": "x" + good,
    "no checkpoint": good.slice(0, good.indexOf("\n\n")),
    empty: "",
    "the entry of another proof": good.replace(lines[1]!, data("0.tlog-proof").split("\n")[1]!),
    "the checkpoint's root changed": good.replace(/\n11\n(.)/, (_, c) => `\n11\n${c === "A" ? "B" : "A"}`),
  };
  for (const [name, proof] of Object.entries(cases)) {
    test(name, async () => {
      expect((await verify(proof, key)).ok).toBe(false);
    });
  }
  test("every single bit of the signature counts", async () => {
    const m = /\u2014 example.com\/models (\S+)/.exec(good)!;
    const raw = base64(m[1]!);
    for (const i of [0, 3, 4, 20, 36, 50, 67]) {
      const bent = raw.slice();
      bent[i]! ^= 1;
      expect((await verify(good.replace(m[1]!, toBase64(bent)), key)).ok).toBe(false);
    }
  });
  test("another key", async () => {
    const [, head, data] = /^([^+]+\+[0-9a-f]{8}\+)(.*)$/.exec(key.trim())!;
    const raw = base64(data!);
    raw[9]! ^= 1;
    expect((await verify(good, head + toBase64(raw))).ok).toBe(false);
  });
});

// Trees of every small size, built here by the definition of RFC 6962, 2.1, and every leaf of each.
test("inclusion in trees of 1 to 40 leaves", async () => {
  const leaves = await Promise.all(Array.from({ length: 40 }, (_, i) => leafHash(Uint8Array.of(i))));
  const split = (n: number) => 2 ** Math.floor(Math.log2(n - 1));
  const root = async (l: Uint8Array[]): Promise<Uint8Array> => (l.length === 1 ? l[0]! : nodeHash(await root(l.slice(0, split(l.length))), await root(l.slice(split(l.length)))));
  const path = async (m: number, l: Uint8Array[]): Promise<Uint8Array[]> => {
    if (l.length === 1) return [];
    const k = split(l.length);
    return m < k ? [...(await path(m, l.slice(0, k))), await root(l.slice(k))] : [...(await path(m - k, l.slice(k))), await root(l.slice(0, k))];
  };
  for (let n = 1; n <= 40; n++) {
    const all = leaves.slice(0, n);
    const want = await root(all);
    for (let m = 0; m < n; m++) {
      const p = await path(m, all);
      expect(equal((await rootFrom(m, n, all[m]!, p)).root, want)).toBe(true);
      if (n > 1) {
        const other = (m + 1) % n;
        const got = await rootFrom(other, n, all[m]!, p).then((r) => r.root, () => null);
        expect(got !== null && equal(got, want)).toBe(false);
      }
    }
  }
});

test("bytes and text", async () => {
  expect(hex(await sha256(new TextEncoder().encode("abc")))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(() => base64("YQ")).toThrow();
  expect(() => base64("YR==")).toThrow(); // stray bits
  expect(() => base64("Y Q=")).toThrow();
  expect([...base64("AAEC")]).toEqual([0, 1, 2]);
  expect(() => parseEntry(new TextEncoder().encode("palladium/ledger-entry/v1\ntype x\n"))).toThrow();
  expect(() => parseProof("c2sp.org/tlog-proof@v1\nindex 0\n\nx")).toThrow();
});
