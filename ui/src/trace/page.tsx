/** A trace: loading it, saying why it cannot be shown, or showing it and telling when more of it comes. */

import { useEffect, useState } from 'preact/hooks';
import { RequestFailed } from '../api/client';
import { collect } from '../api/running';
import { fetchColumns } from '../api/trace';
import { plural } from '../kit/format';
import { useResource } from '../kit/load';
import { Empty, Failure, Skeleton } from '../kit/states';
import { href } from '../kit/url';
import { arrival } from '../shell/status';
import { fromColumns, type Trace } from './model';
import { StillRunning } from './running';
import { TraceView } from './view';

const LOOK_AGAIN_MS = 5000;

async function load(id: string, abort: AbortSignal): Promise<Trace> {
  return fromColumns(await fetchColumns(id, abort));
}

export function TracePage({ id }: { id: string }) {
  const resource = useResource(id, (abort) => load(id, abort));
  const [newer, setNewer] = useState<Trace | null>(null);
  const { data, error } = resource.state.value;
  const show = (trace: Trace) => {
    resource.state.value = { data: trace, error: null, loading: false, at: Date.now() };
    setNewer(null);
  };
  useEffect(() => (data ? lookAgain(id, data, setNewer) : undefined), [id, data]);
  // Rows and their numbers belong to one revision, and so does all that was selected or folded.
  if (data && data.count > 0) {
    return (
      <>
        <StillRunning id={id} trace={data} />
        {newer && <Arrived more={newer.count - data.count} show={() => show(newer)} />}
        <TraceView key={`${id} ${data.rev}`} trace={data} />
      </>
    );
  }
  if (data || (error instanceof RequestFailed && error.status === 404))
    return <NotStored id={id} again={() => resource.refresh()} />;
  return (
    <div class="page scroll">
      <h1>{error ? 'Trace' : 'Loading trace'}</h1>
      <p class="lead mono">{id}</p>
      {error ? <Failure error={error} retry={() => resource.refresh()} /> : <Skeleton rows={16} />}
    </div>
  );
}

/** While spans may still come, asks again; returns how to stop. */
function lookAgain(id: string, shown: Trace, tell: (newer: Trace) => void): () => void {
  const abort = new AbortController();
  const timer = setInterval(async () => {
    const ended = (shown.startUs + shown.to) / 1000;
    // One look after the last could have come.
    if (Date.now() > ended + arrival.peek() + LOOK_AGAIN_MS) clearInterval(timer);
    if (document.hidden) return;
    try {
      const trace = await load(id, abort.signal);
      if (trace.rev !== shown.rev && !abort.signal.aborted) tell(trace);
    } catch {
      // What is shown stays right; the next look may succeed.
    }
  }, LOOK_AGAIN_MS);
  return () => {
    clearInterval(timer);
    abort.abort();
  };
}

function Arrived({ more, show }: { more: number; show: () => void }) {
  return (
    <div class="arrived" role="status">
      {more > 0 ? `${plural(more, 'span')} arrived.` : 'The trace has changed.'}
      <button type="button" class="link" onClick={show}>
        Show
      </button>
    </div>
  );
}

function NotStored({ id, again }: { id: string; again: () => void }) {
  const [told, setTold] = useState('');
  const ask = async () => {
    setTold('Asking…');
    try {
      const { targets, given, failed, waiting } = await collect(id);
      const silent = failed + waiting;
      setTold(
        targets === 0
          ? 'There is no target to ask that is up and speaks the pull protocol.'
          : `${plural(given, 'target')} gave what ${given === 1 ? 'it' : 'they'} had${silent > 0 ? `, ${silent} did not answer` : ''}.`,
      );
      again();
    } catch (cause) {
      setTold(cause instanceof Error ? cause.message : String(cause));
    }
  };
  return (
    <div class="page scroll">
      <StillRunning id={id} />
      <Empty title="No span of this trace is stored">
        <p class="mono muted">{id}</p>
        <p class="muted">
          Its spans may still be waiting for the next scrape, may have been lost before one, or may be older
          than the retention. <a href={href('/targets')}>Targets</a> shows who was asked when, and who lost
          spans. Nobody may have sampled it: services keep what was not sampled for a while if they are set
          to.
        </p>
        <p>
          <button type="button" class="btn" onClick={ask}>
            Ask the targets for it
          </button>
        </p>
        {told && <p role="status">{told}</p>}
      </Empty>
    </div>
  );
}
