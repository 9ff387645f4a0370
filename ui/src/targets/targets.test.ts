import { expect, it } from 'vitest';
import { offsets, rowAt } from '../kit/virtual';
import { failingWords } from './failing';
import { parseFilter } from './filter';
import { arrivalMs, intervalMs } from './freshness';
import { joinLosses, reasonWords } from './loss';
import { type RawTargets, readTargets, type Target } from './model';
import { answeredWords, layRows, mechanism, POOL, stateWords, type View } from './rows';

const RAW: RawTargets = {
  activeTargets: [
    {
      scrapePool: 'shop',
      scrapeUrl: 'http://127.0.0.1:1/traces',
      labels: { zone: 'eu-1a', pod: 'payment-1' },
      health: 'up',
    },
    {
      scrapePool: 'shop',
      scrapeUrl: 'http://127.0.0.1:2/traces',
      labels: { zone: 'eu-1b' },
      sigyn: { state: 'context lost', spansPerSecond: 5 },
    },
    {
      scrapePool: 'idle',
      scrapeUrl: 'http://127.0.0.1:3/traces',
      lastScrape: '0001-01-01T00:00:00Z',
      sigyn: { state: 'odd' },
    },
  ],
  droppedTargetCounts: { shop: 7, idle: 1 },
  sigyn: {
    pools: [
      { job: 'shop', active: 2, dropped: 7, errors: [] },
      { job: 'broken', active: 0, dropped: 0, errors: ['cannot read the file'] },
      { job: 'nobody', active: 0, dropped: 3, errors: [] },
    ],
  },
};

const { targets, pools, droppedCount } = readTargets(RAW, 0);
const VIEW: View = {
  match: () => true,
  filtered: false,
  states: [],
  group: POOL,
  sort: '',
  closedGroups: new Set(),
  openTargets: new Set(),
};

it('reads targets with and without the object of Sigyn', () => {
  expect(targets.map(({ state }) => state)).toEqual(['up', 'context lost', 'unknown']);
  expect(targets[2]?.lastScrapeMs).toBeNull();
  expect(droppedCount).toBe(8);
});

it('filters as PromQL does, and by words', () => {
  const check = (text: string, expected: number[]) => {
    const { match, error } = parseFilter(text);
    expect(error, text).toBeNull();
    const found = targets.flatMap((target: Target, index) => (match(target) ? [index] : []));
    expect(found, text).toEqual(expected);
  };
  check('', [0, 1, 2]);
  check('zone="eu-1b"', [1]);
  check('zone=eu-1b', [1]);
  check('zone!="eu-1b"', [0, 2]);
  check('zone=~"eu-1."', [0, 1]);
  check('zone=~"eu"', []);
  check('zone!~"eu-.*"', [2]);
  check('pod=~"payment-.*" 127.0.0.1:1', [0]);
  check('IDLE', [2]);
  expect(parseFilter('zone=~"("').error).toContain('not a regular expression');
});

it('lays rows by group, with the errors of pools that found nobody', () => {
  const kinds = (view: Partial<View>) =>
    layRows(targets, pools, { ...VIEW, ...view }).map((row) => (row.kind === 'group' ? row.name : row.kind));
  expect(kinds({})).toEqual(['shop', 'target', 'target', 'broken', 'note', 'nobody', 'idle', 'target']);
  expect(kinds({ closedGroups: new Set(['shop']) })).toEqual([
    'shop',
    'broken',
    'note',
    'nobody',
    'idle',
    'target',
  ]);
  expect(kinds({ filtered: true })).not.toContain('nobody');
  expect(kinds({ states: ['up'] })).toEqual(['shop', 'target', 'broken', 'note']);
  expect(kinds({ group: 'zone' })).toEqual(['eu-1a', 'target', 'eu-1b', 'target', '', 'target']);
  expect(kinds({ openTargets: new Set([targets[0]!.key]) }).slice(0, 3)).toEqual([
    'shop',
    'target',
    'detail',
  ]);
  const sorted = layRows(targets, pools, { ...VIEW, sort: '-rate' });
  expect(sorted[1]).toMatchObject({ target: { spansPerSecond: 5 } });
});

it('says of targets that were asked in vain what became of it', () => {
  const asked = { ...targets[2]!, lastScrapeMs: 1 };
  const failed = (reason: string) => ({ ...asked, lastFailure: { atMs: 1, reason, error: '' } });
  expect(stateWords(targets[2]!)).toBe('not scraped yet');
  expect(stateWords(failed('status'))).toBe('wants to be asked later');
  expect(stateWords(failed('commit'))).toBe('not read: no memory here');
  expect(answeredWords(targets)).toBe('2 of 3 targets answer: 1 not scraped yet');
  expect(answeredWords([failed('status'), { ...asked, state: 'down' }])).toBe(
    '0 of 2 targets answer: 1 down, 1 asked without success',
  );
  expect(answeredWords(targets.slice(0, 2))).toBe('All 2 targets answer');
});

it('says since when discovery fails, and what becomes of its targets', () => {
  const failing = {
    mechanism: 'file',
    server: '*.yml',
    error: 'not valid YAML',
    since: '2026-11-27T10:00:00Z',
    failures: 1,
    parts: 1,
    keptTargets: 1,
  };
  const words = (change: object) => failingWords({ ...failing, ...change }, () => '10:00').join('; ');
  expect(words({})).toBe('fails since 10:00: 1 failed update; 1 target found before is kept');
  expect(words({ failures: 1200, parts: 3, keptTargets: 0 })).toBe(
    `fails since 10:00, 3 parts of it: ${(1200).toLocaleString('en')} failed updates; nothing was found before`,
  );
});

it('joins loss windows that touch', () => {
  const at = (second: number) => new Date(second * 1000).toISOString();
  const window = (from: number, to: number, reason: string) => ({
    from: at(from),
    to: at(to),
    spans: 10,
    reason,
  });
  const windows = [window(20, 22, 'evicted'), window(0, 2, 'before_first_scrape'), window(2, 4, 'evicted')];
  expect(joinLosses(windows, 500)).toEqual([
    { fromMs: 0, toMs: 4000, spans: 20, reasons: ['before_first_scrape', 'evicted'] },
    { fromMs: 20_000, toMs: 22_000, spans: 10, reasons: ['evicted'] },
  ]);
  expect(reasonWords(['evicted', 'some_other'])).toBe('evicted before a scrape, some other');
});

it('knows how long spans may take to arrive', () => {
  expect(intervalMs('1m30s')).toBe(90_000);
  expect(intervalMs('500ms')).toBe(500);
  expect(arrivalMs([])).toBe(30_000);
  expect(arrivalMs([{ ...targets[0]!, interval: '2s' }])).toBe(4000);
});

it('tells the mechanism by its labels', () => {
  const check = (label: string, expected: string) => expect(mechanism({ [label]: 'x' })).toBe(expected);
  check('__meta_kubernetes_pod_name', 'kubernetes_sd · pod');
  check('__meta_kubernetes_endpointslice_name', 'kubernetes_sd · endpointslice');
  check('__meta_dns_name', 'dns_sd');
  check('__meta_filepath', 'file_sd');
  check('__meta_url', 'http_sd');
  check('__address__', 'static');
});

it('finds the row at a height', () => {
  const tops = offsets([30, 36, 60, 36]);
  const check = (y: number, expected: number) => expect(rowAt(tops, y), String(y)).toBe(expected);
  check(-5, 0);
  check(29, 0);
  check(30, 1);
  check(125, 2);
  check(126, 3);
  check(9999, 3);
});
