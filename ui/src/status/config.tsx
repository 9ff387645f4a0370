/** The configuration as it is in force: with what holds by default, and without secrets. */

import { fetchConfig } from '../api/config';
import { CopyButton } from '../kit/copy';
import { useKeptResource } from '../kit/load';
import { Failure, Skeleton, Stale } from '../kit/states';
import { param, setParams } from '../kit/url';
import { targets } from '../shell/status';
import { StatusTabs } from './tabs';
import './status.css';

export function ConfigPage() {
  const pool = param('pool');
  const resource = useKeptResource(pool, (abort) => fetchConfig(pool, abort));
  const { data, error, at } = resource.state.value;
  const pools = targets.state.value.data?.pools.map(({ job }) => job) ?? [];
  const choices = pool && !pools.includes(pool) ? [pool, ...pools] : pools;
  return (
    <>
      <Stale error={data ? error : null} at={at} />
      <div class="page scroll">
        <header>
          <div>
            <h1>Configuration</h1>
            <p class="lead">As it is in force, with what holds by default and without secrets.</p>
          </div>
          <StatusTabs path="/config" />
        </header>
        <div class="filter-bar">
          <select
            class="btn tall"
            aria-label="Show"
            value={pool}
            onChange={(event) => setParams({ pool: event.currentTarget.value || null })}
          >
            <option value="">The whole configuration</option>
            {choices.map((job) => (
              <option key={job} value={job}>
                Job {job}
              </option>
            ))}
          </select>
          {data !== null && (
            <CopyButton class="btn tall" text={data}>
              Copy
            </CopyButton>
          )}
        </div>
        {data !== null && !error ? (
          <pre class="yaml">{data || '# Nothing is configured: no file was found, or it is empty.'}</pre>
        ) : error ? (
          <Failure error={error} retry={() => resource.refresh()} />
        ) : (
          <Skeleton rows={14} />
        )}
      </div>
    </>
  );
}
