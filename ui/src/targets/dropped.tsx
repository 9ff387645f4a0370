/** Targets that discovery found and relabelling dropped: counted always, listed on demand. */

import { useSignal } from '@preact/signals';
import { formatCount, plural } from '../kit/format';
import { VirtualRows } from '../kit/virtual';
import type { Targets } from './model';

const ROW_PX = 30;

export function Dropped({ data }: { data: Targets }) {
  const open = useSignal(false);
  if (data.droppedCount === 0) return null;
  const listed = data.dropped.length;
  return (
    <section class="dropped">
      <h2>
        {plural(data.droppedCount, 'target')} dropped by relabelling
        {listed > 0 && (
          <button
            type="button"
            class="btn"
            aria-expanded={open.value}
            onClick={() => (open.value = !open.value)}
          >
            {open.value ? 'Hide' : 'Show'}
          </button>
        )}
      </h2>
      {listed < data.droppedCount && (
        <p class="muted">The server keeps the labels of {formatCount(listed)} of them.</p>
      )}
      {open.value && (
        <div role="table" aria-label="Dropped targets">
          <VirtualRows heights={new Array(listed).fill(ROW_PX)}>
            {(at) => {
              const dropped = data.dropped[at];
              return (
                <div key={at} role="row" class="dropped-row">
                  <b role="cell">{dropped?.pool}</b>
                  <span role="cell" class="mono">
                    {Object.entries(dropped?.discoveredLabels ?? {})
                      .map(([name, value]) => `${name}="${value}"`)
                      .join(' ')}
                  </span>
                </div>
              );
            }}
          </VirtualRows>
        </div>
      )}
    </section>
  );
}
