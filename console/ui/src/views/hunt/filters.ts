import type { Hunt } from "../../api/gen/schema";

export interface Filter {
  field: string;
  op: string;
  value: string;
}

type Kind = "text" | "time" | "number";

export const fields: { name: string; label: string; kind: Kind }[] = [
  { name: "id", label: "Id", kind: "text" },
  { name: "organization", label: "Organisation", kind: "text" },
  { name: "plan", label: "Plan", kind: "text" },
  { name: "email_domain", label: "Mail domain", kind: "text" },
  { name: "email_shape", label: "Shape of the address", kind: "text" },
  { name: "payment", label: "Payment", kind: "text" },
  { name: "bin", label: "Issuer range", kind: "text" },
  { name: "phone_prefix", label: "Phone prefix", kind: "text" },
  { name: "device", label: "Device", kind: "text" },
  { name: "signup_ip", label: "Signed up from", kind: "text" },
  { name: "relation", label: "Relation", kind: "text" },
  { name: "campaign", label: "Campaign", kind: "text" },
  { name: "family", label: "Family of evidence", kind: "text" },
  { name: "token", label: "Piece of evidence", kind: "text" },
  { name: "created", label: "Signed up", kind: "time" },
  { name: "first", label: "First seen", kind: "time" },
  { name: "last", label: "Last seen", kind: "time" },
  { name: "exchanges", label: "Exchanges", kind: "number" },
  { name: "output", label: "Output tokens", kind: "number" },
];

export const pivots = ["organization", "plan", "email_domain", "email_shape", "payment", "bin", "phone_prefix", "device", "signup_ip", "relation", "campaign", "token"];

/** The comparisons that a field knows. */
export function ops(field: string): string[] {
  const kind = fields.find((f) => f.name === field)?.kind ?? "text";
  return kind === "text" ? ["is", "not", "in", "begins", "has"] : ["from", "to", "is", "not"];
}

/** Reads a filter from an address: FIELD:OP:VALUE. null for what is none. */
export function parseFilter(s: string): Filter | null {
  const m = /^([a-z_]+):([a-z]+):(.+)$/s.exec(s);
  if (!m || !fields.some((f) => f.name === m[1]) || !ops(m[1]!).includes(m[2]!)) return null;
  return { field: m[1]!, op: m[2]!, value: m[3]! };
}

export function writeFilter(f: Filter): string {
  return `${f.field}:${f.op}:${f.value}`;
}

/** The request for filters, with values in the types that the API wants. */
export function body(filters: Filter[], pivot: string, sort: string): Hunt {
  const typed = (f: Filter): string | number | string[] => {
    if (f.op === "in") return f.value.split(",").map((v) => v.trim()).filter(Boolean);
    if (fields.find((x) => x.name === f.field)?.kind === "number" && Number.isFinite(Number(f.value))) return Number(f.value);
    return f.value;
  };
  return {
    filters: filters.map((f) => ({ field: f.field, op: f.op, value: typed(f) })) as Hunt["filters"],
    ...(pivot ? { pivot: pivot as Hunt["pivot"] } : {}),
    ...(["id", "exchanges", "last"].includes(sort) ? { sort: sort as Hunt["sort"] } : {}),
  } as Hunt;
}
