import { expect, it } from 'vitest';
import type { Link } from '../api/dependencies';
import { random } from '../trace/random';
import { layOut, neighbourhood } from './layout';

function links(...pairs: string[]): Link[] {
  return pairs.map((pair) => {
    const [parent, child] = pair.split('>') as [string, string];
    return { parent, child, callCount: 10, errorCount: 1 };
  });
}

it('puts callers left of those they call', () => {
  const all = links('web>shop', 'shop>db', 'web>db', 'shop>mail');
  const { nodes } = layOut(all);
  for (const { parent, child } of all) expect(nodes.get(parent)!.x).toBeLessThan(nodes.get(child)!.x);
  expect(nodes.get('db')).toMatchObject({ calls: 20, errors: 2 });
});

it('survives circles, and services that call themselves', () => {
  const { nodes } = layOut(links('a>b', 'b>c', 'c>a', 'c>c'));
  expect([...nodes.keys()].sort()).toEqual(['a', 'b', 'c']);
});

it('is the same for the same links, in any order, and overlaps nobody', () => {
  const next = random(7);
  const name = () => `s${Math.floor(next() * 30)}`;
  const all = links(...new Set(Array.from({ length: 80 }, () => `${name()}>${name()}`)));
  const { nodes } = layOut(all);
  expect(layOut(all.toReversed()).nodes.size).toBe(nodes.size);
  expect(new Set([...nodes.values()].map(({ x, y }) => `${x} ${y}`)).size).toBe(nodes.size);
  expect([...layOut(all).nodes.values()]).toEqual([...nodes.values()]);
});

it('keeps what is near', () => {
  const all = links('a>b', 'b>c', 'c>d', 'x>y');
  expect(neighbourhood(all, '', 2).length).toBe(4);
  expect(neighbourhood(all, 'b', 1)).toEqual(links('a>b', 'b>c'));
  expect(neighbourhood(all, 'b', 2)).toEqual(links('a>b', 'b>c', 'c>d'));
});
