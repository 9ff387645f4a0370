/** One way to ask the server: same origin, below the base, JSON, with a deadline. */

import { href, type Params } from '../kit/url';

const DEADLINE_MS = 30_000;

/** What was tried, and how it ended. */
export class RequestFailed extends Error {
  constructor(
    readonly attempt: string,
    readonly url: string,
    /** 0 if there was no answer. */
    readonly status: number,
    /** The server's own words, or the browser's if there was no answer. */
    readonly detail: string,
  ) {
    super(`${attempt}: ${detail}`);
  }

  get curl(): string {
    return `curl -sS '${new URL(this.url, document.baseURI).href.replaceAll("'", '%27')}'`;
  }
}

export async function get(
  attempt: string,
  path: string,
  params: Params = {},
  abort?: AbortSignal,
): Promise<Response> {
  // `no-cache` asks again with the ETag that the browser holds: an unchanged answer costs a 304.
  return ask(attempt, href(path, params), { cache: 'no-cache' }, abort);
}

/** Sends JSON and reads the JSON that comes back. */
export async function post(attempt: string, path: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return readJson(
    attempt,
    await ask(attempt, href(path), { method: 'POST', body: JSON.stringify(body), headers }),
  );
}

async function ask(attempt: string, url: string, init: RequestInit, abort?: AbortSignal): Promise<Response> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let response: Response;
  try {
    response = await fetch(url, {
      ...init,
      headers: { accept: 'application/json', ...init.headers },
      signal: abort ? AbortSignal.any([abort, deadline]) : deadline,
    });
  } catch (cause) {
    if (abort?.aborted) throw cause;
    const detail = deadline.aborted ? `no answer in ${DEADLINE_MS / 1000} s` : 'the server does not answer';
    throw new RequestFailed(attempt, url, 0, detail);
  }
  if (!response.ok) throw new RequestFailed(attempt, url, response.status, await readError(response));
  return response;
}

export async function getJson(
  attempt: string,
  path: string,
  params?: Params,
  abort?: AbortSignal,
): Promise<unknown> {
  return readJson(attempt, await get(attempt, path, params, abort));
}

export async function readJson(attempt: string, response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    throw new RequestFailed(attempt, response.url, response.status, 'the answer is not JSON');
  }
}

/** `data` out of Prometheus' envelope. */
export async function getData(
  attempt: string,
  path: string,
  params?: Params,
  abort?: AbortSignal,
): Promise<unknown> {
  const body = (await getJson(attempt, path, params, abort)) as { data?: unknown };
  return body.data;
}

async function readError(response: Response): Promise<string> {
  const text = (await response.text()).slice(0, 2000);
  try {
    const body = JSON.parse(text) as { error?: unknown; message?: unknown };
    const message = body.error ?? body.message;
    if (typeof message === 'string') return message;
  } catch {
    // Zipkin's routes answer in plain text.
  }
  return text.trim() || response.statusText || `status ${response.status}`;
}
