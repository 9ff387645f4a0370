/** From targets to the rows of the table: filtered, grouped, sorted, opened. Pure. */

import type { Failing, Pool, State, Target } from './model';

export type Row =
  | {
      kind: 'group';
      name: string;
      up: number;
      states: State[];
      mechanism: string;
      dropped: number;
      open: boolean;
    }
  | { kind: 'note'; group: string; text: string }
  | { kind: 'failing'; group: string; failing: Failing }
  | { kind: 'target'; target: Target; open: boolean }
  | { kind: 'detail'; target: Target };

export interface View {
  match: (target: Target) => boolean;
  /** Whether `match` leaves anybody out: then pools without targets are not what is looked for. */
  filtered: boolean;
  /** Empty: every state. */
  states: readonly State[];
  /** The label to group by, or `POOL`. */
  group: string;
  /** A column, with a minus for descending; empty keeps the server's order. */
  sort: string;
  closedGroups: ReadonlySet<string>;
  openTargets: ReadonlySet<string>;
}

export const PROBLEMS: readonly State[] = ['down', 'silent', 'context lost', 'lossy', 'unknown'];

export const STATE_WORDS: Record<State, string> = {
  up: 'up',
  down: 'down',
  silent: 'up, no spans yet',
  'context lost': 'up, no parents',
  lossy: 'up, lost spans',
  'not traced': 'not traced',
  unknown: 'not scraped yet',
};

/** What its state is told by. */
export type Told = Pick<Target, 'state' | 'received' | 'lastScrapeMs' | 'lastFailure'>;

export function stateWords(target: Told): string {
  if (target.state === 'unknown' && target.lastScrapeMs !== null) {
    // Nothing is known of it yet although it was asked.
    return target.lastFailure?.reason === 'commit' ? 'not read: no memory here' : 'wants to be asked later';
  }
  if (target.state === 'silent' && target.received > 0) return 'up, silent';
  return STATE_WORDS[target.state];
}

export function stateClass(state: State): string {
  return state.replace(' ', '-');
}

/** How many answer, for somebody who has one glance for it. */
export function answeredWords(targets: readonly Target[]): string {
  const silent = targets.filter(({ state }) => !answers(state));
  const down = silent.filter(({ state }) => state === 'down').length;
  const fresh = silent.filter((target) => target.state === 'unknown' && target.lastScrapeMs === null).length;
  const parts = [
    [down, 'down'],
    [fresh, 'not scraped yet'],
    [silent.length - down - fresh, 'asked without success'],
  ].flatMap(([count, words]) => (count ? [`${count} ${words}`] : []));
  const all = targets.length;
  if (parts.length === 0) return all === 1 ? 'The one target answers' : `All ${all} targets answer`;
  return `${all - silent.length} of ${all} targets answer: ${parts.join(', ')}`;
}

/** Whether its last scrape was answered. */
export function answers(state: State): boolean {
  return state !== 'down' && state !== 'unknown';
}

export function countStates(targets: readonly Target[]): Map<State, number> {
  const counts = new Map<State, number>();
  for (const { state } of targets) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}

/** Grouped by scrape pool. Not a label: no label's name has a space. */
export const POOL = 'scrape pool';

/** A pool is called after its job, until relabelling gives its targets other jobs. */
export function poolWord(targets: readonly Target[]): string {
  return hasOwnJobs(targets) ? 'scrape pool' : 'job';
}

function hasOwnJobs(targets: readonly Target[]): boolean {
  return targets.some(({ pool, labels }) => (labels.job ?? pool) !== pool);
}

/** What could group: the pool, then the labels of some target. */
export function groupLabels(targets: readonly Target[]): string[] {
  const seen = new Set<string>();
  for (const target of targets) for (const name of Object.keys(target.labels)) seen.add(name);
  if (!hasOwnJobs(targets)) seen.delete('job');
  seen.delete('instance');
  return [POOL, ...[...seen].sort()];
}

