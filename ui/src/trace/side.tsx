/** The selected span: what it took, its tags, the labels of its target, its annotations and ids. */

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Endpoint, Span, SpanRow } from '../api/trace';
import { CopyButton } from '../kit/copy';
import { formatDuration, formatShare } from '../kit/format';
import { CloseIcon } from '../kit/icons';
import { href } from '../kit/url';
import { quote } from '../search/query';
import { Swatch } from '../theme/swatch';
import { ERROR, KINDS, NO_DURATION, PARENT_MISSING, serviceName, spanName, type Trace } from './model';
import { selfTime } from './selftime';
import { spanOf } from './spandata';

interface SideProps {
  trace: Trace;
  row: number;
  slots: Uint16Array;
  select: (row: number) => void;
}

export function SidePanel({ trace, row, slots, select }: SideProps) {
  const duration = trace.end[row]! - trace.start[row]!;
  const more = [`service=${quote(serviceName(trace, row))}`, `name=${quote(spanName(trace, row))}`].join(' ');
  return (
    <aside class="side" aria-label="Selected span">
      <header>
        <h2>
          <Swatch slot={slots[trace.service[row]!]!} class="stripe" />
          <span>{spanName(trace, row)}</span>
          <button type="button" class="icon push" aria-label="Close" onClick={() => select(-1)}>
            <CloseIcon />
          </button>
        </h2>
        <p class="muted">
          {serviceName(trace, row)} · {KINDS[trace.kind[row]!]}
          {trace.flags[row]! & ERROR ? <b class="error-text"> · error</b> : null}
          {trace.flags[row]! & PARENT_MISSING ? <b class="warn-text"> · parent missing</b> : null}
        </p>
        <div class="actions">
          <a class="btn" href={href('/zipkin/', { q: more })}>
            More like this
          </a>
          <CopyButton text={() => window.location.href}>Copy link</CopyButton>
        </div>
      </header>
      <section class="four">
        <Figure
          value={trace.flags[row]! & NO_DURATION ? 'unknown' : formatDuration(duration)}
          of="duration"
        />
        <Figure value={formatDuration(selfTime(trace, row))} of="self" />
        <Figure value={formatDuration(trace.start[row]!)} of="starts at" />
        <Figure value={formatShare(duration / (trace.to - trace.from))} of="of trace" />
      </section>
      <GapFacts trace={trace} row={row} />
      <SpanFacts trace={trace} row={row} select={select} />
    </aside>
  );
}

function Figure({ value, of }: { value: string; of: string }) {
  return (
    <div>
      <b>{value}</b>
      {of}
    </div>
  );
}

/** The proof that spans below this one are missing. */
function GapFacts({ trace, row }: { trace: Trace; row: number }) {
  const gaps = trace.gaps.filter((gap) => gap.row === row);
  if (gaps.length === 0) return null;
  return (
    <Section title="Not received" note={`${gaps.length}`}>
      {gaps.map((gap) => (
        <p key={gap.text} class="gap-fact">
          <i class="mark lossy" />
          <span>
            <b>{gap.service}</b> {gap.text}
          </span>
        </p>
      ))}
      <a class="link" href={href('/targets', { state: 'lossy' })}>
        Targets that lost spans
      </a>
    </Section>
  );
}

