// The drawing of the link graph; loaded with the graph's tab only.

import Graph from "graphology";
import Sigma from "sigma";
import type { Graph as Data, GraphNode } from "../../api/gen/schema";
import { shapes } from "../../parts/shapes";
import { scriptURL } from "../../shell/trusted";
import layoutURL from "./layout.worker?worker&url";

export interface Drawing {
  select: (id: string | null) => void;
  theme: () => void;
  fit: () => void;
  zoom: (factor: number) => void;
  destroy: () => void;
}

interface Hooks {
  onselect: (id: string | null) => void;
  onopen: (id: string) => void;
}

/** Whether the browser can draw it. */
export function canDraw(): boolean {
  try {
    return !!document.createElement("canvas").getContext("webgl2");
  } catch {
    return false;
  }
}

/** Draws the graph into box. Selecting dims all that is not next to the selected node. */
export async function draw(box: HTMLElement, data: Data, hooks: Hooks, signal: AbortSignal): Promise<Drawing | null> {
  const at = await layout(data, signal);
  if (signal.aborted) return null;
  const graph = new Graph({ multi: false, type: "undirected" });
  data.nodes.forEach((n, i) => graph.addNode(n.id, { x: at.x[i], y: at.y[i], size: radius(n), label: n.label, node: n }));
  for (const e of data.edges) {
    if (graph.hasNode(e.source) && graph.hasNode(e.target) && !graph.hasEdge(e.source, e.target)) graph.addEdge(e.source, e.target, { size: Math.min(6, 0.6 + Math.log1p(e.accounts) / 2), family: e.family });
  }
  const few = data.nodes.filter((n) => n.kind === "token").length <= 16;
  let colors = palette(box);
  let selected: string | null = null;
  let hovered: string | null = null;
  let near = new Set<string>();

  const sigma = new Sigma(graph, box, {
    allowInvalidContainer: true, renderEdgeLabels: false, labelRenderedSizeThreshold: 7, labelDensity: 0.6, labelFont: getComputedStyle(box).fontFamily, labelSize: 11,
    zIndex: true, minCameraRatio: 0.08, maxCameraRatio: 4, stagePadding: 72,
    defaultDrawNodeHover: () => {},
    defaultDrawNodeLabel: (ctx, d, s) => {
      if (!d.label) return;
      ctx.font = `${s.labelSize}px ${s.labelFont}`;
      const [x, y] = [d.x + d.size + 4, d.y + s.labelSize / 3];
      ctx.strokeStyle = colors.paper!;
      ctx.lineWidth = 4;
      ctx.lineJoin = "round";
      ctx.strokeText(d.label, x, y);
      ctx.fillStyle = colors.ink!;
      ctx.fillText(d.label, x, y);
    },
    nodeReducer: (id, a) => {
      const n = a.node as GraphNode;
      const on = !near.size || near.has(id);
      return { ...a, color: on ? (n.kind === "token" ? colors[n.family ?? "parameters"]! : n.kind === "group" ? colors.bar! : colors.dim!) : colors.track!, label: on && (n.kind === "token" || id === selected || id === hovered) ? short(a.label as string) : "", forceLabel: id === selected || id === hovered || (n.kind === "token" && on && (few || (near.size > 0 && near.size < 40))), zIndex: on ? 1 : 0 };
    },
    edgeReducer: (id, a) => {
      const [s, t] = graph.extremities(id);
      const on = near.size > 0 && near.has(s) && near.has(t) && (s === (selected ?? hovered) || t === (selected ?? hovered));
      return { ...a, color: near.size === 0 ? mix(colors[a.family as string]!, colors.paper!, 0.72) : on ? colors[a.family as string]! : mix(colors.track!, colors.paper!, 0.6), zIndex: on ? 1 : 0 };
    },
  });

  // Shapes and numbers over the circles: colour alone must not say what a node is.
  const marks = sigma.createCanvasContext("marks") as unknown as { getCanvases: () => Record<string, HTMLCanvasElement> };
  const canvas = marks.getCanvases().marks!;
  const ctx = canvas.getContext("2d")!;
  const paths = new Map(Object.entries(shapes).map(([k, d]) => [k, new Path2D(d)]));
  const overlay = () => {
    const ratio = devicePixelRatio || 1;
    const { width, height } = sigma.getDimensions();
    if (canvas.width !== width * ratio) canvas.width = width * ratio;
    if (canvas.height !== height * ratio) canvas.height = height * ratio;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    graph.forEachNode((id, a) => {
      const n = a.node as GraphNode;
      if (near.size && !near.has(id)) return;
      const r = sigma.scaleSize(a.size as number);
      const p = sigma.graphToViewport({ x: a.x as number, y: a.y as number });
      if (r < 5 || p.x < -20 || p.y < -20 || p.x > width + 20 || p.y > height + 20) return;
      ctx.fillStyle = colors.paper!;
      if (n.kind === "token") {
        const s = (r * 1.05) / 16;
        ctx.save();
        ctx.translate(p.x - 8 * s, p.y - 8 * s);
        ctx.scale(s, s);
        ctx.fill(paths.get(n.family ?? "other") ?? paths.get("other")!, "evenodd");
        ctx.restore();
      } else if (n.kind === "group" && r > 8) {
        ctx.font = `600 ${Math.min(12, r * 0.8)}px ${getComputedStyle(box).fontFamily}`;
        ctx.fillText(n.accounts >= 1000 ? (n.accounts / 1000).toFixed(n.accounts < 10000 ? 1 : 0) + "k" : String(n.accounts), p.x, p.y + 0.5);
      }
      if (id === selected) {
        ctx.strokeStyle = colors.focus!;
        ctx.lineWidth = 2;
        ctx.beginPath();
        ctx.arc(p.x, p.y, r + 3, 0, 7);
        ctx.stroke();
      }
    });
  };
  sigma.on("afterRender", overlay);

  const show = () => {
    const of = selected ?? hovered;
    near = of && graph.hasNode(of) ? new Set([of, ...graph.neighbors(of)]) : new Set();
    sigma.refresh({ skipIndexation: true });
  };
  sigma.on("enterNode", ({ node }) => {
    hovered = node;
    box.style.cursor = "pointer";
    if (!selected) show();
  });
  sigma.on("leaveNode", () => {
    hovered = null;
    box.style.cursor = "";
    if (!selected) show();
  });
  sigma.on("clickNode", ({ node }) => hooks.onselect(node));
  sigma.on("doubleClickNode", ({ node, preventSigmaDefault }) => {
    preventSigmaDefault();
    if ((graph.getNodeAttribute(node, "node") as GraphNode).opens) hooks.onopen(node);
  });
  sigma.on("clickStage", () => hooks.onselect(null));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const camera = sigma.getCamera();
  const move = (state: Partial<{ x: number; y: number; ratio: number }>) => void camera.animate(state, { duration: still ? 1 : 160 });

  return {
    select(id) {
      selected = id;
      show();
    },
    theme() {
      colors = palette(box);
      sigma.refresh({ skipIndexation: true });
    },
    fit: () => move({ x: 0.5, y: 0.5, ratio: 1 }),
    zoom: (factor) => move({ ratio: camera.getBoundedRatio(camera.ratio / factor) }),
    destroy: () => sigma.kill(),
  };
}

