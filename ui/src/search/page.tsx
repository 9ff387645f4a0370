/** Search: from "something is slow" to the trace, without knowing a service's name. */

import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { type Found, type Summary, search } from '../api/search';
import { Label } from '../kit/copy';
import { formatClock, formatCount, formatDuration, formatShare, plural } from '../kit/format';
import { useKeys } from '../kit/keys';
import { type Resource, useKeptResource } from '../kit/load';
import { Failure, Incomplete, Skeleton, Stale } from '../kit/states';
import { go, param, place, setParams } from '../kit/url';
import { differences } from './differences';
import { type Box, filledRange, isInBox, readBox, writeBox } from './heat';
import { Heatmap } from './heatmap';
import { NothingFound } from './nothing';
import { fromZipkin, parseQuery } from './query';
import { QueryBar } from './querybar';
import { rangeFromZipkin, readRange } from './range';
import { RangeMenu } from './rangemenu';
import { sortTraces, TraceTable } from './table';

/** As many as one map can tell apart, and the server gives in one answer without effort. */
const LIMIT = 1000;
const LIMIT_MAX = 2000;

const ZIPKIN_PARAMS = [
  'serviceName',
  'spanName',
  'remoteServiceName',
  'annotationQuery',
  'minDuration',
  'maxDuration',
  'lookback',
  'startTs',
  'endTs',
  'millis',
];

/** Links made for Zipkin's own pages mean the same here. */
function translateZipkin(): void {
  const { params } = place.peek();
  if (!ZIPKIN_PARAMS.some((name) => params.has(name))) return;
  const range = rangeFromZipkin(params);
  const gone = Object.fromEntries(ZIPKIN_PARAMS.map((name) => [name, null]));
  setParams({ ...gone, q: fromZipkin(params), from: range?.from ?? null, to: range?.to ?? null });
}

export function SearchPage() {
  useMemo(translateZipkin, []);
  const [query, from, to] = [param('q'), param('from'), param('to')];
  const limit = Math.min(LIMIT_MAX, Math.max(1, Number(param('limit')) || LIMIT));
  const draft = useSignal(query);
  useEffect(() => {
    draft.value = query;
  }, [query]);

  const resource = useKeptResource([query, from, to, limit].join('\n'), (abort) => {
    const { zipkin, problems } = parseQuery(query);
    const range = readRange(from, to, Date.now());
    // What is not understood must not be answered as if it were.
    if (problems.length > 0) {
      const missing = { partial: false, warning: '' };
      return Promise.resolve<Found>({ traces: [], limited: false, tookMs: 0, range, missing });
    }
    return search(zipkin, range, limit, abort);
  });
  const run = () => {
    if (draft.value.trim() === query) void resource.refresh();
    else setParams({ q: draft.value.trim(), box: null });
  };
  return (
    <>
      <Stale
        error={resource.state.value.data ? resource.state.value.error : null}
        at={resource.state.value.at}
      />
      <div class="page scroll search">
        <h1 class="sr">Search traces</h1>
        <form
          class="search-bar"
          onSubmit={(event) => {
            event.preventDefault();
            run();
          }}
        >
          <QueryBar
            value={draft.value}
            change={(text) => {
              draft.value = text;
            }}
            run={run}
          />
          <RangeMenu
            from={from}
            to={to}
            set={(newFrom, newTo) => setParams({ from: newFrom, to: newTo, box: null })}
          />
          <button type="submit" class="btn primary">
            Search
          </button>
        </form>
        <Answer resource={resource} query={query} />
      </div>
    </>
  );
}

function Answer({ resource, query }: { resource: Resource<Found>; query: string }) {
  const { data, error, loading, at } = resource.state.value;
  // Old traces stay while new ones come; but what failed is not answered with those of another question.
  if (error && (!data || at === 0)) return <Failure error={error} retry={() => resource.refresh()} />;
  if (!data) return <Skeleton rows={12} />;
  return (
    <div class={loading ? 'dimmed' : undefined} aria-busy={loading}>
      <Incomplete warning={data.missing.warning} />
      {data.traces.length > 0 ? <Traces found={data} /> : <NothingFound query={query} found={data} />}
    </div>
  );
}

