/** The flags: with which words this server was started. */

import { useMemo } from 'preact/hooks';
import { fetchFlags } from '../api/config';
import { useResource } from '../kit/load';
import { Failure, Skeleton } from '../kit/states';
import { param, setParams } from '../kit/url';
import { StatusTabs } from './tabs';
import './status.css';

export function FlagsPage() {
  const text = param('q').toLowerCase();
  const resource = useResource('flags', fetchFlags);
  const { data, error } = resource.state.value;
  const shown = useMemo(
    () => data?.filter((flag) => flag.some((part) => part.toLowerCase().includes(text))) ?? [],
    [data, text],
  );
  return (
    <div class="page scroll">
      <header>
        <div>
          <h1>Flags</h1>
          <p class="lead">
            With which words this server was started. Those that were not given are as by default.
          </p>
        </div>
        <StatusTabs path="/flags" />
      </header>
      {data ? (
        <>
          <div class="filter-bar">
            <input
              class="field"
              data-filter
              value={param('q')}
              placeholder="Filter by name or value"
              aria-label="Filter the flags"
              onInput={(event) => setParams({ q: event.currentTarget.value })}
              spellcheck={false}
            />
          </div>
          <dl class="pairs flags">
            {shown.map(([name, value]) => (
              <div key={name}>
                <dt class="mono">--{name}</dt>
                <dd>{value || <span class="faint">not given</span>}</dd>
              </div>
            ))}
          </dl>
          {shown.length === 0 && <p class="hidden-note muted">No flag is like that.</p>}
        </>
      ) : error ? (
        <Failure error={error} retry={() => resource.refresh()} />
      ) : (
        <Skeleton rows={14} />
      )}
    </div>
  );
}
