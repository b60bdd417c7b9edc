import type { Column } from "../../parts/Table.svelte";

/** The columns of every table of accounts; AccountRows writes their cells. */
export const accountColumns: Column[] = [
  { label: "Account", width: "min(15rem, 42cqi)" },
  { label: "Organisation" },
  { label: "Plan", width: "6rem", from: "m" },
  { label: "Mail domain", width: "9rem", from: "l" },
  { label: "Drew", width: "5.5rem", num: true, hint: "Output tokens" },
  { label: "Exchanges", width: "6rem", num: true, from: "s" },
  { label: "Signed up", width: "8rem", from: "xl" },
  { label: "Last seen", width: "8rem", from: "m" },
  { label: "Campaigns", width: "8rem", from: "s" },
];
