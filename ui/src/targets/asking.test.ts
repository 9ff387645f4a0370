import { expect, it } from 'vitest';
import { asideOf, budgetFacts, clockWords, isClockFar, logWords, scrapesWords } from './asking';
import { type RawTargets, readTargets, type Target } from './model';

const spaced = (text: string) => text.replaceAll(/[  ]/g, ' ');

type Own = NonNullable<NonNullable<RawTargets['activeTargets']>[number]['sigyn']>;

function target(sigyn: Own): Target {
  const raw = { activeTargets: [{ scrapeInterval: '10s', sigyn: { state: 'up', ...sigyn } }] };
  return readTargets(raw, 0).targets[0]!;
}

const LOG = { bytes: 3 << 20, maxBytes: 16 << 20, lastsSeconds: 3600 };
const AT = '2026-11-23T06:20:00Z';

it('tells what is out of the ordinary beside the state, the most pressing alone', () => {
  const check = (own: Own, expected: string | null, later = 7000) => {
    const aside = asideOf(target(own), Date.parse(AT) + later);
    expect(aside && `${spaced(aside.text)}${aside.warn ? '!' : ''}`).toBe(expected);
  };
  const sampled = { share: 0.05, tracesLeftOut: 12 };
  const lastFailure = { at: AT, reason: 'timeout', error: 'no answer' };
  check({}, null);
  check({ log: LOG }, null);
  check({ log: { ...LOG, lastsSeconds: 12 }, sampled, lastFailure }, 'log lasts 12.0 s!');
  check({ sampled, lastFailure }, 'failed 7.0 s ago');
  check({ sampled, lastFailure }, '5 % recorded', 100_000);
  check({ sampled: { share: 1, tracesLeftOut: 12 } }, null);
  check({ longPoll: 'open' }, 'waits');
  check({ longPoll: 'between', sampled }, '5 % recorded');
  check({ longPoll: 'not_kept' }, 'does not wait');
  check({ longPoll: 'refused', lastFailure }, 'no place to wait!');
  check({ state: 'down', sampled, lastFailure }, null);
  check({ state: 'not traced', lastFailure }, null);
});

it('says in words what an opened target has', () => {
  expect(spaced(logWords(target({ log: LOG })))).toBe('3.00 MiB of 16.0 MiB, 19 %');
  expect(logWords(target({}))).toBe('');
  expect(budgetFacts(target({}))).toEqual([]);
  expect(budgetFacts(target({ spanBudget: 1500 }))).toEqual([
    ['span budget', '1,500 spans a second'],
    ['recorded', 'it does not say how much'],
  ]);
  const sampled = { share: 0.05, tracesLeftOut: 1200 };
  expect(budgetFacts(target({ spanBudget: null, sampled })).map(([, value]) => spaced(value))).toEqual([
    'none any more',
    '5 % of the traces that begin there, 1,200 left out so far',
  ]);
  const ahead = target({ clockOffsetNs: 3_200_000_000 });
  expect([spaced(clockWords(ahead)), isClockFar(ahead)]).toEqual(['3.20 s ahead', true]);
  const behind = target({ clockOffsetNs: -1_500_000 });
  expect([spaced(clockWords(behind)), isClockFar(behind)]).toEqual(['1.50 ms behind', false]);
  expect(scrapesWords(target({ scrapes: 1200 }))).toBe('1,200');
  const failed = (failedByReason: Record<string, number>) =>
    scrapesWords(target({ scrapes: 9, failedByReason }));
  expect(failed({ connect: 3 })).toBe('9, 3 failed: no connection');
  expect(failed({ timeout: 2, odd_one: 1 })).toBe('9, 3 failed: 2 no answer in time, 1 odd one');
});
