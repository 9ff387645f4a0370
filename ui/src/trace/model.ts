/** A trace as typed arrays in preorder: a parent comes before its children, a subtree is one range. */

import type { Columns, Complete, Gap, Loss } from '../api/trace';
import type { Labels } from '../targets/model';

export const KINDS = ['local', 'client', 'server', 'producer', 'consumer'] as const;

export const ERROR = 1;
export const PARENT_MISSING = 8;
export const NO_DURATION = 32;

export interface Trace {
  id: string;
  rev: string | number;
  /** Unix microseconds; every other time of the trace counts from here. */
  startUs: number;
  count: number;
  services: readonly string[];
  names: readonly string[];
  targets: readonly Labels[];

  /** Row of the parent, -1 for a root. */
  parent: Int32Array;
  depth: Uint16Array;
  /** Rows of the subtree, itself included. */
  size: Uint32Array;
  start: Float64Array;
  end: Float64Array;
  service: Int32Array;
  name: Int32Array;
  kind: Uint8Array;
  flags: Uint8Array;
  /** Index into services, -1 for none. */
  remote: Int32Array;
  /** Index into targets, -1 for none. */
  target: Int32Array;

  /** Where the axis begins: 0, or earlier if a clock was behind. */
  from: number;
  to: number;
  maxDepth: number;
  errors: Int32Array;
  /** How many spans each service has. */
  perService: Uint32Array;
  annotations: ReadonlyMap<number, readonly number[]>;
  gaps: readonly Gap[];
  loss: readonly Loss[];
  complete: Complete | null;
}

/** O(n), some ten milliseconds for 100,000 spans. */
export function fromColumns(columns: Columns): Trace {
  const count = columns.n;
  const parent = new Int32Array(count);
  const depth = new Uint16Array(count);
  const size = new Uint32Array(count).fill(1);
  const start = new Float64Array(count);
  const end = new Float64Array(count);
  const services = nameless(columns.services, columns.service);
  const names = nameless(columns.names, columns.name);
  const { indices: service } = services;
  const flags = Uint8Array.from(columns.flags);
  const perService = new Uint32Array(services.words.length);
  const errors: number[] = [];
  let from = 0;
  let to = 1;
  let maxDepth = 0;
  for (let row = 0; row < count; row++) {
    const up = columns.parentDelta[row]!;
    const above = up === 0 ? -1 : row - up;
    parent[row] = above;
    start[row] = columns.startDelta[row]! + (above < 0 ? 0 : start[above]!);
    end[row] = start[row]! + columns.duration[row]!;
    if (above >= 0) depth[row] = depth[above]! + 1;
    if (depth[row]! > maxDepth) maxDepth = depth[row]!;
    if (start[row]! < from) from = start[row]!;
    if (end[row]! > to) to = end[row]!;
    if (flags[row]! & ERROR) errors.push(row);
    perService[service[row]!]!++;
  }
  for (let row = count - 1; row > 0; row--) {
    if (parent[row]! >= 0) size[parent[row]!]! += size[row]!;
  }
  const annotations = new Map<number, number[]>();
  for (const [row, us] of columns.annotations ?? []) {
    const times = annotations.get(row);
    if (times) times.push(us);
    else annotations.set(row, [us]);
  }
  return {
    id: columns.traceId,
    rev: columns.rev,
    startUs: columns.startUs,
    count,
    services: services.words,
    names: names.words,
    targets: columns.targets ?? [],
    parent,
    depth,
    size,
    start,
    end,
    service,
    name: names.indices,
    kind: Uint8Array.from(columns.kind),
    flags,
    remote: Int32Array.from(columns.remote),
    target: Int32Array.from(columns.target),
    from,
    to,
    maxDepth,
    errors: Int32Array.from(errors),
    perService,
    annotations,
    gaps: columns.gaps ?? [],
    loss: columns.loss ?? [],
    complete: columns.complete ?? null,
  };
}

/** A span without a name comes with -1: it gets an empty word of its own, so that every index is one. */
function nameless(
  words: readonly string[],
  indices: readonly number[],
): { words: readonly string[]; indices: Int32Array } {
  const array = Int32Array.from(indices);
  if (!array.includes(-1)) return { words, indices: array };
  return { words: [...words, ''], indices: array.map((index) => (index < 0 ? words.length : index)) };
}

export function serviceName(trace: Trace, row: number): string {
  return trace.services[trace.service[row]!] || 'unknown service';
}

export function spanName(trace: Trace, row: number): string {
  return trace.names[trace.name[row]!] || 'unnamed';
}

/** The rows of the direct children of `row`. */
export function childrenOf(trace: Trace, row: number): number[] {
  const children: number[] = [];
  const last = row + trace.size[row]!;
  for (let child = row + 1; child < last; child += trace.size[child]!) children.push(child);
  return children;
}

/** How many of its services have spans of their own; the others were only called. */
export function servicesWithSpans(trace: Trace): number {
  return trace.perService.reduce((sum, spans) => sum + (spans > 0 ? 1 : 0), 0);
}
