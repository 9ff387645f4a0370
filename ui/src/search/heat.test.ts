import { expect, it } from 'vitest';
import type { Summary } from '../api/search';
import { differences } from './differences';
import {
  countHeat,
  durationAt,
  durationShare,
  isInBox,
  readBox,
  timeAt,
  timeShare,
  timeTicks,
  writeBox,
} from './heat';

const RANGE = { fromMs: 1_000_000, toMs: 1_060_000 };

function trace(startMs: number, durationUs: number, more: Partial<Summary> = {}): Summary {
  return {
    traceId: '1',
    root: { service: 'a', name: 'get' },
    startUs: startMs * 1000,
    durationUs,
    spans: 1,
    errors: 0,
    missing: 0,
    services: [{ name: 'a', spans: 1 }],
    ...more,
  };
}

it('counts every trace in one cell, even at the edges', () => {
  const traces = [
    trace(1_000_000, 1),
    trace(1_060_000, 1e9),
    trace(1_030_000, 0),
    trace(990_000, 50, { errors: 2 }),
  ];
  const heat = countHeat(traces, RANGE, 48);
  const sum = (cells: Uint32Array) => cells.reduce((total, count) => total + count, 0);
  expect(sum(heat.counts)).toBe(4);
  expect(sum(heat.errors)).toBe(1);
});

it('maps a single trace to the middle of a map that is not all one cell', () => {
  const heat = countHeat([trace(1_030_000, 5000)], RANGE, 48);
  expect(durationShare(heat, 5000)).toBeCloseTo(0.5);
  expect(heat.top - heat.bottom).toBeGreaterThanOrEqual(1.5);
  expect(timeShare(heat, 1_030_000_000)).toBeCloseTo(0.5);
});

it('goes from the map to its values and back', () => {
  const heat = countHeat([trace(1_010_000, 100), trace(1_020_000, 1e6)], RANGE, 48);
  for (const share of [0, 0.25, 1]) {
    expect(timeShare(heat, timeAt(heat, share))).toBeCloseTo(share);
    expect(durationShare(heat, durationAt(heat, share))).toBeCloseTo(share);
  }
});

it('writes a box into the address and reads it again', () => {
  const box = { fromUs: 1, toUs: 20, shortestUs: 300, longestUs: 4000 };
  expect(readBox(writeBox(box))).toEqual(box);
  for (const bad of ['', '1,2,3', '1,2,3,x', '5,1,1,5']) expect(readBox(bad), bad).toBeNull();
  expect(isInBox(box, { ...trace(0, 300), startUs: 20 })).toBe(true);
  expect(isInBox(box, { ...trace(0, 299), startUs: 20 })).toBe(false);
});

it('has round ticks, and no more than asked for', () => {
  const { step, at } = timeTicks({ fromMs: 0, toMs: 3_600_000 }, 8);
  expect(step).toBe(600_000);
  expect(at.length).toBeLessThanOrEqual(8);
});

it('finds what sets the selected apart, and says nothing of too few', () => {
  const slow = Array.from({ length: 10 }, () =>
    trace(0, 9, { errors: 1, services: [{ name: 'b', spans: 1 }] }),
  );
  const fast = Array.from({ length: 20 }, () => trace(0, 1));
  const found = differences(slow, fast, 3);
  expect(found.map(({ name, value }) => [name, value])).toEqual([
    ['service', 'b'],
    ['error', ''],
  ]);
  expect(found[0]).toMatchObject({ inside: 1, outside: 0 });
  expect(differences(slow.slice(0, 2), fast, 3)).toEqual([]);
});
