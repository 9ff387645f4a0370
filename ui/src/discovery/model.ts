/** What discovery found, and what rules make of it, as rows and steps. Pure. */

import type { Failing, Labels, Target, Targets } from '../targets/model';
import type { Told } from '../targets/rows';

/** One label set that discovery found. */
export interface Found {
  key: string;
  pool: string;
  discovered: Labels;
  /** Null if a rule dropped it. */
  labels: Labels | null;
  /** Empty if it is dropped. */
  url: string;
  /** How it is as a target; null if it is dropped. */
  target: (Told & Pick<Target, 'lastError'>) | null;
}

export const SHOWN = ['all', 'active', 'dropped'] as const;
export type Shown = (typeof SHOWN)[number];

export type Row =
  | { kind: 'pool'; name: string; active: number; total: number; open: boolean }
  | { kind: 'failing'; pool: string; failing: Failing }
  | { kind: 'note'; pool: string; text: string; isError: boolean }
  | { kind: 'found'; found: Found; open: boolean }
  | { kind: 'labels'; found: Found };

export interface View {
  match: (found: Found) => boolean;
  shown: Shown;
  closedPools: ReadonlySet<string>;
  opened: ReadonlySet<string>;
}

/** By pool, in the order of the server: active ones first, as Prometheus has them. */
export function foundOf(data: Targets): Map<string, Found[]> {
  const pools = new Map<string, Found[]>(data.pools.map(({ job }) => [job, []]));
  const add = (found: Found) => {
    const pool = pools.get(found.pool);
    if (pool) pool.push(found);
    else pools.set(found.pool, [found]);
  };
  for (const target of data.targets) {
    const { key, pool, discoveredLabels, labels, url } = target;
    add({ key, pool, discovered: discoveredLabels, labels, url, target });
  }
  data.dropped.forEach(({ pool, discoveredLabels }, place) => {
    add({ key: `dropped ${place}`, pool, discovered: discoveredLabels, labels: null, url: '', target: null });
  });
  return pools;
}

export function layRows(data: Targets, view: View): Row[] {
  const rows: Row[] = [];
  for (const [name, all] of foundOf(data)) {
    const pool = data.pools.find(({ job }) => job === name);
    const active = all.filter(({ labels }) => labels !== null).length;
    const listed = all.length - active;
    const dropped = Math.max(pool?.dropped ?? 0, listed);
    const shown = all.filter(
      (found) =>
        (view.shown === 'all' || (view.shown === 'active') === (found.labels !== null)) && view.match(found),
    );
    const isWhole = shown.length === all.length;
    if (shown.length === 0 && !(isWhole && view.shown === 'all')) continue;
    const open = !view.closedPools.has(name);
    rows.push({ kind: 'pool', name, active, total: active + dropped, open });
    if (!open) continue;
    for (const failing of pool?.failing ?? []) rows.push({ kind: 'failing', pool: name, failing });
    for (const text of pool?.errors ?? []) rows.push({ kind: 'note', pool: name, text, isError: true });
    for (const found of shown) {
      const opened = view.opened.has(found.key);
      rows.push({ kind: 'found', found, open: opened });
      if (opened) rows.push({ kind: 'labels', found });
    }
    if (dropped > listed && view.shown !== 'active')
      rows.push({ kind: 'note', pool: name, text: hiddenNote(dropped - listed, listed), isError: false });
  }
  return rows;
}

function hiddenNote(hidden: number, listed: number): string {
  const more = listed > 0 ? 'more ' : '';
  return `${hidden} ${more}dropped: keep_dropped_targets lets the server keep the labels of no more`;
}

/** What nearly all of a job have in common stands last. */
const COMMON = ['__metrics_path__', '__scheme__', '__scrape_interval__', '__scrape_timeout__', 'job'];

/** In one line: the address first, since it is what most are told apart by. */
export function summary(labels: Labels): string {
  const { __address__: address, ...rest } = labels;
  const pairs = Object.entries(rest)
    .sort(([a], [b]) => Number(COMMON.includes(a)) - Number(COMMON.includes(b)))
    .map(([name, value]) => `${name}="${value}"`);
  return [...(address === undefined ? [] : [address]), ...pairs].join('  ');
}

/** A rule as it is written, without what it has by default. */
export type Rule = [key: string, value: string][];

export interface Change {
  name: string;
  /** Undefined: it was not there. */
  before: string | undefined;
  /** Undefined: it is gone. */
  after: string | undefined;
}

export interface Step {
  rule: Rule;
  changes: Change[];
  output: Labels;
  keep: boolean;
}

export interface RawStep {
  rule?: Record<string, unknown>;
  output?: Labels;
  keep?: boolean;
}

/** What a rule is given where it says nothing. */
const DEFAULTS: Record<string, string> = {
  action: 'replace',
  separator: ';',
  regex: '(.*)',
  replacement: '$1',
  modulus: '0',
};

/** The order in which people write them. */
const KEYS = ['source_labels', 'separator', 'regex', 'modulus', 'target_label', 'replacement', 'action'];

/** Steps up to the rule that dropped it, if one did: after that nothing happens. */
export function readSteps(labels: Labels, raw: readonly RawStep[]): Step[] {
  const steps: Step[] = [];
  let before = labels;
  for (const { rule = {}, output = {}, keep = true } of raw) {
    steps.push({ rule: readRule(rule), changes: keep ? changes(before, output) : [], output, keep });
    if (!keep) break;
    before = output;
  }
  return steps;
}

export function readRule(raw: Record<string, unknown>): Rule {
  const text = (value: unknown) => (Array.isArray(value) ? `[${value.join(', ')}]` : String(value));
  const rank = (key: string) => (KEYS.indexOf(key) + KEYS.length + 1) % (KEYS.length + 1);
  return Object.entries(raw)
    .map(([key, value]): [string, string] => [key, text(value)])
    .filter(([key, value]) => value !== '' && value !== '[]' && DEFAULTS[key] !== value)
    .sort(([a], [b]) => rank(a) - rank(b));
}

export function changes(before: Labels, after: Labels): Change[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names
    .map((name) => ({ name, before: before[name], after: after[name] }))
    .filter((change) => change.before !== change.after);
}
