/** Why nothing was found, and what to do next. */

import type { Found } from '../api/search';
import { plural } from '../kit/format';
import { Empty } from '../kit/states';
import { href, param } from '../kit/url';
import { targets } from '../shell/status';
import { answers, countStates } from '../targets/rows';
import { parseQuery } from './query';
import { widerPreset } from './range';

export function NothingFound({ query, found }: { query: string; found: Found }) {
  const { range, missing } = found;
  if (parseQuery(query).problems.length > 0) return <NotUnderstood />;
  // Where there was no time for this range, there is none for a longer one.
  const wider = missing.partial ? null : widerPreset(range, Date.now());
  return (
    <Empty title={missing.partial ? 'No trace matches in what was looked at' : title(query)}>
      <p class="muted">
        {wider && (
          <>
            Look further back: <a href={href('/zipkin/', { q: query, from: wider.from })}>{wider.name}</a>.{' '}
          </>
        )}
        {query && (
          <>
            Or see <a href={href('/zipkin/', { from: param('from'), to: param('to') })}>every trace</a> of
            this time. All terms must hold, and only spans of the service asked for count.
          </>
        )}
      </p>
      <Asked />
    </Empty>
  );
}

function title(query: string): string {
  return query ? 'No trace matches in this time' : 'No trace started in this time';
}

function NotUnderstood() {
  return (
    <Empty title="The query is not understood">
      <p class="muted">Terms are joined by spaces or “and”, and all must hold:</p>
      <pre>{`service=checkout name="get /cart" remote=payment
error duration>100ms duration<2s
http.method=GET target.zone=eu-1b`}</pre>
    </Empty>
  );
}

/** No span may mean that nobody is asked. */
function Asked() {
  const { data } = targets.state.value;
  if (!data) return null;
  if (data.targets.length === 0) {
    return (
      <>
        <p class="muted">Nobody is scraped for spans. Three lines change that:</p>
        <pre>{`scrape_configs:
  - job_name: shop
    static_configs: [{ targets: ["127.0.0.1:9100"] }]`}</pre>
      </>
    );
  }
  const counts = countStates(data.targets);
  const up = data.targets.filter(({ state }) => answers(state)).length;
  const silent = counts.get('silent') ?? 0;
  return (
    <p class="muted">
      {up} of {plural(data.targets.length, 'target')} answered the last scrape
      {silent > 0 && `, ${silent} of them without any span`}: see <a href={href('/targets')}>Targets</a>.
    </p>
  );
}
