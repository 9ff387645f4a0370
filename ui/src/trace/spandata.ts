/** Spans in full, fetched by row and kept for as long as their trace is looked at. */

import { fetchSpans, SPAN_ROWS_MAX, type SpanRow } from '../api/trace';
import type { Trace } from './model';

/** Beyond this an id without a row is not looked for: a link of ours always has the row. */
const SEARCH_ROWS_MAX = 20_000;

const known = new WeakMap<Trace, Map<number, Promise<SpanRow>>>();

export function spanOf(trace: Trace, row: number): Promise<SpanRow> {
  let rows = known.get(trace);
  if (!rows) {
    rows = new Map();
    known.set(trace, rows);
  }
  const earlier = rows.get(row);
  if (earlier) return earlier;
  const asked = fetchSpans(trace.id, trace.rev, row, row).then((answer) => {
    const found = answer.find((candidate) => candidate.row === row);
    if (!found) throw new Error(`the server has no row ${row} in this revision of the trace`);
    return found;
  });
  rows.set(row, asked);
  // What failed may be asked for again.
  asked.catch(() => rows.delete(row));
  return asked;
}

/** The row of the span with this id: where the link says, or wherever it is now. -1 if nowhere. */
export async function resolveSpan(trace: Trace, id: string, hint: number): Promise<number> {
  if (!id) return -1;
  try {
    if (hint >= 0 && hint < trace.count && (await spanOf(trace, hint)).span.id === id) return hint;
    const last = Math.min(trace.count, SEARCH_ROWS_MAX);
    for (let from = 0; from < last; from += SPAN_ROWS_MAX) {
      const rows = await fetchSpans(trace.id, trace.rev, from, Math.min(last, from + SPAN_ROWS_MAX) - 1);
      const found = rows.find(({ span, merged }) => span.id === id || merged.some((half) => half.id === id));
      if (found) return found.row;
    }
  } catch {
    // The trace is shown all the same; selecting a row will tell what fails.
  }
  return -1;
}
