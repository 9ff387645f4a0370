/** Service discovery: what was found, which labels it came with, and what rules made of them. */

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { formatCount } from '../kit/format';
import { Chevron } from '../kit/icons';
import { narrow } from '../kit/screen';
import { Empty, Failure, Skeleton, Stale } from '../kit/states';
import { href, param, setParams } from '../kit/url';
import { VirtualRows } from '../kit/virtual';
import { targets as resource } from '../shell/status';
import { FailingRow, failingHeight } from '../targets/failing';
import { parseFilter } from '../targets/filter';
import type { Labels, Targets } from '../targets/model';
import { stateClass, stateWords } from '../targets/rows';
import { type Found, layRows, type Row, SHOWN, type Shown, summary } from './model';
import { StepsSheet } from './steps';
import './discovery.css';

const POOL_PX = 34;
const NOTE_PX = 30;
const FOUND_PX = 36;
const NARROW_FOUND_PX = 60;
const LINE_PX = 20;
const LABELS_PADDING_PX = 52;

const SHOWN_WORDS: Record<Shown, string> = {
  all: 'All that was found',
  active: 'Only targets',
  dropped: 'Only dropped',
};

export function DiscoveryPage() {
  const { data, error, at } = resource.state.value;
  return (
    <>
      <Stale error={data ? error : null} at={at} />
      <div class={`page scroll discovery${error && data ? ' dimmed' : ''}`}>
        <header>
          <div>
            <h1>Service discovery</h1>
            <p class="lead">What was found, which labels it came with, and what relabelling made of them.</p>
          </div>
        </header>
        {data ? (
          <FoundTable data={data} />
        ) : error ? (
          <Failure error={error} retry={() => resource.refresh()} />
        ) : (
          <Skeleton rows={14} />
        )}
      </div>
    </>
  );
}

function FoundTable({ data }: { data: Targets }) {
  const text = param('q');
  const wanted = param('state');
  const shown = SHOWN.find((one) => one === wanted) ?? 'all';
  const closedPools = useSignal<ReadonlySet<string>>(new Set());
  const opened = useSignal<ReadonlySet<string>>(new Set());
  const relabelled = useSignal<Found | null>(null);
  const filter = useMemo(() => parseFilter(text), [text]);
  const rows = useMemo(() => {
    // Ten thousand label sets are merged for those who filter only.
    const match = ({ pool, url, discovered, labels }: Found) =>
      !text || filter.match({ pool, url, labels: { ...discovered, ...labels } });
    return layRows(data, { match, shown, closedPools: closedPools.value, opened: opened.value });
  }, [data, filter, shown, closedPools.value, opened.value]);
  const heights = useMemo(() => rows.map((row) => rowHeight(row, narrow.value)), [rows, narrow.value]);

  if (data.targets.length === 0 && data.pools.length === 0) {
    return (
      <Empty title="No scrape_configs, so there is nothing to find">
        <p class="muted">
          What a job may say of where its targets are is told in{' '}
          <span class="mono">docs/guide/discovery.md</span>.
        </p>
      </Empty>
    );
  }
  const listed = rows.reduce((sum, row) => sum + (row.kind === 'found' ? 1 : 0), 0);
  return (
    <>
      <div class="filter-bar">
        <input
          class="field"
          data-filter
          value={text}
          placeholder={'Filter by any label, such as  __meta_filepath=~".*shop.*"  zone="eu-1b"'}
          aria-label="Filter what was found"
          aria-invalid={filter.error !== null}
          onInput={(event) => setParams({ q: event.currentTarget.value })}
          spellcheck={false}
        />
        <select
          class="btn tall"
          aria-label="Show"
          value={shown}
          onChange={(event) =>
            setParams({ state: event.currentTarget.value === 'all' ? null : event.currentTarget.value })
          }
        >
          {SHOWN.map((one) => (
            <option key={one} value={one}>
              {SHOWN_WORDS[one]}
            </option>
          ))}
        </select>
      </div>
      {filter.error && <p class="error-text">{filter.error}</p>}
      <div role="table" aria-label="What was found" aria-rowcount={rows.length}>
        <div role="row" class="grid-row grid-head">
          <span role="columnheader">Discovered labels</span>
          <span role="columnheader">Target labels</span>
          <span role="columnheader">Rules</span>
        </div>
        <VirtualRows heights={heights}>
          {(at) => (
            <AnyRow
              key={rowKey(rows[at] as Row)}
              row={rows[at] as Row}
              height={heights[at] as number}
              skewMs={data.clockSkewMs}
              togglePool={(name) => {
                closedPools.value = toggled(closedPools.value, name);
              }}
              toggle={(found) => {
                opened.value = toggled(opened.value, found.key);
              }}
              relabel={(found) => {
                relabelled.value = found;
              }}
            />
          )}
        </VirtualRows>
      </div>
      {listed === 0 && text && <p class="hidden-note muted">Nothing of what was found has such labels.</p>}
      {relabelled.value && (
        <StepsSheet
          key={relabelled.value.key}
          found={relabelled.value}
          close={() => {
            relabelled.value = null;
          }}
        />
      )}
    </>
  );
}

