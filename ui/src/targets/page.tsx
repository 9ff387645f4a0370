/** Targets: whom discovery found, and what each one answered. */

import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { formatClock, formatCount, plural } from '../kit/format';
import { useKeys } from '../kit/keys';
import { narrow } from '../kit/screen';
import { SortHead } from '../kit/sort';
import { Empty, Failure, Skeleton, Stale } from '../kit/states';
import { param, setParams } from '../kit/url';
import { VirtualRows } from '../kit/virtual';
import { targets as resource, showScrapes } from '../shell/status';
import { TargetDetail } from './detail';
import { Dropped } from './dropped';
import { FailingRow } from './failing';
import { parseFilter } from './filter';
import { STATES, type State, type Target, type Targets } from './model';
import { GroupRow, NoteRow, rowHeight, TargetRow } from './row';
import {
  answeredWords,
  answers,
  countStates,
  groupLabels,
  isProblem,
  layRows,
  POOL,
  PROBLEMS,
  poolWord,
  type Row,
  stateClass,
} from './rows';

const TILES: readonly { state: State; words: string; always: boolean }[] = [
  { state: 'up', words: 'up', always: true },
  { state: 'down', words: 'down', always: true },
  { state: 'silent', words: 'up but silent', always: true },
  { state: 'context lost', words: 'context lost', always: true },
  { state: 'lossy', words: 'lost spans', always: true },
  { state: 'not traced', words: 'not traced', always: false },
  { state: 'unknown', words: 'not known yet', always: false },
];

export function TargetsPage() {
  const { data, error, at } = resource.state.value;
  return (
    <>
      <Stale error={error} at={at} />
      <div class={`page scroll targets${error && data ? ' dimmed' : ''}`}>
        <header>
          <div>
            <h1>Targets</h1>
            <p class="lead">Whom discovery found, and what each one answered on its last scrape.</p>
          </div>
          {data && <Answered data={data} />}
        </header>
        {data ? (
          <TargetTable data={data} />
        ) : error ? (
          <Failure error={error} retry={() => resource.refresh()} />
        ) : (
          <Skeleton rows={14} />
        )}
      </div>
    </>
  );
}

/** Since when everybody who answers has answered: older spans of theirs have been asked for. */
function Answered({ data }: { data: Targets }) {
  const answering = data.targets.filter((target) => answers(target.state) && target.lastScrapeMs !== null);
  if (answering.length === 0) return null;
  const oldest = Math.min(...answering.map((target) => target.lastScrapeMs as number));
  const all = answering.length === data.targets.length;
  const clock = formatClock(new Date(oldest - data.clockSkewMs), 1);
  return (
    <span
      class={`chip push ${all ? 'ok' : 'warn'}`}
      title={`What those that answer had finished before ${clock} is here: nobody was asked longer ago`}
    >
      <i class={`mark ${all ? 'up' : 'silent'}`} />
      {answeredWords(data.targets)}
    </span>
  );
}

function readStates(text: string): State[] {
  return text.split(',').filter((word): word is State => (STATES as readonly string[]).includes(word));
}

