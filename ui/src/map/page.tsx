/** Map: who calls whom, from one service and two hops, or all while they are few. */

import { useMemo } from 'preact/hooks';
import { fetchDependencies, type Link, type Links } from '../api/dependencies';
import { formatCount, formatShare, plural } from '../kit/format';
import { type Resource, useKeptResource } from '../kit/load';
import { SortHead } from '../kit/sort';
import { Empty, Failure, Incomplete, Skeleton, Stale } from '../kit/states';
import { href, param, setParams } from '../kit/url';
import { VirtualRows } from '../kit/virtual';
import { quote } from '../search/query';
import { readRange } from '../search/range';
import { RangeMenu } from '../search/rangemenu';
import { assignColours } from '../theme/palette';
import { errorShare, FAILING_SHARE, Graph } from './graph';
import { layOut, neighbourhood } from './layout';
import './map.css';

/** More services than this in one picture are a ball of hair. */
const ALL_MAX = 150;
const ROW_PX = 34;

export function MapPage() {
  const [from, to] = [param('from'), param('to')];
  const resource = useKeptResource(`${from}\n${to}`, (abort) =>
    fetchDependencies(readRange(from, to, Date.now()), abort),
  );
  const { data, error, loading, at } = resource.state.value;
  return (
    <>
      <Stale error={data ? error : null} at={at} />
      <div class={`page scroll map${loading && data ? ' dimmed' : ''}`}>
        <header>
          <div>
            <h1>Map</h1>
            <p class="lead">Who calls whom, counted over every stored trace that started in this time.</p>
          </div>
          <div class="push map-range">
            <RangeMenu
              from={from}
              to={to}
              set={(newFrom, newTo) => setParams({ from: newFrom, to: newTo })}
            />
            <button type="button" class="btn" onClick={() => resource.refresh()}>
              Refresh
            </button>
          </div>
        </header>
        <Answer resource={resource} />
      </div>
    </>
  );
}

function Answer({ resource }: { resource: Resource<Links> }) {
  const { data, error, at } = resource.state.value;
  if (error && (!data || at === 0)) return <Failure error={error} retry={() => resource.refresh()} />;
  if (!data) return <Skeleton />;
  return (
    <>
      <Incomplete warning={data.warning} />
      {data.links.length === 0 ? <NoCalls /> : <Calls links={data.links} />}
    </>
  );
}

function NoCalls() {
  return (
    <Empty title="No call between services in this time">
      <p class="muted">
        A call shows when a client span names whom it called, or a server span has a parent in another
        service. Look at a longer time, or at <a href={href('/zipkin/')}>the traces</a> themselves.
      </p>
    </Empty>
  );
}

function Calls({ links }: { links: readonly Link[] }) {
  const services = useMemo(
    () => [...new Set(links.flatMap(({ parent, child }) => [parent, child]))].sort(),
    [links],
  );
  const tooMany = services.length > ALL_MAX;
  const wanted = param('focus');
  const focus = services.includes(wanted) ? wanted : tooMany ? busiest(links) : '';
  const hops = Math.max(1, Math.min(9, Number(param('hops')) || 2));
  const near = useMemo(() => neighbourhood(links, focus, hops), [links, focus, hops]);
  const layout = useMemo(() => layOut(near), [near]);
  const slots = useMemo(() => {
    const colours = assignColours(services);
    return new Map(services.map((name, index) => [name, colours[index]!]));
  }, [services]);
  return (
    <>
      <div class="map-bar">
        <select
          class="btn"
          data-filter
          aria-label="Start at"
          value={focus}
          onChange={(event) => setParams({ focus: event.currentTarget.value || null })}
        >
          {!tooMany && <option value="">All {plural(services.length, 'service')}</option>}
          {services.map((name) => (
            <option key={name} value={name}>
              From {name}
            </option>
          ))}
        </select>
        {focus && (
          <select
            class="btn"
            aria-label="Hops"
            value={String(hops)}
            onChange={(event) => setParams({ hops: event.currentTarget.value })}
          >
            {[1, 2, 3, 4].map((count) => (
              <option key={count} value={String(count)}>
                {plural(count, 'hop')}
              </option>
            ))}
          </select>
        )}
        <span class="muted">
          {plural(layout.nodes.size, 'service')}, {plural(near.length, 'link')}
          {near.length < links.length && `; ${plural(links.length - near.length, 'link')} further away`}
        </span>
      </div>
      <div class="graph-frame">
        <Graph
          layout={layout}
          slots={slots}
          focus={focus}
          choose={(service) => setParams({ focus: service === focus ? null : service })}
        />
      </div>
      <LinkTable links={near} />
    </>
  );
}

function busiest(links: readonly Link[]): string {
  return links.reduce((most, link) => (link.callCount > most.callCount ? link : most)).parent;
}

const COLUMNS: Record<string, (link: Link) => number | string> = {
  caller: ({ parent }) => parent,
  called: ({ child }) => child,
  calls: ({ callCount }) => callCount,
  errors: errorShare,
};

/** The same as the picture, to be sorted, read aloud and followed. */
function LinkTable({ links }: { links: readonly Link[] }) {
  const sort = param('sort') || '-calls';
  const rows = useMemo(() => {
    const read = COLUMNS[sort.replace('-', '')] ?? COLUMNS.calls!;
    const sign = sort.startsWith('-') ? -1 : 1;
    return links.toSorted((a, b) => {
      const [x, y] = [read(a), read(b)];
      return x === y ? 0 : x < y ? -sign : sign;
    });
  }, [links, sort]);
  const heights = useMemo(() => new Uint8Array(rows.length).fill(ROW_PX), [rows]);
  return (
    <div role="table" aria-label="Calls" aria-rowcount={rows.length} class="link-table">
      <div role="row" class="grid-row grid-head">
        <SortHead name="caller">Caller</SortHead>
        <SortHead name="called">Called</SortHead>
        <SortHead name="calls" number>
          Calls
        </SortHead>
        <SortHead name="errors" number>
          Errors
        </SortHead>
        <span role="columnheader">Traces</span>
      </div>
      <VirtualRows heights={heights}>
        {(at) => {
          const link = rows[at]!;
          const share = errorShare(link);
          const query = `service=${quote(link.parent)} remote=${quote(link.child)}`;
          return (
            <div role="row" class="grid-row link-row" key={`${link.parent} ${link.child}`}>
              <b role="cell">{link.parent}</b>
              <span role="cell">{link.child}</span>
              <span role="cell" class="num">
                {formatCount(link.callCount)}
              </span>
              <span role="cell" class={`num${share > FAILING_SHARE ? ' error-text' : ''}`}>
                {link.errorCount > 0 ? formatShare(share) : <span class="faint">0</span>}
              </span>
              <span role="cell">
                <a class="link" href={href('/zipkin/', { q: query, from: param('from'), to: param('to') })}>
                  Show
                </a>
              </span>
            </div>
          );
        }}
      </VirtualRows>
    </div>
  );
}
