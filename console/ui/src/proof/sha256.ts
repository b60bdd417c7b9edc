// The browser's own SHA-256 and Ed25519. WebCrypto is there in secure contexts only: HTTPS, or localhost.

export class Unsupported extends Error {}

export function subtle(): SubtleCrypto {
  if (!globalThis.crypto?.subtle) throw new Unsupported("this page was not opened over HTTPS, so the browser offers no cryptography; open the console over HTTPS, or on localhost");
  return globalThis.crypto.subtle;
}

export async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await subtle().digest("SHA-256", concat(...parts)));
}

/** Checks an Ed25519 signature. Throws Unsupported where the browser does not know Ed25519. */
export async function ed25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  let key: CryptoKey;
  try {
    key = await subtle().importKey("raw", publicKey as BufferSource, { name: "Ed25519" }, false, ["verify"]);
  } catch (e) {
    if (e instanceof DOMException && e.name === "NotSupportedError") throw new Unsupported("this browser cannot check Ed25519 signatures; update it, or run `palladium ledger verify`");
    throw e;
  }
  return subtle().verify({ name: "Ed25519" }, key, signature as BufferSource, message as BufferSource);
}

export function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export function hex(b: Uint8Array): string {
  return Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
}

/** Decodes standard base64 in its one proper form: padded, no stray bits. Throws on any other. */
export function base64(s: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(s)) throw new Error("not base64");
  const out = Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  if (toBase64(out) !== s) throw new Error("not base64 in its proper form");
  return out;
}

export function toBase64(b: Uint8Array): string {
  let s = "";
  for (const x of b) s += String.fromCharCode(x);
  return btoa(s);
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}
