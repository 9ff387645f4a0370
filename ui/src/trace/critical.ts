/** The chain of work that set how long the trace took. */

import { childrenOf, type Trace } from './model';

/** For each row on the path, pairs of from and to in which it was what everything waited for. */
export type CriticalPath = ReadonlyMap<number, readonly number[]>;

const PRODUCER = 3;

interface Frame {
  row: number;
  /** Everything after this is settled. */
  at: number;
  /** Children not looked at yet, the last to finish at the end. */
  children: number[];
}

/**
 * Walks back from the end of the root: at each moment the span that waited is the child that finished
 * last before it, and into that child the walk goes. Whoever sends a message waits for nobody.
 */
export function criticalPath(trace: Trace): CriticalPath {
  const path = new Map<number, number[]>();
  const put = (row: number, from: number, to: number) => {
    if (to <= from) return;
    const segments = path.get(row);
    if (segments) segments.push(from, to);
    else path.set(row, [from, to]);
  };
  // Iterative, since a trace may be deeper than a stack.
  const stack: Frame[] = [];
  const enter = (row: number, at: number) => {
    const children = trace.kind[row] === PRODUCER ? [] : childrenOf(trace, row);
    // A child that outlives its parent held it up only until the parent's end.
    const finish = (child: number) => Math.min(trace.end[child]!, trace.end[row]!);
    children.sort((a, b) => finish(a) - finish(b));
    stack.push({ row, at, children });
  };
  const root = longestRoot(trace);
  if (root < 0) return path;
  enter(root, trace.end[root]!);
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const { row } = frame;
    const floor = trace.start[row]!;
    const child = frame.children.pop();
    if (child === undefined) {
      put(row, floor, frame.at);
      stack.pop();
      continue;
    }
    const to = Math.min(trace.end[child]!, trace.end[row]!);
    const from = Math.max(trace.start[child]!, floor);
    if (to > frame.at || from >= to) continue;
    put(row, to, frame.at);
    frame.at = from;
    enter(child, to);
  }
  return path;
}

function longestRoot(trace: Trace): number {
  let best = -1;
  for (let row = 0; row < trace.count; row += trace.size[row]!) {
    if (best < 0 || trace.end[row]! - trace.start[row]! > trace.end[best]! - trace.start[best]!) best = row;
  }
  return best;
}
