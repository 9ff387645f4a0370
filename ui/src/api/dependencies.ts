/** `GET zipkin/api/v2/dependencies`: who calls whom, how often. */

import type { Range } from '../search/range';
import { get, readJson } from './client';
import { linksOf } from './links';

export interface Link {
  parent: string;
  child: string;
  callCount: number;
  errorCount: number;
}

export interface Links {
  links: Link[];
  /** What may be missing, in the server's words; empty if nothing is. */
  warning: string;
}

export async function fetchDependencies(range: Range, abort?: AbortSignal): Promise<Links> {
  const params = {
    endTs: Math.round(range.toMs),
    lookback: Math.max(1, Math.round(range.toMs - range.fromMs)),
  };
  const attempt = 'cannot read the dependencies';
  const response = await get(attempt, 'zipkin/api/v2/dependencies', params, abort);
  return linksOf(await readJson(attempt, response), response.headers);
}
