/** `GET api/v1/status/{config,flags}` and `scrape_pools/config`: what is configured, and by which flags. */

import { getData } from './client';

/** As it is in force, without secrets: all of it, or one job's. */
export async function fetchConfig(pool: string, abort?: AbortSignal): Promise<string> {
  const data = pool
    ? await getData(
        `cannot read the configuration of ${pool}`,
        'api/v1/scrape_pools/config',
        { scrapePool: pool },
        abort,
      )
    : await getData('cannot read the configuration', 'api/v1/status/config', {}, abort);
  return (data as { yaml?: string } | undefined)?.yaml ?? '';
}

export async function fetchFlags(abort?: AbortSignal): Promise<[string, string][]> {
  const data = await getData('cannot read the flags', 'api/v1/status/flags', {}, abort);
  return Object.entries((data ?? {}) as Record<string, string>).sort(([a], [b]) => (a < b ? -1 : 1));
}
