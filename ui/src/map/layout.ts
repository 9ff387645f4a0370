/**
 * Places services in layers, callers left of those they call. Pure, and the same for the same links, so
 * that a refresh moves nothing.
 */

import type { Link } from '../api/dependencies';

export interface Node {
  name: string;
  x: number;
  y: number;
  /** Calls that come in, and how many of them failed. */
  calls: number;
  errors: number;
}

export interface Layout {
  nodes: ReadonlyMap<string, Node>;
  links: readonly Link[];
  width: number;
  height: number;
}

export const NODE_WIDTH = 150;
export const NODE_HEIGHT = 40;
const LAYER_PX = 250;
const ROW_PX = 58;
const MARGIN_PX = 24;
const SWEEPS = 8;

export function layOut(links: readonly Link[]): Layout {
  const names = [...new Set(links.flatMap(({ parent, child }) => [parent, child]))].sort();
  const forward = withoutCycles(names, links);
  const layers = sweep(layersOf(names, forward), forward);
  const tallest = Math.max(1, ...layers.map((layer) => layer.length));
  const height = tallest * ROW_PX;
  const nodes = new Map<string, Node>();
  layers.forEach((layer, column) => {
    const top = (height - layer.length * ROW_PX) / 2;
    layer.forEach((name, row) => {
      const calls = links.filter(({ child }) => child === name);
      nodes.set(name, {
        name,
        x: MARGIN_PX + column * LAYER_PX,
        y: MARGIN_PX + top + row * ROW_PX + (ROW_PX - NODE_HEIGHT) / 2,
        calls: calls.reduce((sum, { callCount }) => sum + callCount, 0),
        errors: calls.reduce((sum, { errorCount }) => sum + errorCount, 0),
      });
    });
  });
  const width = Math.max(1, layers.length - 1) * LAYER_PX + NODE_WIDTH;
  return { nodes, links, width: width + 2 * MARGIN_PX, height: height + 2 * MARGIN_PX };
}

/** Links within `hops` of a service, in either direction; without a service, all. */
export function neighbourhood(links: readonly Link[], focus: string, hops: number): Link[] {
  if (!focus) return [...links];
  const near = new Set([focus]);
  for (let hop = 0; hop < hops; hop++) {
    const edge = links.filter(({ parent, child }) => near.has(parent) || near.has(child));
    for (const { parent, child } of edge) near.add(parent).add(child);
  }
  return links.filter(({ parent, child }) => near.has(parent) && near.has(child));
}

type Edge = readonly [from: string, to: string];

/** The links without those that close a circle, found by walking from the callers that nobody calls. */
function withoutCycles(names: readonly string[], links: readonly Link[]): Edge[] {
  const children = new Map<string, string[]>(names.map((name) => [name, []]));
  const called = new Set<string>();
  for (const { parent, child } of links) {
    if (parent === child) continue;
    children.get(parent)?.push(child);
    called.add(child);
  }
  const edges: Edge[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (start: string) => {
    const stack = [{ name: start, next: 0 }];
    state.set(start, 'open');
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const child = children.get(top.name)?.[top.next++];
      if (child === undefined) {
        state.set(top.name, 'done');
        stack.pop();
      } else if (state.get(child) !== 'open') {
        edges.push([top.name, child]);
        if (state.has(child)) continue;
        state.set(child, 'open');
        stack.push({ name: child, next: 0 });
      }
    }
  };
  for (const name of names.filter((name) => !called.has(name)).concat(names))
    if (!state.has(name)) visit(name);
  return edges;
}

/** Each service right of all that call it. */
function layersOf(names: readonly string[], edges: readonly Edge[]): string[][] {
  const depth = new Map<string, number>(names.map((name) => [name, 0]));
  // Without circles the longest chain has fewer links than there are services.
  for (let changed = true, round = 0; changed && round <= names.length; round++) {
    changed = false;
    for (const [from, to] of edges) {
      const least = depth.get(from)! + 1;
      if (depth.get(to)! >= least) continue;
      depth.set(to, least);
      changed = true;
    }
  }
  const layers: string[][] = [];
  for (const name of names) {
    const layer = depth.get(name)!;
    while (layers.length <= layer) layers.push([]);
    layers[layer]!.push(name);
  }
  return layers;
}

/** Orders each layer by where its neighbours are, back and forth, so that few links cross. */
function sweep(layers: string[][], edges: readonly Edge[]): string[][] {
  const place = new Map<string, number>();
  const note = (layer: string[]) => {
    layer.forEach((name, index) => {
      place.set(name, (index + 0.5) / layer.length);
    });
  };
  layers.forEach(note);
  for (let round = 0; round < SWEEPS; round++) {
    const down = round % 2 === 0;
    for (const layer of down ? layers : layers.toReversed()) {
      const wish = new Map(layer.map((name) => [name, wishOf(name, edges, place, down)]));
      layer.sort((a, b) => wish.get(a)! - wish.get(b)!);
      note(layer);
    }
  }
  return layers;
}

function wishOf(
  name: string,
  edges: readonly Edge[],
  place: ReadonlyMap<string, number>,
  down: boolean,
): number {
  const near = edges.flatMap(([from, to]) => {
    if (down && to === name) return place.get(from)!;
    if (!down && from === name) return place.get(to)!;
    return [];
  });
  if (near.length === 0) return place.get(name)!;
  return near.reduce((sum, at) => sum + at, 0) / near.length;
}
