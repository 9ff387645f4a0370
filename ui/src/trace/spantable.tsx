/** The spans as a table: sortable, and what one can select as text. */

import { useMemo } from 'preact/hooks';
import { formatDuration } from '../kit/format';
import { SortHead } from '../kit/sort';
import { param } from '../kit/url';
import { VirtualRows } from '../kit/virtual';
import { Swatch } from '../theme/swatch';
import { ERROR, KINDS, serviceName, spanName, type Trace } from './model';
import { selfTime } from './selftime';

const ROW_PX = 30;

interface SpanTableProps {
  trace: Trace;
  slots: Uint16Array;
  /** Only these, if something is looked for. */
  marks: Uint8Array | null;
  selected: number;
  select: (row: number) => void;
}

const COLUMNS: Record<string, (trace: Trace, row: number) => number | string> = {
  service: serviceName,
  name: spanName,
  start: (trace, row) => trace.start[row]!,
  duration: (trace, row) => trace.end[row]! - trace.start[row]!,
  self: selfTime,
  kind: (trace, row) => KINDS[trace.kind[row]!]!,
};

function sorted(trace: Trace, marks: Uint8Array | null, sort: string): Int32Array {
  const rows = Int32Array.from({ length: trace.count }, (_, row) => row);
  const shown = marks ? rows.filter((row) => marks[row]) : rows;
  const read = COLUMNS[sort.replace('-', '')];
  if (!read) return shown;
  const keys = new Map<number, number | string>();
  for (const row of shown) keys.set(row, read(trace, row));
  const sign = sort.startsWith('-') ? -1 : 1;
  return shown.sort((a, b) => {
    const [x, y] = [keys.get(a)!, keys.get(b)!];
    return x === y ? a - b : x < y ? -sign : sign;
  });
}

export function SpanTable({ trace, slots, marks, selected, select }: SpanTableProps) {
  const sort = param('sort');
  const rows = useMemo(() => sorted(trace, marks, sort), [trace, marks, sort]);
  const heights = useMemo(() => new Uint8Array(rows.length).fill(ROW_PX), [rows]);
  return (
    <div class="scroll span-table">
      <div role="table" aria-label="Spans" aria-rowcount={rows.length}>
        <div role="row" class="grid-row grid-head">
          <SortHead name="service">Service</SortHead>
          <SortHead name="name">Operation</SortHead>
          <SortHead name="kind">Kind</SortHead>
          <SortHead name="start" number>
            Start
          </SortHead>
          <SortHead name="duration" number>
            Duration
          </SortHead>
          <SortHead name="self" number>
            Self
          </SortHead>
          <span role="columnheader">Error</span>
        </div>
        <VirtualRows heights={heights}>
          {(at) => {
            const row = rows[at]!;
            const failed = (trace.flags[row]! & ERROR) !== 0;
            return (
              <div
                key={row}
                role="row"
                class={`grid-row span-row${row === selected ? ' current' : ''}`}
                onClick={() => select(row)}
              >
                <span role="cell">
                  <Swatch slot={slots[trace.service[row]!]!} /> {serviceName(trace, row)}
                </span>
                <span role="cell">
                  <button type="button" onClick={() => select(row)}>
                    {spanName(trace, row)}
                  </button>
                </span>
                <span role="cell" class="muted">
                  {KINDS[trace.kind[row]!]}
                </span>
                <span role="cell" class="num">
                  {formatDuration(trace.start[row]!)}
                </span>
                <span role="cell" class="num">
                  {formatDuration(trace.end[row]! - trace.start[row]!)}
                </span>
                <span role="cell" class="num">
                  {formatDuration(selfTime(trace, row))}
                </span>
                <span role="cell" class="error-text">
                  {failed && 'error'}
                </span>
              </div>
            );
          }}
        </VirtualRows>
      </div>
    </div>
  );
}
