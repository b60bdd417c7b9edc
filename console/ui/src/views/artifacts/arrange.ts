import type { Lineage } from "../../api/gen/schema";

export interface Placed {
  id: string;
  x: number;
  y: number;
  root: boolean;
  missing: boolean;
}

export interface Line {
  key: string;
  from: string;
  to: string;
  path: string;
  grade: string;
  role: string;
  signer: string;
}

const box = { w: 210, h: 48 };
const gap = { x: 90, y: 16 };

/**
 * Places a lineage in columns: what nothing was used for stands rightmost, and each artifact stands left of all that it was used
 * for. Within a column, artifacts stand near what they were used for. Cycles, which claims can have, are cut.
 */
export function arrange(l: Lineage): { nodes: Placed[]; edges: Line[]; width: number; height: number; box: typeof box } {
  const ids = l.nodes.map((n) => n.identity);
  const known = new Set(ids);
  const edges = l.edges.filter((e) => known.has(e.from) && known.has(e.to) && e.from !== e.to);
  const outOf = new Map<string, string[]>();
  for (const e of edges) outOf.set(e.from, [...(outOf.get(e.from) ?? []), e.to]);
  const depth = new Map<string, number>();
  const walk = (id: string, on: Set<string>): number => {
    const have = depth.get(id);
    if (have !== undefined) return have;
    on.add(id);
    const d = Math.max(-1, ...(outOf.get(id) ?? []).filter((t) => !on.has(t)).map((t) => walk(t, on))) + 1;
    on.delete(id);
    depth.set(id, d);
    return d;
  };
  for (const id of ids) walk(id, new Set());
  const columns: string[][] = [];
  for (const id of ids) (columns[depth.get(id)!] ??= []).push(id);
  const rowOf = new Map<string, number>();
  columns.forEach((column, d) => {
    if (d > 0) {
      const wish = (id: string) => {
        const rows = (outOf.get(id) ?? []).map((t) => rowOf.get(t)).filter((r): r is number => r !== undefined);
        return rows.length ? rows.reduce((a, b) => a + b, 0) / rows.length : 0;
      };
      column.sort((a, b) => wish(a) - wish(b));
    }
    column.forEach((id, i) => rowOf.set(id, i - (column.length - 1) / 2));
  });
  const tallest = Math.max(1, ...columns.map((c) => c.length));
  const width = columns.length * box.w + (columns.length - 1) * gap.x + 4;
  const height = tallest * box.h + (tallest - 1) * gap.y + 4;
  const at = new Map<string, { x: number; y: number }>();
  for (const id of ids) at.set(id, { x: width - 2 - box.w - depth.get(id)! * (box.w + gap.x), y: height / 2 - box.h / 2 + rowOf.get(id)! * (box.h + gap.y) });
  return {
    nodes: l.nodes.map((n) => ({ id: n.identity, ...at.get(n.identity)!, root: n.root, missing: n.missing ?? false })),
    edges: edges.map((e, i) => {
      const a = at.get(e.from)!;
      const b = at.get(e.to)!;
      const [x1, y1, x2, y2] = [a.x + box.w, a.y + box.h / 2, b.x, b.y + box.h / 2];
      const bend = Math.max(30, (x2 - x1) / 2);
      return { key: `${i}`, from: e.from, to: e.to, path: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, grade: e.grade, role: e.role, signer: e.signer ?? "" };
    }),
    width,
    height,
    box,
  };
}
