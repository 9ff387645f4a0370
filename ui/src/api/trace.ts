/** `GET api/v1/trace/{id}/columns` and `/spans`: a trace as columns, and its spans in full by row. */

import type { Labels } from '../targets/model';
import { getJson, RequestFailed } from './client';

/** As it comes over the wire; `trace/model.ts` makes a `Trace` of it. */
export interface Columns {
  v: number;
  traceId: string;
  /** Rows are numbered under one revision. */
  rev: string | number;
  startUs: number;
  durationUs: number;
  n: number;
  services: string[];
  names: string[];
  targets: Labels[];
  parentDelta: number[];
  startDelta: number[];
  duration: number[];
  service: number[];
  name: number[];
  kind: number[];
  flags: number[];
  remote: number[];
  target: number[];
  annotations?: [row: number, us: number][];
  gaps?: Gap[];
  loss?: Loss[];
  complete?: Complete;
}

/** Spans that are known to be missing below a row. */
export interface Gap {
  row: number;
  service: string;
  reason: string;
  target: string | null;
  spans: number | null;
  text: string;
}

/** When a target of this trace lost spans, from the trace's start. */
export interface Loss {
  fromUs: number;
  toUs: number;
  target: string;
  spans: number;
  reason: string;
}

export interface Complete {
  /** Unix microseconds, or null if nobody knows. */
  throughUs: number | null;
  up: number;
  targets: number;
}

export interface Endpoint {
  serviceName?: string;
  ipv4?: string;
  ipv6?: string;
  port?: number;
}

/** Zipkin's JSON of a span. */
export interface Span {
  traceId: string;
  id: string;
  parentId?: string;
  kind?: string;
  name?: string;
  timestamp?: number;
  duration?: number;
  localEndpoint?: Endpoint;
  remoteEndpoint?: Endpoint;
  annotations?: { timestamp: number; value: string }[];
  tags?: Record<string, string>;
  debug?: boolean;
  shared?: boolean;
}

export interface SpanRow {
  row: number;
  span: Span;
  /** The other halves of a shared span. */
  merged: Span[];
  target: Labels | null;
}

const VERSION = 1;

function path(traceId: string, what: string): string {
  return `api/v1/trace/${encodeURIComponent(traceId)}/${what}`;
}

export async function fetchColumns(traceId: string, abort?: AbortSignal): Promise<Columns> {
  const attempt = 'cannot read the trace';
  const url = path(traceId, 'columns');
  const columns = (await getJson(attempt, url, {}, abort)) as Columns;
  if (columns.v !== VERSION) {
    throw new RequestFailed(
      attempt,
      url,
      200,
      `the server speaks version ${columns.v} of the columns, this page ${VERSION}: load it again`,
    );
  }
  return columns;
}

/** The server's limit for one request. */
export const SPAN_ROWS_MAX = 500;

export async function fetchSpans(
  traceId: string,
  rev: string | number,
  from: number,
  to: number,
): Promise<SpanRow[]> {
  const body = await getJson('cannot read the span', path(traceId, 'spans'), { rows: `${from}-${to}`, rev });
  return (body as (Omit<SpanRow, 'merged'> & Partial<SpanRow>)[]).map((row) => ({
    ...row,
    merged: row.merged ?? [],
  }));
}
