/** `GET zipkin/api/v2/dependencies`: who calls whom, how often. */

import type { Range } from '../search/range';
import { getJson } from './client';

export interface Link {
  parent: string;
  child: string;
  callCount: number;
  errorCount: number;
}

export async function fetchDependencies(range: Range, abort?: AbortSignal): Promise<Link[]> {
  const params = {
    endTs: Math.round(range.toMs),
    lookback: Math.max(1, Math.round(range.toMs - range.fromMs)),
  };
  const body = await getJson('cannot read the dependencies', 'zipkin/api/v2/dependencies', params, abort);
  const links = Array.isArray(body) ? (body as Partial<Link>[]) : [];
  return links.map((link) => ({
    parent: link.parent ?? '',
    child: link.child ?? '',
    callCount: link.callCount ?? 0,
    errorCount: link.errorCount ?? 0,
  }));
}
