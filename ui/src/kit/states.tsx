/** What a page says when it has nothing, nothing yet, or nothing new. */

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { RequestFailed } from '../api/client';
import { CopyButton } from './copy';
import { formatClock } from './format';

/** A frame of bars, only if the answer is slow: a flash of skeleton is worse than none. */
export function Skeleton({ rows = 8 }: { rows?: number }) {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      {slow &&
        Array.from({ length: rows }, (_, row) => (
          <i key={row} style={{ width: `${88 - ((row * 17) % 40)}%` }} />
        ))}
    </div>
  );
}

export function Failure({ error, retry }: { error: Error; retry: () => void }) {
  const failed = error instanceof RequestFailed ? error : null;
  return (
    <div class="notice" role="alert">
      <h2>{sentence(failed?.attempt ?? 'something went wrong')}</h2>
      <p class="mono error-text">{failed?.detail ?? error.message}</p>
      <p class="muted">
        {failed ? `GET ${failed.url}` : 'This page failed in your browser.'}
        {failed && failed.status > 0 ? `, status ${failed.status}` : ''}
      </p>
      <div class="actions">
        <button type="button" class="btn primary" onClick={retry}>
          Retry
        </button>
        {failed && <CopyButton text={failed.curl}>Copy as curl</CopyButton>}
      </div>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="notice">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Over data that is older than it should be. */
export function Stale({ error, at }: { error: Error | null; at: number }) {
  if (!error || !at) return null;
  const reason = error instanceof RequestFailed ? error.detail : error.message;
  return (
    <div class="stale" role="status">
      <i class="mark silent" />
      As of {formatClock(new Date(at))}: {reason}
    </div>
  );
}

/** Over data of which something is missing, as the server says. */
export function Incomplete({ warning }: { warning: string }) {
  if (!warning) return null;
  return (
    <p class="incomplete" role="status">
      <i class="mark silent" />
      {sentence(warning)}
    </p>
  );
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
