/** Zipkin's own routes: what there is to ask for, and a trace as it came. */

import { get, getJson } from './client';

async function names(attempt: string, path: string, params: Record<string, string>): Promise<string[]> {
  const body = await getJson(attempt, path, params);
  return Array.isArray(body) ? body.filter((name): name is string => typeof name === 'string') : [];
}

export function fetchServices(): Promise<string[]> {
  return names('cannot list the services', 'zipkin/api/v2/services', {});
}

export function fetchSpanNames(serviceName: string): Promise<string[]> {
  return names('cannot list the span names', 'zipkin/api/v2/spans', { serviceName });
}

export function fetchRemoteServices(serviceName: string): Promise<string[]> {
  return names('cannot list the remote services', 'zipkin/api/v2/remoteServices', { serviceName });
}

export function fetchTagKeys(): Promise<string[]> {
  return names('cannot list the tag keys', 'zipkin/api/v2/autocompleteKeys', {});
}

export function fetchTagValues(key: string): Promise<string[]> {
  return names('cannot list the tag values', 'zipkin/api/v2/autocompleteValues', { key });
}

export async function fetchTraceJson(traceId: string, abort?: AbortSignal): Promise<string> {
  const response = await get('cannot read the trace', tracePath(traceId), {}, abort);
  return response.text();
}

export function tracePath(traceId: string): string {
  return `zipkin/api/v2/trace/${encodeURIComponent(traceId)}`;
}