const COLUMNS: Record<string, (target: Target) => number | string> = {
  endpoint: (target) => target.url,
  state: (target) => PROBLEMS.indexOf(target.state) + 1 || 9,
  rate: (target) => target.spansPerSecond,
  lost: (target) => target.lost,
  scraped: (target) => target.lastScrapeMs ?? 0,
  took: (target) => target.tookSeconds,
  clock: (target) => Math.abs(target.clockOffsetNs ?? 0),
};

function compareBy(sort: string): ((a: Target, b: Target) => number) | null {
  const read = COLUMNS[sort.replace('-', '')];
  if (!read) return null;
  const sign = sort.startsWith('-') ? -1 : 1;
  return (a, b) => {
    const [x, y] = [read(a), read(b)];
    return x === y ? 0 : x < y ? -sign : sign;
  };
}

export function layRows(targets: readonly Target[], pools: readonly Pool[], view: View): Row[] {
  const groups = new Map<string, Target[]>();
  // A pool that found nobody is still a pool, and its error is why.
  if (view.group === POOL) for (const pool of pools) groups.set(pool.job, []);
  const nameOf = (target: Target) => (view.group === POOL ? target.pool : (target.labels[view.group] ?? ''));
  for (const target of targets) {
    const name = nameOf(target);
    const group = groups.get(name);
    if (group) group.push(target);
    else groups.set(name, [target]);
  }
  const compare = compareBy(view.sort);
  const rows: Row[] = [];
  for (const [name, members] of groups) {
    const pool = view.group === POOL ? pools.find((other) => other.job === name) : undefined;
    const shown = members.filter(
      (target) => (view.states.length === 0 || view.states.includes(target.state)) && view.match(target),
    );
    const filtered = shown.length < members.length;
    const noted = pool && pool.errors.length + pool.failing.length > 0 && !filtered;
    // That a pool has nobody to ask is worth a line, unless others are looked for.
    const empty = pool && view.states.length === 0 && !view.filtered;
    if (shown.length === 0 && (members.length > 0 || !(noted || empty))) continue;
    if (compare) shown.sort(compare);
    const open = !view.closedGroups.has(name);
    rows.push({
      kind: 'group',
      name,
      up: members.filter((target) => answers(target.state)).length,
      states: members.map((target) => target.state),
      mechanism: members[0] && view.group === POOL ? mechanism(members[0].discoveredLabels) : '',
      dropped: pool?.dropped ?? 0,
      open,
    });
    if (!open) continue;
    for (const failing of pool?.failing ?? []) rows.push({ kind: 'failing', group: name, failing });
    for (const text of pool?.errors ?? []) rows.push({ kind: 'note', group: name, text });
    for (const target of shown) {
      const opened = view.openTargets.has(target.key);
      rows.push({ kind: 'target', target, open: opened });
      if (opened) rows.push({ kind: 'detail', target });
    }
  }
  return rows;
}

/** Which mechanism found a target, told by the labels that it left. */
export function mechanism(discovered: Readonly<Record<string, string>>): string {
  const names = Object.keys(discovered);
  const has = (prefix: string) => names.some((name) => name.startsWith(prefix));
  if (has('__meta_kubernetes_')) {
    const roles = ['endpointslice', 'endpoint', 'ingress', 'service', 'pod', 'node'];
    const role = roles.find((name) => has(`__meta_kubernetes_${name}_`));
    return role ? `kubernetes_sd · ${role}` : 'kubernetes_sd';
  }
  if (has('__meta_filepath')) return 'file_sd';
  if (has('__meta_url')) return 'http_sd';
  const other = /^__meta_([a-z0-9]+)_/.exec(names.find((name) => name.startsWith('__meta_')) ?? '');
  return other ? `${other[1]}_sd` : 'static';
}

/** Whether somebody should look at it. */
export function isProblem(target: Target): boolean {
  return PROBLEMS.includes(target.state);
}
