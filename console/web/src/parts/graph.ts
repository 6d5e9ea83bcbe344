// Where the nodes of a lineage stand: causes to the left, each column what the one before it led to.

import type { Graph, GraphEdge, GraphNode } from "../api/types";

export const box = { width: 168, height: 44, gapX: 56, gapY: 14 };

export interface Placed extends GraphNode {
  x: number;
  y: number;
}

export interface Drawing {
  nodes: Placed[];
  edges: (GraphEdge & { a: Placed; b: Placed })[];
  width: number;
  height: number;
}

/** Lays the graph out as a forest: a child stands under the first that led to it. Cycles end where they began. */
export function draw(g: Graph): Drawing {
  const byId = new Map(g.nodes.map((n) => [n.id, n]));
  const edges = g.edges.filter((e) => byId.has(e.from) && byId.has(e.to) && e.from !== e.to);
  const children = new Map<string, string[]>();
  const parent = new Map<string, string>();
  const below = (id: string, top: string): boolean => {
    for (let at: string | undefined = top; at !== undefined; at = parent.get(at)) if (at === id) return true;
    return false;
  };
  for (const e of edges) {
    if (parent.has(e.to) || below(e.to, e.from)) continue;
    parent.set(e.to, e.from);
    children.set(e.from, [...(children.get(e.from) ?? []), e.to]);
  }
  const placed = new Map<string, Placed>();
  let row = 0;
  let depth = 0;
  const stepX = box.width + box.gapX;
  const stepY = box.height + box.gapY;
  const place = (id: string, level: number): number => {
    const n = byId.get(id);
    if (!n || placed.has(id)) return row * stepY;
    depth = Math.max(depth, level);
    const p: Placed = { ...n, x: level * stepX, y: 0 };
    placed.set(id, p);
    const ys = (children.get(id) ?? []).map((c) => place(c, level + 1));
    p.y = ys.length > 0 ? ((ys[0] ?? 0) + (ys[ys.length - 1] ?? 0)) / 2 : row++ * stepY;
    return p.y;
  };
  for (const n of g.nodes) if (!parent.has(n.id)) place(n.id, 0);
  return {
    nodes: [...placed.values()],
    edges: edges.flatMap((e) => {
      const a = placed.get(e.from);
      const b = placed.get(e.to);
      return a && b ? [{ ...e, a, b }] : [];
    }),
    width: (depth + 1) * stepX - box.gapX,
    height: Math.max(1, row) * stepY - box.gapY,
  };
}