function toggled<T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(item)) next.add(item);
  return next;
}

function rowHeight(row: Row, isNarrow: boolean): number {
  switch (row.kind) {
    case 'pool':
      return POOL_PX;
    case 'note':
      return NOTE_PX;
    case 'failing':
      return failingHeight(isNarrow);
    case 'found':
      return isNarrow ? NARROW_FOUND_PX : FOUND_PX;
    case 'labels': {
      const [before, after] = [row.found.discovered, row.found.labels ?? {}].map(
        (labels) => Object.keys(labels).length,
      ) as [number, number];
      const lines = isNarrow ? before + Math.max(1, after) + 2 : Math.max(before, after, 1);
      return lines * LINE_PX + LABELS_PADDING_PX;
    }
  }
}

function rowKey(row: Row): string {
  switch (row.kind) {
    case 'pool':
      return `pool ${row.name}`;
    case 'note':
      return `note ${row.pool} ${row.text}`;
    case 'failing':
      return `failing ${row.pool} ${row.failing.mechanism} ${row.failing.server}`;
    case 'found':
      return row.found.key;
    case 'labels':
      return `labels ${row.found.key}`;
  }
}

interface AnyRowProps {
  row: Row;
  height: number;
  skewMs: number;
  togglePool: (name: string) => void;
  toggle: (found: Found) => void;
  relabel: (found: Found) => void;
}

function AnyRow({ row, height, skewMs, togglePool, toggle, relabel }: AnyRowProps) {
  switch (row.kind) {
    case 'pool':
      return <PoolRow row={row} toggle={() => togglePool(row.name)} />;
    case 'note':
      return (
        <div class={`note-row mono${row.isError ? '' : ' plain'}`} role="row" title={row.text}>
          <span role="cell">{row.text}</span>
        </div>
      );
    case 'failing':
      return <FailingRow failing={row.failing} skewMs={skewMs} />;
    case 'found':
      return (
        <FoundRow
          found={row.found}
          open={row.open}
          toggle={() => toggle(row.found)}
          relabel={() => relabel(row.found)}
        />
      );
    case 'labels':
      return <LabelLists found={row.found} height={height} />;
  }
}

function PoolRow({ row, toggle }: { row: Extract<Row, { kind: 'pool' }>; toggle: () => void }) {
  return (
    <div class="pool" role="row">
      <div role="cell">
        <button type="button" aria-expanded={row.open} onClick={toggle}>
          <b>{row.name}</b>
          <span class="muted">
            {formatCount(row.active)} / {formatCount(row.total)} active
          </span>
        </button>
        <a class="link" href={href('/config', { pool: row.name })}>
          Configuration
        </a>
      </div>
    </div>
  );
}

interface FoundRowProps {
  found: Found;
  open: boolean;
  toggle: () => void;
  relabel: () => void;
}

function FoundRow({ found, open, toggle, relabel }: FoundRowProps) {
  return (
    <div class="found grid-row" role="row">
      <div role="cell">
        <button
          type="button"
          class="endpoint mono"
          aria-expanded={open}
          title={summary(found.discovered)}
          onClick={toggle}
        >
          <Chevron open={open} />
          {summary(found.discovered)}
        </button>
      </div>
      <div role="cell" class="mono" title={found.labels ? summary(found.labels) : undefined}>
        {found.target && <State target={found.target} />}
        {found.labels ? summary(found.labels) : <Dropped />}
      </div>
      <div role="cell">
        <button type="button" class="link" onClick={relabel}>
          Show relabelling
        </button>
      </div>
    </div>
  );
}

/** How the target is, for whoever asks why nothing comes of what was found. */
function State({ target }: { target: NonNullable<Found['target']> }) {
  const words = stateWords(target);
  const title = target.lastError ? `${words}: ${target.lastError}` : words;
  return (
    <>
      <i class={`mark ${stateClass(target.state)}`} title={title} /> <span class="sr">{words}</span>
    </>
  );
}

function Dropped() {
  return (
    <span class="muted">
      <i class="mark not-traced" /> dropped
    </span>
  );
}

function LabelLists({ found, height }: { found: Found; height: number }) {
  return (
    <div class="label-lists" role="row" style={{ height: `${height}px` }}>
      <LabelList title="Discovered labels" labels={found.discovered} />
      {found.labels ? (
        <LabelList title="Target labels" labels={found.labels} url={found.url} />
      ) : (
        <div role="cell">
          <h2>Target labels</h2>
          <Dropped />
        </div>
      )}
    </div>
  );
}

function LabelList({ title, labels, url }: { title: string; labels: Labels; url?: string }) {
  return (
    <div role="cell">
      <h2>
        {title}
        {url && (
          <a class="link" href={href('/targets', { q: `"${url}"` })}>
            How it is asked
          </a>
        )}
      </h2>
      <ul class="mono">
        {Object.entries(labels).map(([name, value]) => (
          <li key={name} title={`${name}="${value}"`}>
            {name}
            <span class="faint">=</span>"{value}"
          </li>
        ))}
      </ul>
    </div>
  );
}
