// Addresses that become code. The page demands trusted types, so this is the one way; it lets nothing through but the
// console's own files.

interface Policy {
  createScriptURL(url: string): unknown;
}

let policy: Policy | null | undefined;

/** Returns an address of the console's own as one that a worker may be made from. */
export function scriptURL(url: string): string {
  const own = new URL(url, location.origin);
  if (own.origin !== location.origin || !own.pathname.startsWith("/assets/")) {
    if (!import.meta.env.DEV) throw new Error("not a file of the console");
  }
  const factory = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): Policy } }).trustedTypes;
  policy ??= factory ? factory.createPolicy("palladium", { createScriptURL: (s: string) => s }) : null;
  return (policy ? policy.createScriptURL(own.href) : own.href) as string;
}