function Traces({ found }: { found: Found }) {
  const boxText = param('box');
  const box = useMemo(() => readBox(boxText), [boxText]);
  const sort = param('sort');
  const current = useSignal(-1);
  const selected = useMemo(
    () => (box ? found.traces.filter((trace) => isInBox(box, trace)) : found.traces),
    [found, box],
  );
  const traces = useMemo(() => sortTraces(selected, sort), [selected, sort]);
  const setBox = (next: Box | null) => setParams({ box: next ? writeBox(next) : null });

  // Bindings are registered once, so they must look up what the last render made.
  const latest = useMemo(() => ({ traces }), []);
  latest.traces = traces;
  const move = (by: number) => () => {
    current.value = Math.max(0, Math.min(latest.traces.length - 1, current.value + by));
  };
  const open = () => {
    const trace = latest.traces[current.value];
    if (trace) go(`/zipkin/traces/${trace.traceId}`);
  };
  useKeys('Search', [
    { keys: 'j', does: 'next trace', run: move(1) },
    { keys: 'k', does: 'previous trace', run: move(-1) },
    { keys: 'o', does: 'open the trace', run: open },
    { keys: 'Enter', does: '', run: open },
    {
      keys: 'b',
      does: 'a box on the map, then arrows',
      run: () => document.querySelector<HTMLElement>('.heat-focus')?.focus(),
    },
  ]);
  return (
    <>
      <div class="heat">
        <div class="heat-head">
          <b>{plural(found.traces.length, 'trace')}</b>
          <span>
            {extentWords(found)}
            {sinceWords(found)}
            {found.tookMs > 0 && `, in ${formatDuration(found.tookMs * 1000)}`}
          </span>
          <span class="push heat-legend">
            <span>
              <i class="mark square accent" /> traces
            </span>
            <span>
              <i class="mark square red" /> over 15 % errors
            </span>
            <span>
              <i class="mark lossy" /> loss windows
            </span>
          </span>
        </div>
        <Heatmap found={found} box={box} selected={selected.length} setBox={setBox} />
      </div>
      {box && <Selection box={box} selected={selected} found={found} clear={() => setBox(null)} />}
      <TraceTable traces={traces} all={found.traces} current={current.value} />
    </>
  );
}

function extentWords({ limited, traces, missing }: Found): string {
  if (limited) return `the newest ${formatCount(traces.length)} of more`;
  return missing.partial ? 'of what was looked at' : 'all that match';
}

/** The map begins later than the search if nothing is known of its beginning. */
function sinceWords(found: Found): string {
  const shown = filledRange(found);
  if (shown === found.range) return '';
  const since = formatClock(new Date(shown.fromMs));
  return found.limited ? `, since ${since}` : `, none before ${since}`;
}

interface SelectionProps {
  box: Box;
  selected: readonly Summary[];
  found: Found;
  clear: () => void;
}

function Selection({ box, selected, found, clear }: SelectionProps) {
  const apart = useMemo(() => {
    const rest = found.traces.filter((trace) => !isInBox(box, trace));
    return differences(selected, rest, 3);
  }, [box, selected, found]);
  return (
    <div class="selection">
      <b>{formatCount(selected.length)} selected</b>
      <span class="muted">
        {formatClock(new Date(box.fromUs / 1000))}–{formatClock(new Date(box.toUs / 1000))},{' '}
        {formatDuration(box.shortestUs)} to {formatDuration(box.longestUs)}
      </span>
      <button type="button" class="link" onClick={clear}>
        Clear
      </button>
      {apart.length > 0 && <span class="muted">What sets them apart:</span>}
      {apart.map(({ name, value, inside, outside }) => (
        <Label
          key={`${name} ${value}`}
          name={name}
          value={value}
          note={`${formatShare(inside)} against ${formatShare(outside)}`}
        />
      ))}
    </div>
  );
}
