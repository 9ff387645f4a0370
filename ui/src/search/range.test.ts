import { expect, it } from 'vitest';
import { parseMoment, rangeFromZipkin, readRange, widerPreset } from './range';

const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const HOUR = 3_600_000;

it('reads moments relative and absolute', () => {
  expect(parseMoment('now', NOW)).toBe(NOW);
  expect(parseMoment('now-1h', NOW)).toBe(NOW - HOUR);
  expect(parseMoment('now-2d', NOW)).toBe(NOW - 48 * HOUR);
  expect(parseMoment('1700000000000', NOW)).toBe(1_700_000_000_000);
  expect(parseMoment('2026-11-23T11:00:00Z', NOW)).toBe(NOW - HOUR);
  expect(parseMoment('yesterday', NOW)).toBeNull();
});

it('always gives a range that is one', () => {
  expect(readRange('', '', NOW)).toEqual({ fromMs: NOW - HOUR, toMs: NOW });
  expect(readRange('now', 'now-1h', NOW)).toEqual({ fromMs: NOW - 2 * HOUR, toMs: NOW - HOUR });
  expect(readRange('nonsense', 'nonsense', NOW)).toEqual({ fromMs: NOW - HOUR, toMs: NOW });
});

it('reads the times in links made for Zipkin', () => {
  const check = (search: string, expected: unknown) =>
    expect(rangeFromZipkin(new URLSearchParams(search)), search).toEqual(expected);
  check('lookback=15m', { from: 'now-15m', to: '' });
  check('lookback=900000', { from: 'now-900s', to: '' });
  const [from, to] = [new Date(NOW - HOUR).toISOString(), new Date(NOW).toISOString()];
  check(`lookback=${HOUR}&endTs=${NOW}`, { from, to });
  check(`lookback=range&startTs=${NOW - HOUR}&endTs=${NOW}`, { from, to });
  check('serviceName=a', null);
});

it('offers the next wider time', () => {
  expect(widerPreset({ fromMs: NOW - HOUR, toMs: NOW }, NOW)?.from).toBe('now-6h');
  expect(widerPreset({ fromMs: NOW - 7 * 24 * HOUR, toMs: NOW }, NOW)).toBeNull();
});