/** What only the full span tells; fetched when it is selected. */
function SpanFacts({ trace, row, select }: { trace: Trace; row: number; select: (row: number) => void }) {
  const [loaded, setLoaded] = useState<{ row: number; data: SpanRow | null; error: string }>({
    row: -1,
    data: null,
    error: '',
  });
  useEffect(() => {
    let gone = false;
    spanOf(trace, row).then(
      (data) => !gone && setLoaded({ row, data, error: '' }),
      (error: Error) => !gone && setLoaded({ row, data: null, error: error.message }),
    );
    return () => {
      gone = true;
    };
  }, [trace, row]);
  if (loaded.row !== row) return <section class="waiting" />;
  if (!loaded.data) {
    return (
      <Section title="Tags">
        <p class="error-text">{loaded.error}</p>
        <button type="button" class="link" onClick={() => window.location.reload()}>
          Load the trace again
        </button>
      </Section>
    );
  }
  const { span, merged, target } = loaded.data;
  const parent = trace.parent[row]!;
  return (
    <>
      <Tags span={span} merged={merged} />
      {target && (
        <Section title="Target" note="from discovery">
          <Pairs pairs={Object.entries(target)} />
        </Section>
      )}
      <Annotations trace={trace} spans={[span, ...merged]} />
      <Endpoints span={span} merged={merged} />
      <Section title="Ids">
        <Pairs
          pairs={[
            ['span', span.id],
            ['parent', span.parentId ?? 'none'],
            ['trace', span.traceId],
          ]}
        />
        {parent >= 0 && (
          <button type="button" class="link" onClick={() => select(parent)}>
            To the parent
          </button>
        )}
      </Section>
    </>
  );
}

/** Tags of both halves of a shared span; where they differ, both are shown. */
function Tags({ span, merged }: { span: Span; merged: readonly Span[] }) {
  const pairs = Object.entries(span.tags ?? {});
  for (const half of merged) {
    for (const [key, value] of Object.entries(half.tags ?? {})) {
      if (span.tags?.[key] !== value) pairs.push([key, value]);
    }
  }
  if (pairs.length === 0) return null;
  return (
    <Section title="Tags" note={String(pairs.length)}>
      <Pairs pairs={pairs} />
    </Section>
  );
}

function Annotations({ trace, spans }: { trace: Trace; spans: readonly Span[] }) {
  const all = spans.flatMap((span) => span.annotations ?? []).sort((a, b) => a.timestamp - b.timestamp);
  if (all.length === 0) return null;
  return (
    <Section title="Annotations" note={String(all.length)}>
      <dl class="annotations">
        {all.map(({ timestamp, value }) => (
          <div key={`${timestamp} ${value}`}>
            <dt class="mono">{formatDuration(timestamp - trace.startUs)}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}

function Endpoints({ span, merged }: { span: Span; merged: readonly Span[] }) {
  const pairs: [string, string][] = [];
  const put = (name: string, endpoint: Endpoint | undefined) => {
    const text = endpointText(endpoint);
    if (text) pairs.push([name, text]);
  };
  put('local', span.localEndpoint);
  put('remote', span.remoteEndpoint);
  for (const half of merged) put(`local, ${half.kind?.toLowerCase() ?? 'other half'}`, half.localEndpoint);
  if (pairs.length === 0) return null;
  return (
    <Section title="Endpoints">
      <Pairs pairs={pairs} />
    </Section>
  );
}

function endpointText(endpoint: Endpoint | undefined): string {
  if (!endpoint) return '';
  const host = endpoint.ipv4 ?? (endpoint.ipv6 ? `[${endpoint.ipv6}]` : '');
  const address = endpoint.port ? `${host}:${endpoint.port}` : host;
  return [endpoint.serviceName, address].filter(Boolean).join(' ');
}

function Section({ title, note, children }: { title: string; note?: string; children: ComponentChildren }) {
  return (
    <section>
      <h3>
        {title} {note && <span>{note}</span>}
      </h3>
      {children}
    </section>
  );
}

function Pairs({ pairs }: { pairs: readonly (readonly [string, string])[] }) {
  return (
    <dl class="side-pairs">
      {pairs.map(([name, value], index) => (
        <div key={index}>
          <dt>{name}</dt>
          <dd class={name === 'error' ? 'error-text' : undefined}>
            <CopyButton class="plain" title="Copy" text={value}>
              {value || 'empty'}
            </CopyButton>
          </dd>
        </div>
      ))}
    </dl>
  );
}