const short = (s: string) => (s.length > 44 ? s.slice(0, 43) + "…" : s);

function radius(n: GraphNode): number {
  if (n.kind === "account") return 3.5;
  if (n.kind === "group") return 6 + Math.min(16, Math.log10(n.accounts + 1) * 4.2);
  return 6 + Math.min(8, Math.log10(n.accounts + 1) * 2.2);
}

async function layout(data: Data, signal: AbortSignal): Promise<{ x: Float32Array; y: Float32Array }> {
  const n = data.nodes.length;
  const x = new Float32Array(n);
  const y = new Float32Array(n);
  const size = new Float32Array(n);
  const number = new Map<string, number>();
  data.nodes.forEach((node, i) => {
    const a = i * 2.399963; // the golden angle: no two begin at one place
    x[i] = Math.cos(a) * Math.sqrt(i + 1) * 10;
    y[i] = Math.sin(a) * Math.sqrt(i + 1) * 10;
    size[i] = radius(node);
    number.set(node.id, i);
  });
  const known = data.edges.filter((e) => number.has(e.source) && number.has(e.target));
  const edges = new Uint32Array(known.flatMap((e) => [number.get(e.source)!, number.get(e.target)!]));
  const weights = new Float32Array(known.map((e) => 1 + Math.log1p(e.accounts) / 4));
  const worker = new Worker(scriptURL(layoutURL), { type: "module" });
  signal.addEventListener("abort", () => worker.terminate());
  try {
    const at = await new Promise<{ x: Float32Array; y: Float32Array }>((done, fail) => {
      worker.onmessage = (e) => done(e.data);
      worker.onerror = () => fail(new Error("the layout could not be computed"));
      worker.postMessage({ x, y, size, edges, weights, rounds: n > 800 ? 160 : 320 });
    });
    pullIn(at.x, at.y);
    return at;
  } finally {
    worker.terminate();
  }
}

/** Centres the drawing and brings what lies far outside nearer, so that one stray node does not make all others small. */
function pullIn(x: Float32Array, y: Float32Array): void {
  const n = x.length;
  if (n === 0) return;
  const middle = (v: Float32Array) => [...v].sort((a, b) => a - b)[Math.floor(n / 2)]!;
  const [cx, cy] = [middle(x), middle(y)];
  const far = x.map((v, i) => Math.hypot(v - cx, y[i]! - cy));
  const usual = [...far].sort((a, b) => a - b)[Math.floor(n * 0.9)]! || 1;
  for (let i = 0; i < n; i++) {
    const r = far[i]! / usual;
    const s = r > 1 ? (1 + Math.log(r) * 0.45) / r : 1;
    x[i] = (x[i]! - cx) * s;
    y[i] = (y[i]! - cy) * s;
  }
}

/** The colours of the theme as values that WebGL takes. */
function palette(box: HTMLElement): Record<string, string> {
  const probe = document.createElement("i");
  box.append(probe);
  const out: Record<string, string> = {};
  for (const name of ["ink", "paper", "dim", "track", "bar", "focus", "identity", "network", "template", "continuity", "twins", "queue", "schedule", "parameters"]) {
    probe.style.color = `var(--${name})`;
    const [r = 0, g = 0, b = 0] = (getComputedStyle(probe).color.match(/[\d.]+/g) ?? []).map(Number);
    out[name] = `#${[r, g, b].map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
  }
  probe.remove();
  return out;
}

function mix(a: string, b: string, share: number): string {
  const v = (s: string, i: number) => parseInt(s.slice(i, i + 2), 16);
  return "#" + [1, 3, 5].map((i) => Math.round(v(a, i) * (1 - share) + v(b, i) * share).toString(16).padStart(2, "0")).join("");
}
