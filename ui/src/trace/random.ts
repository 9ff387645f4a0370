/** Random traces for tests, the same for the same seed. */

import type { Columns } from '../api/trace';

export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

/** A forest of `count` spans; clocks may be wrong, so children may lie outside their parents. */
export function randomColumns(seed: number, count: number, skewed = true): Columns {
  const next = random(seed);
  const below = (limit: number) => Math.floor(next() * limit);
  const columns = emptyColumns(count);
  const depthOf: number[] = [];
  const open: number[] = [];
  const start: number[] = [];
  for (let row = 0; row < count; row++) {
    // Any ancestor of the last row, or none, may be the parent of the next in preorder.
    const keep = row === 0 ? 0 : below(open.length + 1);
    open.length = skewed ? keep : Math.max(row === 0 ? 0 : 1, keep);
    const parent = open.at(-1) ?? -1;
    depthOf[row] = open.length;
    let offset = below(1000);
    let duration = below(2000);
    if (parent >= 0 && !skewed) {
      const room = columns.duration[parent]!;
      offset = below(room + 1);
      duration = below(room - offset + 1);
    } else if (parent >= 0) {
      offset -= 200;
    } else if (!skewed) {
      duration = 10_000;
      offset = 0;
    }
    start[row] = offset + (parent >= 0 ? start[parent]! : 0);
    columns.parentDelta.push(parent < 0 ? 0 : row - parent);
    columns.startDelta.push(offset);
    columns.duration.push(duration);
    columns.service.push(below(4));
    columns.name.push(below(3));
    columns.kind.push(below(3));
    columns.flags.push(below(10) === 0 ? 1 : 0);
    columns.remote.push(below(3) - 1);
    columns.target.push(-1);
    open.push(row);
  }
  return columns;
}

function emptyColumns(count: number): Columns {
  return {
    v: 1,
    traceId: '1',
    rev: 'r',
    startUs: 0,
    durationUs: 0,
    n: count,
    services: ['a', 'b', 'c', 'd'],
    names: ['x', 'y', 'z'],
    targets: [],
    parentDelta: [],
    startDelta: [],
    duration: [],
    service: [],
    name: [],
    kind: [],
    flags: [],
    remote: [],
    target: [],
  };
}
