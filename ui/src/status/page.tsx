/** Status: what this server is, and what it holds. Nothing that curl cannot get. */

import { useEffect, useMemo } from 'preact/hooks';
import { type Facts, fetchStatus } from '../api/status';
import { formatBytes, formatCount } from '../kit/format';
import { Resource } from '../kit/load';
import { Failure, Skeleton, Stale } from '../kit/states';
import { href } from '../kit/url';
import { StatusTabs } from './tabs';
import './status.css';

const EVERY_MS = 5000;

export function StatusPage() {
  const resource = useMemo(() => new Resource(fetchStatus), []);
  useEffect(() => resource.poll(EVERY_MS), [resource]);
  const { data, error, at } = resource.state.value;
  return (
    <>
      <Stale error={data ? error : null} at={at} />
      <div class="page scroll">
        <header>
          <div>
            <h1>Status</h1>
            <p class="lead">
              What this server is and holds. Everything else it counts is in{' '}
              <a href={href('/prometheus')}>its metrics</a>.
            </p>
          </div>
          <StatusTabs path="/status" />
        </header>
        {data ? (
          <div class="status">
            <Table title="Process" facts={processFacts(data.runtime)} />
            <Table title="Store" facts={data.store} />
            <Table title="Build" facts={data.build} />
          </div>
        ) : error ? (
          <Failure error={error} retry={() => resource.refresh()} />
        ) : (
          <Skeleton />
        )}
      </div>
    </>
  );
}

function Table({ title, facts }: { title: string; facts: Facts }) {
  return (
    <section>
      <h2>{title}</h2>
      <dl class="pairs">
        {known(facts).map(([name, value]) => (
          <div key={name}>
            <dt>{words(name)}</dt>
            <dd>{written(name, value)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** An empty text is what nobody knows, or what this server does not have. */
function known(facts: Facts): [string, Facts[string]][] {
  return Object.entries(facts).filter(([, value]) => value !== '');
}

/** What Prometheus' names for a process of Go stand for here; what has no meaning here is left out. */
const PROCESS: Record<string, string> = {
  startTime: 'started',
  serverTime: 'time at the server',
  CWD: 'working directory',
  hostname: 'host',
  reloadConfigSuccess: 'last configuration loaded',
  lastConfigTime: 'configuration in force since',
  corruptionCount: 'damaged files',
  goroutineCount: 'threads',
  GOMAXPROCS: 'processors',
  GOMEMLIMIT: 'memory for spans',
  storageRetention: 'spans are kept for',
};

function processFacts(runtime: Facts): Facts {
  const known = Object.entries(PROCESS).filter(([name]) => name in runtime);
  return Object.fromEntries(known.map(([name, words]) => [words, runtime[name] ?? null]));
}

/** `walBytes` as `wal bytes`. */
function words(name: string): string {
  return name.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase();
}

function written(name: string, value: Facts[string]): string {
  if (typeof value === 'number')
    return /bytes$|^memory/i.test(name) ? formatBytes(value) : formatCount(value);
  return value === null ? 'unknown' : String(value);
}
