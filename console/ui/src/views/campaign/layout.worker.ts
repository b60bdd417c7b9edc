// Lays a graph out away from the page's thread. Force Atlas 2 over plain arrays; the start is given, so that the
// same graph always comes out the same.
import iterate from "graphology-layout-forceatlas2/iterate.js";

export interface Job {
  x: Float32Array;
  y: Float32Array;
  size: Float32Array;
  edges: Uint32Array; // pairs of node numbers
  weights: Float32Array;
  rounds: number;
}

const perNode = 10;
const perEdge = 3;

onmessage = (e: MessageEvent<Job>) => {
  const { x, y, size, edges, weights, rounds } = e.data;
  const n = x.length;
  const nodes = new Float32Array(n * perNode);
  for (let i = 0; i < n; i++) {
    const at = i * perNode;
    nodes[at] = x[i]!;
    nodes[at + 1] = y[i]!;
    nodes[at + 6] = 1; // mass: 1 and the weights of its edges
    nodes[at + 7] = 1; // convergence
    nodes[at + 8] = size[i]!;
  }
  const links = new Float32Array(weights.length * perEdge);
  for (let i = 0; i < weights.length; i++) {
    const s = edges[2 * i]! * perNode;
    const t = edges[2 * i + 1]! * perNode;
    links[i * perEdge] = s;
    links[i * perEdge + 1] = t;
    links[i * perEdge + 2] = weights[i]!;
    nodes[s + 6]! += weights[i]!;
    nodes[t + 6]! += weights[i]!;
  }
  const settings = {
    linLogMode: false, outboundAttractionDistribution: true, adjustSizes: false, edgeWeightInfluence: 1, scalingRatio: 14,
    strongGravityMode: true, gravity: 0.04, slowDown: 1 + Math.log(Math.max(n, 2)), barnesHutOptimize: n > 400, barnesHutTheta: 0.6,
  };
  for (let i = 0; i < rounds; i++) iterate(settings, nodes, links);
  for (let i = 0; i < n; i++) {
    x[i] = nodes[i * perNode]!;
    y[i] = nodes[i * perNode + 1]!;
  }
  postMessage({ x, y }, { transfer: [x.buffer, y.buffer] });
};