function TargetTable({ data }: { data: Targets }) {
  const states = readStates(param('state'));
  const text = param('q');
  const group = param('group') || POOL;
  const sort = param('sort');
  const closedGroups = useSignal<ReadonlySet<string>>(new Set());
  const openTargets = useSignal<ReadonlySet<string>>(new Set());
  const current = useSignal('');
  const filter = useMemo(() => parseFilter(text), [text]);
  useEffect(() => {
    const open = openTargets.value;
    showScrapes(data.targets.filter(({ key }) => open.has(key)).map(({ url }) => url));
    return () => showScrapes([]);
    // Which URLs those are does not change while they are open.
  }, [openTargets.value]);

  const rows = useMemo(
    () =>
      layRows(data.targets, data.pools, {
        match: filter.match,
        filtered: text !== '',
        states,
        group,
        sort,
        closedGroups: closedGroups.value,
        openTargets: openTargets.value,
      }),
    // `states` is read from the URL anew; its text is what changes.
    [data, filter, text, states.join(), group, sort, closedGroups.value, openTargets.value],
  );
  const heights = useMemo(() => rows.map((row) => rowHeight(row, narrow.value)), [rows, narrow.value]);
  const place = rows.findIndex((row) => row.kind === 'target' && row.target.key === current.value);

  const open = (key: string) => {
    current.value = key;
    openTargets.value = toggled(openTargets.value, key);
  };
  const move = (step: number, wanted: (target: Target) => boolean) => {
    for (let at = place + step; at >= 0 && at < rows.length; at += step) {
      const row = rows[at];
      if (row?.kind === 'target' && wanted(row.target)) {
        current.value = row.target.key;
        return;
      }
    }
  };
  // Bindings are registered once, so they must look up what the last render made.
  const latest = useMemo(() => ({ move, open }), []);
  Object.assign(latest, { move, open });
  useKeys('Targets', [
    { keys: 'j', does: 'next target', run: () => latest.move(1, () => true) },
    { keys: 'k', does: 'previous target', run: () => latest.move(-1, () => true) },
    { keys: 'p', does: 'next problem', run: () => latest.move(1, isProblem) },
    { keys: 'Enter', does: 'open the target', run: () => current.value && latest.open(current.value) },
  ]);

  if (data.targets.length === 0 && data.pools.length === 0) return <NoTargets />;
  const shown = rows.reduce((sum, row) => sum + (row.kind === 'target' ? 1 : 0), 0);
  const onlyProblems = states.length > 0 && PROBLEMS.every((state) => states.includes(state));
  return (
    <>
      <Tiles targets={data.targets} states={states} />
      <div class="filter-bar">
        <input
          class="field"
          data-filter
          value={text}
          placeholder={'Filter by label or endpoint, such as  zone="eu-1b"  pod=~"payment-.*"'}
          aria-label="Filter targets"
          aria-invalid={filter.error !== null}
          onInput={(event) => setParams({ q: event.currentTarget.value })}
          spellcheck={false}
        />
        <select
          class="btn tall"
          aria-label="Group by"
          value={group}
          onChange={(event) =>
            setParams({ group: event.currentTarget.value === POOL ? null : event.currentTarget.value })
          }
        >
          {groupLabels(data.targets).map((label) => (
            <option key={label} value={label}>
              Group by {label === POOL ? poolWord(data.targets) : label}
            </option>
          ))}
        </select>
        <button
          type="button"
          class="btn tall"
          aria-pressed={onlyProblems}
          onClick={() => setParams({ state: onlyProblems ? null : PROBLEMS.join() })}
        >
          Only problems
        </button>
      </div>
      {filter.error && <p class="error-text">{filter.error}</p>}
      <div role="table" aria-label="Targets" aria-rowcount={rows.length} class="target-table">
        <div role="row" class="grid-row grid-head">
          <SortHead name="endpoint">Endpoint</SortHead>
          <span role="columnheader">Labels</span>
          <SortHead name="state">State</SortHead>
          <span role="columnheader">{historyTitle(data.targets)}</span>
          <SortHead name="rate" number>
            Spans/s
          </SortHead>
          <SortHead name="lost" number>
            Lost
          </SortHead>
          <SortHead name="scraped" number>
            Scraped
          </SortHead>
          <SortHead name="took" number>
            Took
          </SortHead>
          <SortHead name="clock" number>
            Clock
          </SortHead>
        </div>
        <VirtualRows heights={heights} reveal={place}>
          {(at) => {
            const row = rows[at] as Row;
            switch (row.kind) {
              case 'group':
                return (
                  <GroupRow
                    key={`group ${row.name}`}
                    row={row}
                    toggle={() => {
                      closedGroups.value = toggled(closedGroups.value, row.name);
                    }}
                  />
                );
              case 'note':
                return <NoteRow key={`note ${row.group} ${row.text}`} text={row.text} />;
              case 'failing':
                return (
                  <FailingRow
                    key={`failing ${row.group} ${row.failing.mechanism} ${row.failing.server}`}
                    failing={row.failing}
                    skewMs={data.clockSkewMs}
                  />
                );
              case 'target':
                return (
                  <TargetRow
                    key={row.target.key}
                    target={row.target}
                    open={row.open}
                    current={row.target.key === current.value}
                    skewMs={data.clockSkewMs}
                    toggle={() => open(row.target.key)}
                  />
                );
              case 'detail':
                return (
                  <TargetDetail
                    key={`detail ${row.target.key}`}
                    target={row.target}
                    skewMs={data.clockSkewMs}
                  />
                );
            }
          }}
        </VirtualRows>
      </div>
      {shown < data.targets.length && (
        <p class="hidden-note muted">
          {plural(data.targets.length - shown, 'target')} not shown.{' '}
          <button type="button" class="link" onClick={() => setParams({ q: null, state: null })}>
            Show all
          </button>
        </p>
      )}
      <Dropped data={data} />
    </>
  );
}

function toggled<T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(item)) next.add(item);
  return next;
}

function Tiles({ targets, states }: { targets: readonly Target[]; states: readonly State[] }) {
  const counts = countStates(targets);
  const tiles = TILES.filter(({ state, always }) => always || counts.has(state));
  return (
    <div class="tiles">
      <button type="button" aria-pressed={states.length === 0} onClick={() => setParams({ state: null })}>
        <b>{formatCount(targets.length)}</b>
        <span>targets</span>
      </button>
      {tiles.map(({ state, words }) => {
        const pressed = states.length === 1 && states[0] === state;
        return (
          <button
            key={state}
            type="button"
            aria-pressed={pressed}
            onClick={() => setParams({ state: pressed ? null : state })}
          >
            <b>{formatCount(counts.get(state) ?? 0)}</b>
            <span>
              <i class={`mark ${stateClass(state)}`} />
              {words}
            </span>
          </button>
        );
      })}
    </div>
  );
}

/** How far back the lines reach, if all reach equally far. */
function historyTitle(targets: readonly Target[]): string {
  const intervals = new Set(targets.map((target) => target.interval));
  const match = intervals.size === 1 ? /^(\d+)(ms|s|m)$/.exec([...intervals][0] ?? '') : null;
  const scrapes = Math.max(0, ...targets.map((target) => target.history.length));
  if (!match || scrapes < 2) return 'Spans a scrape';
  const us = Number(match[1]) * { ms: 1e3, s: 1e6, m: 6e7 }[match[2] as 'ms' | 's' | 'm'];
  const span = us * scrapes;
  return `Spans, ${span >= 6e7 ? `${Math.round(span / 6e7)} min` : `${Math.round(span / 1e6)} s`}`;
}

function NoTargets() {
  return (
    <Empty title="No scrape_configs, so there is nobody to ask">
      <p class="muted">The smallest configuration that finds one process and scrapes its spans:</p>
      <pre>{`scrape_configs:
  - job_name: shop
    static_configs:
      - targets: ["127.0.0.1:9100"]`}</pre>
      <p class="muted">Any of Prometheus' discovery mechanisms may stand in place of static_configs.</p>
    </Empty>
  );
}
