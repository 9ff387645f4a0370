/** `GET api/v1/status/*`: what this server is and holds. Numbers and words by name; what is unknown is shown as it is. */

import { getData } from './client';

export type Facts = Record<string, string | number | boolean | null>;

async function facts(attempt: string, path: string, abort?: AbortSignal): Promise<Facts> {
  const data = (await getData(attempt, path, {}, abort)) as Record<string, unknown> | undefined;
  const plain = Object.entries(data ?? {}).filter(([, value]) => value === null || typeof value !== 'object');
  return Object.fromEntries(plain) as Facts;
}

export interface Status {
  runtime: Facts;
  build: Facts;
  store: Facts;
}

export async function fetchStatus(abort?: AbortSignal): Promise<Status> {
  const [runtime, build, store] = await Promise.all([
    facts('cannot read how the server is', 'api/v1/status/runtimeinfo', abort),
    facts('cannot read what was built', 'api/v1/status/buildinfo', abort),
    facts('cannot read the state of the store', 'api/v1/status/store', abort),
  ]);
  return { runtime, build, store };
}
