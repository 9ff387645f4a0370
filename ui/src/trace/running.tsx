/** Spans of a trace that have not finished, while any may. */

import { useEffect, useState } from 'preact/hooks';
import { fetchRunning, type Running } from '../api/running';
import { formatDuration, plural } from '../kit/format';
import type { Trace } from './model';

const LOOK_AGAIN_MS = 5000;
/** What ended longer ago has nothing that runs, or nobody waits for it any more. */
const RECENT_MS = 3_600_000;

export function StillRunning({ id, trace }: { id: string; trace?: Trace }) {
  const [running, setRunning] = useState<Running | null>(null);
  const ended = trace ? (trace.startUs + trace.to) / 1000 : Date.now();
  const isRecent = Date.now() - ended < RECENT_MS;
  useEffect(() => (isRecent ? look(id, trace?.services ?? [], setRunning) : undefined), [id, isRecent]);
  if (!running || running.spans.length === 0) return null;
  const longest = Math.max(...running.spans.map((span) => span.duration));
  return (
    <details class="running">
      <summary>
        {plural(running.spans.length, 'span')} still running, for {formatDuration(longest)} so far
      </summary>
      <table>
        <tbody>
          {running.spans.map((span) => (
            <tr key={span.id}>
              <td class="num">{formatDuration(span.duration)}</td>
              <td>{span.service}</td>
              <td>{span.name}</td>
              <td class="muted">{span.kind?.toLowerCase()}</td>
              <td class="muted mono">{span.target}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

/** Asks now and again and again while something runs; returns how to stop. */
function look(id: string, services: readonly string[], tell: (running: Running) => void): () => void {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = async () => {
    try {
      const running = await fetchRunning(id, services, abort.signal);
      if (abort.signal.aborted) return;
      tell(running);
      if (running.spans.length === 0) return;
    } catch {
      // It is an addition: what is stored is shown all the same.
    }
    if (!abort.signal.aborted) timer = setTimeout(ask, LOOK_AGAIN_MS);
  };
  ask();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}
