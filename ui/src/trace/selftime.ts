/** The time in which a span ran and none of its children did. */

import { childrenOf, type Trace } from './model';

/** Pairs of from and to, in order. */
export function selfSegments(trace: Trace, row: number): number[] {
  const begin = trace.start[row]!;
  const finish = trace.end[row]!;
  const children = childrenOf(trace, row);
  // Siblings come by start; a clock that was corrected may still break the order.
  children.sort((a, b) => trace.start[a]! - trace.start[b]!);
  const segments: number[] = [];
  let at = begin;
  for (const child of children) {
    if (at >= finish) break;
    const from = Math.min(trace.start[child]!, finish);
    if (from > at) segments.push(at, from);
    at = Math.max(at, Math.min(trace.end[child]!, finish));
  }
  if (at < finish) segments.push(at, finish);
  return segments;
}

export function selfTime(trace: Trace, row: number): number {
  const segments = selfSegments(trace, row);
  let sum = 0;
  for (let i = 0; i < segments.length; i += 2) sum += segments[i + 1]! - segments[i]!;
  return sum;
}
