/** How long a span may take to get here, so that a fresh trace is not called broken. Pure. */

import type { Target } from './model';

const UNITS_MS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };

/** A duration as Prometheus writes it: `15s`, `1m30s`. 0 if it is none. */
export function intervalMs(text: string): number {
  return [...text.matchAll(/(\d+)(ms|s|m|h)/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * UNITS_MS[unit!]!,
    0,
  );
}

/** Two rounds of the slowest target that answers: after that a missing span is missing. */
export function arrivalMs(targets: readonly Target[]): number {
  const slowest = targets.reduce((most, { interval }) => Math.max(most, intervalMs(interval)), 0);
  return 2 * (slowest || 15_000);
}
