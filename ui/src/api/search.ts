/** `GET api/v1/search`: summaries of traces, newest first. */

import type { ZipkinQuery } from '../search/query';
import type { Range } from '../search/range';
import { getJson } from './client';
import { type Missing, missingIn } from './missing';

export interface Summary {
  traceId: string;
  root: { service: string; name: string };
  startUs: number;
  durationUs: number;
  spans: number;
  errors: number;
  /** Spans whose parent is not stored. */
  missing: number;
  services: { name: string; spans: number }[];
}

export interface Found {
  traces: Summary[];
  /** More match than were asked for; these are the newest. */
  limited: boolean;
  tookMs: number;
  range: Range;
  missing: Missing;
}

export async function search(
  query: ZipkinQuery,
  range: Range,
  limit: number,
  abort?: AbortSignal,
): Promise<Found> {
  const lookback = Math.max(1, Math.round(range.toMs - range.fromMs));
  const params = { ...query, endTs: Math.round(range.toMs), lookback, limit };
  const answer = (await getJson('cannot search', 'api/v1/search', params, abort)) as {
    data: Pick<Found, 'traces' | 'limited' | 'tookMs'>;
  };
  return { ...answer.data, range, missing: missingIn(answer) };
}
