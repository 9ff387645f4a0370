/** Zipkin's own routes: what there is to ask for, and a trace as it came. */

import { get, getData, getJson } from './client';

async function names(attempt: string, path: string, params: Record<string, string>): Promise<string[]> {
  return strings(await getJson(attempt, path, params));
}

function strings(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((name): name is string => typeof name === 'string') : [];
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

/** Every key that is stored; Zipkin's own route lists only those that an operator chose. */
export async function fetchTagKeys(): Promise<string[]> {
  return strings(await getData('cannot list the tag keys', 'api/v1/tags'));
}

export async function fetchTagValues(key: string): Promise<string[]> {
  return strings(await getData('cannot list the tag values', 'api/v1/tags/values', { key }));
}

export async function fetchTraceJson(traceId: string, abort?: AbortSignal): Promise<string> {
  const response = await get('cannot read the trace', tracePath(traceId), {}, abort);
  return response.text();
}

export function tracePath(traceId: string): string {
  return `zipkin/api/v2/trace/${encodeURIComponent(traceId)}`;
}
