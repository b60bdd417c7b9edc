export interface DiffLine {
  kind: "same" | "added" | "gone" | "skip";
  text: string;
}

const most = 2000; // lines; above, the two are shown as wholly different

/** Compares two texts line by line: a longest common subsequence, with three lines of context around each change. */
export function diff(before: string, after: string, context = 3): DiffLine[] {
  const a = before.split("\n");
  const b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const lines: DiffLine[] = [
    ...a.slice(0, head).map((text): DiffLine => ({ kind: "same", text })),
    ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map((text): DiffLine => ({ kind: "same", text })),
  ];
  const near = lines.map((_, i) => lines.slice(Math.max(0, i - context), i + context + 1).some((l) => l.kind !== "same"));
  const out: DiffLine[] = [];
  let skipped = 0;
  const flush = () => {
    if (skipped > 0) out.push({ kind: "skip", text: `${skipped} line${skipped === 1 ? "" : "s"} alike` });
    skipped = 0;
  };
  lines.forEach((l, i) => {
    if (!near[i]) {
      skipped++;
      return;
    }
    flush();
    out.push(l);
  });
  flush();
  return out;
}

function middle(a: string[], b: string[]): DiffLine[] {
  const gone = (l: string[]): DiffLine[] => l.map((text) => ({ kind: "gone", text }));
  const added = (l: string[]): DiffLine[] => l.map((text) => ({ kind: "added", text }));
  if (a.length === 0 || b.length === 0 || a.length > most || b.length > most) return [...gone(a), ...added(b)];
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) table[i * width + j] = a[i] === b[j] ? table[(i + 1) * width + j + 1]! + 1 : Math.max(table[(i + 1) * width + j]!, table[i * width + j + 1]!);
  }
  const out: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: "same", text: a[i]! });
      i++;
      j++;
    } else if (table[(i + 1) * width + j]! >= table[i * width + j + 1]!) out.push({ kind: "gone", text: a[i++]! });
    else out.push({ kind: "added", text: b[j++]! });
  }
  return [...out, ...gone(a.slice(i)), ...added(b.slice(j))];
}
