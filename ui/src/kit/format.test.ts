import { expect, it } from 'vitest';
import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatIn,
  formatOffset,
  formatShare,
  formatTick,
  plural,
} from './format';

/** The gap before a unit is narrow and does not break; here a space reads better. */
const spaced = (text: string) => text.replaceAll(' ', ' ');

it('writes three significant figures of a duration', () => {
  const check = (us: number, expected: string) =>
    expect(spaced(formatDuration(us)), String(us)).toBe(expected);
  check(0, '0 µs');
  check(25, '25 µs');
  check(999, '999 µs');
  check(999.6, '1.00 ms');
  check(6240, '6.24 ms');
  check(18_400, '18.4 ms');
  check(153_000, '153 ms');
  check(999_700, '1.00 s');
  check(1_480_000, '1.48 s');
  check(59_960_000, '1m 0s');
  check(65_000_000, '1m 5s');
  check(3_600_000_000, '1h 0m');
  check(-36_900, '−36.9 ms');
});

it('gives neighbouring ticks different words', () => {
  const check = (at: number[], step: number, expected: string[]) =>
    expect(at.map((us) => spaced(formatTick(us, step)))).toEqual(expected);
  check([3_185_000, 3_190_000, 3_195_000], 5000, ['3.185 s', '3.190 s', '3.195 s']);
  check([0, 100_000, 200_000], 100_000, ['0', '100 ms', '200 ms']);
  check([0, 2500, 5000], 2500, ['0', '2.5 ms', '5.0 ms']);
  check([-20, 20], 20, ['−20 µs', '20 µs']);
});

it('writes ages, sizes, shares and offsets', () => {
  expect(spaced(formatAge(3400))).toBe('3.4 s ago');
  expect(spaced(formatAge(-5))).toBe('0.0 s ago');
  expect(spaced(formatAge(11 * 60_000))).toBe('11 min ago');
  expect(spaced(formatAge(3 * 86_400_000))).toBe('3 d ago');
  expect(spaced(formatBytes(512))).toBe('512 B');
  expect(spaced(formatBytes(16 * 1024 * 1024))).toBe('16.0 MiB');
  expect(spaced(formatShare(0.882))).toBe('88 %');
  expect(spaced(formatShare(0.0000001))).toBe('< 0.01 %');
  expect(spaced(formatOffset(-280_000))).toBe('−280 µs');
  expect(spaced(formatOffset(1_720_000))).toBe('+1.72 ms');
  expect(spaced(formatOffset(-3_200_000_000))).toBe('−3.20 s');
  expect([-5, 0, 3400, 42_000, 125_000].map((ms) => spaced(formatIn(ms)))).toEqual([
    'now',
    'now',
    'in 3.4 s',
    'in 42 s',
    'in 2m 5s',
  ]);
  expect(formatCount(100000)).toBe('100,000');
  expect(plural(1, 'gap')).toBe('1 gap');
});
