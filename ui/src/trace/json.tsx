/** The trace as Zipkin's JSON. */

import { fetchTraceJson, tracePath } from '../api/zipkin';
import { CopyButton } from '../kit/copy';
import { formatCount } from '../kit/format';
import { useResource } from '../kit/load';
import { Failure, Skeleton } from '../kit/states';
import { href } from '../kit/url';
import type { Trace } from './model';

/** More than this a browser should not lay out as text. */
const SPANS_MAX = 2000;

export function JsonView({ trace }: { trace: Trace }) {
  return (
    <div class="scroll json-view">
      {trace.count > SPANS_MAX ? (
        <p class="muted">
          {formatCount(trace.count)} spans are too many to show as text.{' '}
          <a href={href(tracePath(trace.id))} download={`${trace.id}.json`}>
            Download them
          </a>
          .
        </p>
      ) : (
        <JsonText trace={trace} />
      )}
    </div>
  );
}

function JsonText({ trace }: { trace: Trace }) {
  const resource = useResource(trace.id, async (abort) => {
    return JSON.stringify(JSON.parse(await fetchTraceJson(trace.id, abort)), null, 2);
  });
  const { data, error } = resource.state.value;
  if (data === null) return error ? <Failure error={error} retry={() => resource.refresh()} /> : <Skeleton />;
  return (
    <>
      <CopyButton text={data}>Copy</CopyButton>
      <pre>{data}</pre>
    </>
  );
}
