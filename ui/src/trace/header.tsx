/** What the trace is, how long it took, and how much of it is known to be there. */

import { tracePath } from '../api/zipkin';
import { CopyButton } from '../kit/copy';
import { formatClock, formatCount, formatDuration, formatMoment, plural } from '../kit/format';
import { href } from '../kit/url';
import { serviceName, servicesWithSpans, spanName, type Trace } from './model';
import { layGaps } from './rows';

export function TraceHeader({ trace }: { trace: Trace }) {
  return (
    <div class="trace-head">
      <div class="trace-title">
        <h1>
          {serviceName(trace, 0)} <span>{spanName(trace, 0)}</span>
        </h1>
        <CopyButton class="trace-id mono" title="Copy the trace ID" text={trace.id}>
          {trace.id}
        </CopyButton>
        <a class="btn" href={href(tracePath(trace.id))} download={`${trace.id}.json`}>
          Download
        </a>
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
      </div>
      <div class="facts">
        <Fact value={formatDuration(trace.to - trace.from)} of="duration" />
        <Fact value={formatCount(trace.count)} of={trace.count === 1 ? 'span' : 'spans'} />
        <Fact value={formatCount(servicesWithSpans(trace))} of="services" />
        <Fact value={formatCount(trace.maxDepth + 1)} of="deep" />
        {trace.errors.length > 0 && (
          <Fact
            value={formatCount(trace.errors.length)}
            of={trace.errors.length === 1 ? 'error' : 'errors'}
            error
          />
        )}
        <span class="fact">{formatMoment(new Date(trace.startUs / 1000))}</span>
        <Gaps trace={trace} />
        <Completeness trace={trace} />
      </div>
    </div>
  );
}

function Fact({ value, of, error = false }: { value: string; of: string; error?: boolean }) {
  return (
    <span class={`fact${error ? ' error-text' : ''}`}>
      <b>{value}</b> {of}
    </span>
  );
}

function Gaps({ trace }: { trace: Trace }) {
  const lost = trace.loss.reduce((sum, loss) => sum + loss.spans, 0);
  const gaps = layGaps(trace).length;
  if (gaps === 0 && lost === 0) return null;
  const parts = [gaps > 0 ? plural(gaps, 'gap') : '', lost > 0 ? `up to ${plural(lost, 'span')} lost` : ''];
  return (
    <span class="chip warn">
      <i class="mark lossy" />
      {parts.filter(Boolean).join(', ')}
    </span>
  );
}

function Completeness({ trace }: { trace: Trace }) {
  if (!trace.complete) return null;
  const { throughUs, up, targets } = trace.complete;
  const share = `${formatCount(up)} of ${plural(targets, 'target')}`;
  if (throughUs === null) {
    return (
      <span class="chip">
        <i class="mark unknown" />
        not known to be complete · {share}
      </span>
    );
  }
  if (throughUs < trace.startUs + trace.to) {
    return (
      <span class="chip">
        <i class="mark unknown" />
        spans may still arrive · {share}
      </span>
    );
  }
  const all = up === targets && trace.gaps.length === 0;
  return (
    <span class={`chip${all ? ' ok' : ''}`}>
      <i class="mark up" />
      complete through {formatClock(new Date(throughUs / 1000), 1)} · {share}
    </span>
  );
}
