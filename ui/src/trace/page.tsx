/** A trace: loading it, saying why it cannot be shown, or showing it. */

import { RequestFailed } from '../api/client';
import { fetchColumns } from '../api/trace';
import { useResource } from '../kit/load';
import { Empty, Failure, Skeleton } from '../kit/states';
import { href } from '../kit/url';
import { fromColumns } from './model';
import { TraceView } from './view';

export function TracePage({ id }: { id: string }) {
  const resource = useResource(id, async (abort) => fromColumns(await fetchColumns(id, abort)));
  const { data: trace, error } = resource.state.value;
  // Rows and their numbers belong to one revision, and so does all that was selected or folded.
  if (trace && trace.count > 0) return <TraceView key={`${id} ${trace.rev}`} trace={trace} />;
  if (trace || (error instanceof RequestFailed && error.status === 404)) return <NotStored id={id} />;
  return (
    <div class="page scroll">
      <h1>{error ? 'Trace' : 'Loading trace'}</h1>
      <p class="lead mono">{id}</p>
      {error ? <Failure error={error} retry={() => resource.refresh()} /> : <Skeleton rows={16} />}
    </div>
  );
}

function NotStored({ id }: { id: string }) {
  return (
    <div class="page scroll">
      <Empty title="No span of this trace is stored">
        <p class="mono muted">{id}</p>
        <p class="muted">
          Its spans may still be waiting for the next scrape, may have been lost before one, or may be older
          than the retention. <a href={href('/targets')}>Targets</a> shows who was asked when, and who lost
          spans.
        </p>
      </Empty>
    </div>
  );
}
