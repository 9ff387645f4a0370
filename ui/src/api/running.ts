/** `GET api/v1/trace/{id}/running` and `POST api/v1/traces/collect`: what the targets know of a trace, and nobody has stored. */

import { getData, post } from './client';

/** A span that has not finished. */
export interface RunningSpan {
  service: string;
  target: string;
  id: string;
  parentId?: string;
  kind?: string;
  name: string;
  /** Unix microseconds. */
  timestamp: number;
  /** Microseconds so far. */
  duration: number;
}

export interface Running {
  spans: RunningSpan[];
  asked: number;
  failed: number;
  targets: number;
}

export interface Collected {
  targets: number;
  given: number;
  failed: number;
  waiting: number;
}

export async function fetchRunning(
  id: string,
  services: readonly string[],
  abort?: AbortSignal,
): Promise<Running> {
  const path = `/api/v1/trace/${encodeURIComponent(id)}/running`;
  return (await getData('Asking what runs', path, { service: services }, abort)) as Running;
}

export async function collect(id: string): Promise<Collected> {
  const body = await post('Asking the targets for the trace', '/api/v1/traces/collect', { ids: [id] });
  return (body as { data: Collected }).data;
}
