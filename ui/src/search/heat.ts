/** Traces as cells of time and duration. Pure. */

import type { Found, Summary } from '../api/search';
import type { Range } from './range';

export const ROWS = 26;
const COLUMNS_MOST = 96;
const COLUMN_PX = 13;

/** As many as can be told apart on a map of this width. */
export function columnsFor(width: number): number {
  return Math.max(24, Math.min(COLUMNS_MOST, Math.floor(width / COLUMN_PX)));
}

/** A part of the map, both ends included: Unix microseconds, and microseconds of duration. */
export interface Box {
  fromUs: number;
  toUs: number;
  shortestUs: number;
  longestUs: number;
}

export interface Heat {
  range: Range;
  columns: number;
  /** Powers of ten of a microsecond at the bottom and the top. */
  bottom: number;
  top: number;
  /** By row from the top, then column. */
  counts: Uint32Array;
  errors: Uint32Array;
  most: number;
}

export function countHeat(traces: readonly Summary[], range: Range, columns: number): Heat {
  let shortest = Number.POSITIVE_INFINITY;
  let longest = 1;
  for (const { durationUs } of traces) {
    shortest = Math.min(shortest, Math.max(1, durationUs));
    longest = Math.max(longest, durationUs);
  }
  // Half a row of air, and at least a decade and a half, so that one trace is not a full screen.
  const middle = Math.log10(Number.isFinite(shortest) ? Math.sqrt(shortest * longest) : 1e4);
  const half = Math.max(
    0.75,
    (Math.log10(longest) - Math.log10(Number.isFinite(shortest) ? shortest : longest)) / 2 + 0.12,
  );
  const heat: Heat = {
    range,
    columns,
    bottom: middle - half,
    top: middle + half,
    counts: new Uint32Array(columns * ROWS),
    errors: new Uint32Array(columns * ROWS),
    most: 0,
  };
  for (const trace of traces) {
    const cell = cellOf(heat, trace);
    heat.counts[cell]!++;
    if (trace.errors > 0) heat.errors[cell]!++;
    heat.most = Math.max(heat.most, heat.counts[cell]!);
  }
  return heat;
}

/** The time of the search, without a long beginning of which no trace is known. */
export function filledRange({ traces, range }: Pick<Found, 'traces' | 'range'>): Range {
  const oldestMs = traces.reduce((least, { startUs }) => Math.min(least, startUs / 1000), range.toMs);
  const empty = (oldestMs - range.fromMs) / (range.toMs - range.fromMs);
  if (empty < 0.5) return range;
  return { fromMs: oldestMs - Math.max(500, (range.toMs - oldestMs) * 0.03), toMs: range.toMs };
}

/** How far from the left, 0 to 1. */
export function timeShare({ range }: Heat, us: number): number {
  return (us / 1000 - range.fromMs) / (range.toMs - range.fromMs);
}

/** How far from the top, 0 to 1. */
export function durationShare({ bottom, top }: Heat, us: number): number {
  return (top - Math.log10(Math.max(1, us))) / (top - bottom);
}

export function timeAt({ range }: Heat, share: number): number {
  return (range.fromMs + share * (range.toMs - range.fromMs)) * 1000;
}

export function durationAt({ bottom, top }: Heat, share: number): number {
  return 10 ** (top - share * (top - bottom));
}

function cellOf(heat: Heat, { startUs, durationUs }: Summary): number {
  const place = (share: number, cells: number) => Math.max(0, Math.min(cells - 1, Math.floor(share * cells)));
  return (
    place(durationShare(heat, durationUs), ROWS) * heat.columns +
    place(timeShare(heat, startUs), heat.columns)
  );
}

/** 1, 3 and 10 of each power of ten that is on the map. */
export function durationTicks({ bottom, top }: Heat): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(bottom); power <= top; power++) {
    for (const us of [10 ** power, 3 * 10 ** power]) {
      const log = Math.log10(us);
      if (us >= 1 && log >= bottom && log <= top) ticks.push(us);
    }
  }
  return ticks;
}

const STEPS_MS = [
  1e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5,
];

/** Round local times, not more than `most`. */
export function timeTicks({ fromMs, toMs }: Range, most: number): { step: number; at: number[] } {
  const step = STEPS_MS.find((candidate) => (toMs - fromMs) / candidate <= most) ?? 6048e5;
  const zone = new Date(fromMs).getTimezoneOffset() * 6e4;
  const at: number[] = [];
  for (let tick = Math.ceil((fromMs - zone) / step) * step + zone; tick <= toMs; tick += step) at.push(tick);
  return { step, at };
}

export function isInBox(box: Box, { startUs, durationUs }: Summary): boolean {
  return (
    startUs >= box.fromUs &&
    startUs <= box.toUs &&
    durationUs >= box.shortestUs &&
    durationUs <= box.longestUs
  );
}

/** `box=t0,t1,d0,d1` in microseconds. */
export function writeBox({ fromUs, toUs, shortestUs, longestUs }: Box): string {
  return [fromUs, toUs, shortestUs, longestUs].map(Math.round).join();
}

export function readBox(text: string): Box | null {
  const parts = text.split(',').map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isFinite(part))) return null;
  const [fromUs, toUs, shortestUs, longestUs] = parts as [number, number, number, number];
  return fromUs < toUs && shortestUs < longestUs ? { fromUs, toUs, shortestUs, longestUs } : null;
}
