import { expect, it } from 'vitest';
import { assignColours, COLOURS, fnv1a } from './palette';

it('hashes as everybody does', () => {
  expect(fnv1a('')).toBe(0x811c9dc5);
  expect(fnv1a('a')).toBe(0xe40c292c);
});

it('gives up to twelve services twelve colours, whatever order they come in', () => {
  const names = Array.from({ length: COLOURS }, (_, index) => `service-${index}`);
  const slots = assignColours(names);
  expect(new Set(slots).size).toBe(COLOURS);
  const reversed = assignColours(names.toReversed());
  names.forEach((name, index) => {
    expect(reversed[COLOURS - 1 - index], name).toBe(slots[index]);
  });
});

it('begins a second round, with a texture, only when the first is full', () => {
  const slots = assignColours(Array.from({ length: 13 }, (_, index) => `s${index}`));
  expect(slots.filter((slot) => slot >= COLOURS).length).toBe(1);
});

it('moves few when one more comes', () => {
  const names = ['frontend', 'checkout', 'cart', 'catalog', 'pricing', 'payment'];
  const before = assignColours(names);
  const after = assignColours([...names, 'ledger']);
  const moved = names.filter((_, index) => before[index] !== after[index]);
  expect(moved.length).toBeLessThanOrEqual(2);
});
