/** `GET api/v1/search`: summaries of traces, newest first. */

import type { ZipkinQuery } from '../search/query';
import type { Range } from '../search/range';
import { getData } from './client';

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
}

export async function search(
  query: ZipkinQuery,
  range: Range,
  limit: number,
  abort?: AbortSignal,
): Promise<Found> {
  const lookback = Math.max(1, Math.round(range.toMs - range.fromMs));
  const params = { ...query, endTs: Math.round(range.toMs), lookback, limit };
  const data = (await getData('cannot search', 'api/v1/search', params, abort)) as Omit<Found, 'range'>;
  return { ...data, range };
}
