import { expect, it } from 'vitest';
import { type RawTargets, readTargets } from '../targets/model';
import { changes, layRows, type Row, readRule, readSteps, summary, type View } from './model';

const RAW: RawTargets = {
  activeTargets: [
    {
      scrapePool: 'shop',
      scrapeUrl: 'http://127.0.0.1:1/traces',
      discoveredLabels: { __address__: '127.0.0.1:1', __meta_zone: 'a' },
      labels: { instance: '127.0.0.1:1', zone: 'a' },
    },
  ],
  droppedTargets: [
    { scrapePool: 'shop', discoveredLabels: { __address__: '127.0.0.1:2' } },
    { scrapePool: 'bank', discoveredLabels: { __address__: '127.0.0.1:3' } },
  ],
  droppedTargetCounts: { shop: 5, bank: 1, idle: 0 },
  sigyn: {
    pools: [
      { job: 'shop', active: 1, dropped: 5, errors: ['one cannot be used'] },
      { job: 'bank', active: 0, dropped: 1, errors: [] },
      {
        job: 'idle',
        active: 0,
        dropped: 0,
        errors: [],
        failing: [
          {
            mechanism: 'consul',
            server: 'http://127.0.0.1:8500/',
            error: 'refused',
            since: '2026-11-27T10:00:00Z',
            failures: 2,
            parts: 1,
            keptTargets: 0,
          },
        ],
      },
    ],
  },
};

const DATA = readTargets(RAW, 0);
const VIEW: View = { match: () => true, shown: 'all', closedPools: new Set(), opened: new Set() };

function told(row: Row): string {
  switch (row.kind) {
    case 'pool':
      return `${row.name} ${row.active}/${row.total}`;
    case 'note':
      return row.text;
    case 'failing':
      return `${row.failing.mechanism}: ${row.failing.error}`;
    case 'found':
      return `${row.found.labels ? 'target' : 'dropped'} ${row.found.discovered.__address__}`;
    case 'labels':
      return 'labels';
  }
}

it('lists what was found by pool, and tells of what it cannot list', () => {
  const check = (view: Partial<View>, expected: string[]) => {
    expect(layRows(DATA, { ...VIEW, ...view }).map(told)).toEqual(expected);
  };
  const hidden = '4 more dropped: keep_dropped_targets lets the server keep the labels of no more';
  const shop = ['shop 1/6', 'one cannot be used', 'target 127.0.0.1:1', 'dropped 127.0.0.1:2', hidden];
  const bank = ['bank 0/1', 'dropped 127.0.0.1:3'];
  const idle = ['idle 0/0', 'consul: refused'];
  check({}, [...shop, ...bank, ...idle]);
  check({ shown: 'active' }, shop.slice(0, 3));
  check({ shown: 'dropped' }, [...shop.slice(0, 2), ...shop.slice(3), ...bank]);
  check({ match: ({ pool }) => pool === 'bank' }, [...bank, ...idle]);
  check({ closedPools: new Set(['shop']) }, ['shop 1/6', ...bank, ...idle]);
  const key = DATA.targets[0]!.key;
  check({ opened: new Set([key]), shown: 'active' }, [...shop.slice(0, 3), 'labels']);
});

it('sums labels up by their address', () => {
  expect(summary({ __meta_a: 'x', __address__: '127.0.0.1:1' })).toBe('127.0.0.1:1  __meta_a="x"');
  expect(summary({ b: '1' })).toBe('b="1"');
  expect(summary({ __scheme__: 'http', job: 'a', zone: 'b' })).toBe('zone="b"  __scheme__="http"  job="a"');
});

it('shows rules as they are written', () => {
  const raw = {
    action: 'drop',
    separator: ';',
    regex: 'a.*',
    source_labels: ['x', 'y'],
    replacement: '$1',
    target_label: '',
  };
  expect(readRule(raw)).toEqual([
    ['source_labels', '[x, y]'],
    ['regex', 'a.*'],
    ['action', 'drop'],
  ]);
  expect(readRule({ action: 'replace', regex: '(.*)', target_label: 'a', replacement: 'b' })).toEqual([
    ['target_label', 'a'],
    ['replacement', 'b'],
  ]);
});

it('tells what each rule changes, until one drops', () => {
  expect(changes({ a: '1', b: '2', c: '3' }, { a: '1', b: '4', d: '5' })).toEqual([
    { name: 'b', before: '2', after: '4' },
    { name: 'c', before: '3', after: undefined },
    { name: 'd', before: undefined, after: '5' },
  ]);
  const steps = readSteps({ a: '1' }, [
    { rule: {}, output: { a: '1' }, keep: true },
    { rule: {}, output: { a: '2' }, keep: true },
    { rule: {}, output: {}, keep: false },
    { rule: {}, output: {}, keep: false },
  ]);
  expect(steps.map(({ keep, changes }) => [keep, changes.length])).toEqual([
    [true, 0],
    [true, 1],
    [false, 0],
  ]);
});
