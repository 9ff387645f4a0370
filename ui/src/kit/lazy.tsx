/** A page whose code is fetched when it is first opened. */

import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Empty, Skeleton } from './states';

export function Lazy({ load }: { load: () => Promise<ComponentType> }) {
  const [page, setPage] = useState<{ View: ComponentType } | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let gone = false;
    load().then(
      (View) => !gone && setPage({ View }),
      () => !gone && setFailed(true),
    );
    return () => {
      gone = true;
    };
  }, [load]);
  if (page) return <page.View />;
  return (
    <div class="page scroll">
      {failed ? (
        <Empty title="This page cannot be loaded">
          <p class="muted">
            The server does not answer, or it was replaced by another version since you came.
          </p>
          <button type="button" class="btn" onClick={() => window.location.reload()}>
            Load again
          </button>
        </Empty>
      ) : (
        <Skeleton />
      )}
    </div>
  );
}
