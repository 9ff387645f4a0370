/** The traces found: one line each, virtual, sorted through the URL. */

import { useMemo } from 'preact/hooks';
import type { Summary } from '../api/search';
import { formatAge, formatCount, formatDuration, plural } from '../kit/format';
import { narrow, now } from '../kit/screen';
import { SortHead } from '../kit/sort';
import { href } from '../kit/url';
import { VirtualRows } from '../kit/virtual';
import { arrival } from '../shell/status';
import { assignColours } from '../theme/palette';
import { Swatch } from '../theme/swatch';

const ROW_PX = 44;
const NARROW_ROW_PX = 62;
/** More chips than this are too thin to tell apart. */
const CHIPS_MAX = 14;

const COLUMNS: Record<string, (trace: Summary) => number | string> = {
  trace: ({ root }) => `${root.service} ${root.name}`,
  started: ({ startUs }) => startUs,
  duration: ({ durationUs }) => durationUs,
  services: ({ services }) => services.length,
  spans: ({ spans }) => spans,
  errors: ({ errors }) => errors,
  gaps: ({ missing }) => missing,
};

/** Newest first, as they came, unless the URL says otherwise. */
export function sortTraces(traces: readonly Summary[], sort: string): readonly Summary[] {
  const read = COLUMNS[sort.replace('-', '')];
  if (!read) return traces;
  const sign = sort.startsWith('-') ? -1 : 1;
  return traces.toSorted((a, b) => {
    const [x, y] = [read(a), read(b)];
    return x === y ? 0 : x < y ? -sign : sign;
  });
}

interface TraceTableProps {
  traces: readonly Summary[];
  /** Whose services share the colours: everything found, so that a box does not change them. */
  all: readonly Summary[];
  current: number;
}

export function TraceTable({ traces, all, current }: TraceTableProps) {
  const colours = useMemo(() => coloursOf(all), [all]);
  const longest = useMemo(
    () => traces.reduce((most, { durationUs }) => Math.max(most, durationUs), 1),
    [traces],
  );
  const heights = useMemo(
    () => new Uint8Array(traces.length).fill(narrow.value ? NARROW_ROW_PX : ROW_PX),
    [traces, narrow.value],
  );
  return (
    <div role="table" aria-label="Traces" aria-rowcount={traces.length} class="trace-table">
      <div role="row" class="grid-row grid-head">
        <SortHead name="trace">Trace</SortHead>
        <SortHead name="started">Started</SortHead>
        <SortHead name="duration">Duration</SortHead>
        <SortHead name="services">Services</SortHead>
        <SortHead name="spans" number>
          Spans
        </SortHead>
        <SortHead name="errors" number>
          Errors
        </SortHead>
        <SortHead name="gaps">Gaps</SortHead>
      </div>
      <VirtualRows heights={heights} reveal={current}>
        {(at) => (
          <TraceRow
            key={traces[at]!.traceId}
            trace={traces[at]!}
            colours={colours}
            longest={longest}
            current={at === current}
          />
        )}
      </VirtualRows>
    </div>
  );
}

function coloursOf(traces: readonly Summary[]): ReadonlyMap<string, number> {
  const names = [...new Set(traces.flatMap(({ services }) => services.map(({ name }) => name)))];
  const slots = assignColours(names);
  return new Map(names.map((name, index) => [name, slots[index]!]));
}

interface TraceRowProps {
  trace: Summary;
  colours: ReadonlyMap<string, number>;
  longest: number;
  current: boolean;
}

function TraceRow({ trace, colours, longest, current }: TraceRowProps) {
  return (
    <div role="row" class={`grid-row trace-row${current ? ' current' : ''}`}>
      <span role="cell" class="what">
        <a href={href(`/zipkin/traces/${trace.traceId}`)}>
          <b>{trace.root.service || 'unknown service'}</b> {trace.root.name}
        </a>
        <span class="mono faint">{trace.traceId.replace(/^0{16}/, '').slice(0, 12)}</span>
      </span>
      <span role="cell" class="muted started">
        <Started startUs={trace.startUs} />
      </span>
      <span role="cell" class="took">
        <span>{formatDuration(trace.durationUs)}</span>
        <i aria-hidden="true">
          <i style={{ width: `${(trace.durationUs / longest) * 100}%` }} />
        </i>
      </span>
      <span role="cell" class="chips">
        <Chips trace={trace} colours={colours} />
      </span>
      <span role="cell" class="num spans">
        {formatCount(trace.spans)}
      </span>
      <span role="cell" class="num errors">
        {trace.errors > 0 ? (
          <b class="error-text">{formatCount(trace.errors)}</b>
        ) : (
          <span class="faint">0</span>
        )}
      </span>
      <span role="cell" class="gaps">
        <Gaps trace={trace} />
      </span>
    </div>
  );
}

function Started({ startUs }: { startUs: number }) {
  return <>{formatAge(now.value - startUs / 1000)}</>;
}

/** Of a trace that has just ended, what is missing may be on its way. */
function Gaps({ trace }: { trace: Summary }) {
  if (trace.missing === 0) {
    return (
      <span class="muted">
        <i class="mark up" /> none
      </span>
    );
  }
  if (now.value - (trace.startUs + trace.durationUs) / 1000 < arrival.value) {
    return (
      <span class="muted" title="Its targets have not all been asked again since it ended">
        <i class="mark unknown" /> arriving
      </span>
    );
  }
  return (
    <span class="warn-text">
      <i class="mark lossy" /> {plural(trace.missing, 'gap')}
    </span>
  );
}

/** Each service as wide as its share of the spans. */
function Chips({ trace, colours }: { trace: Summary; colours: ReadonlyMap<string, number> }) {
  const words = trace.services.map(({ name, spans }) => `${name || 'unknown service'} ${spans}`).join(', ');
  return (
    <span class="chip-bar" title={words}>
      <span class="sr">{words}</span>
      {trace.services.slice(0, CHIPS_MAX).map(({ name, spans }) => (
        <span key={name} style={{ flexGrow: spans }}>
          <Swatch slot={colours.get(name) ?? 0} class="service-chip" />
        </span>
      ))}
    </span>
  );
}
