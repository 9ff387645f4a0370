/** Which lines are shown, in order, when some rows are folded or hidden, and gaps stand between them. */

import { PARENT_MISSING, type Trace } from './model';

/** A line for what is not there. */
export interface GapLine {
  /** Of the trace's gaps, the one that tells why. */
  gap: number;
  /** The rows that prove it: one that called, or a run of siblings whose parent is missing. */
  first: number;
  last: number;
  /** Above the orphans that it is the parent of; else below the row that called it. */
  above: boolean;
}

export class VisibleRows {
  /** The row of a span, or `-1 - g` for the gap line `g`. */
  private list = new Int32Array(0);
  /** The row a line belongs to: itself, or the first that proves its gap. Never falls. */
  private anchors = new Int32Array(0);
  readonly gapLines: readonly GapLine[];
  private readonly gapsAt = new Map<number, number[]>();
  private readonly folded = new Set<number>();
  private readonly hiddenServices = new Set<number>();

  constructor(private readonly trace: Trace) {
    this.gapLines = layGaps(trace);
    this.gapLines.forEach(({ first }, index) => {
      const others = this.gapsAt.get(first);
      if (others) others.push(index);
      else this.gapsAt.set(first, [index]);
    });
    this.lay();
  }

  get count(): number {
    return this.list.length;
  }

  /** The span at a line, or -1 where a gap is. */
  spanAt(line: number): number {
    return Math.max(-1, this.list[line] ?? -1);
  }

  /** The gap at a line, or null where a span is. */
  gapAt(line: number): GapLine | null {
    const entry = this.list[line] ?? 0;
    return entry < 0 ? this.gapLines[-1 - entry]! : null;
  }

  anchorAt(line: number): number {
    return this.anchors[line] ?? -1;
  }

  /** The line of a span, or -1 if it is not shown. */
  lineOf(row: number): number {
    let low = 0;
    let high = this.anchors.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.anchors[middle]! < row) low = middle + 1;
      else high = middle;
    }
    // Gaps above the row have the same anchor.
    for (; this.anchors[low] === row; low++) if (this.list[low] === row) return low;
    return -1;
  }

  isFolded(row: number): boolean {
    return this.folded.has(row);
  }

  toggle(row: number): void {
    if (this.trace.size[row]! < 2) return;
    if (!this.folded.delete(row)) this.folded.add(row);
    this.lay();
  }

  /** Opens whatever hides `row`, so that it can be shown. */
  unfoldTo(row: number): void {
    let changed = this.hiddenServices.delete(this.trace.service[row]!);
    for (let up = this.trace.parent[row]!; up >= 0; up = this.trace.parent[up]!) {
      if (this.folded.delete(up)) changed = true;
    }
    if (changed) this.lay();
  }

  foldAll(): void {
    for (let row = 0; row < this.trace.count; row++) {
      // The roots stay open, or there would be nothing left to see.
      if (this.trace.size[row]! > 1 && this.trace.parent[row]! >= 0) this.folded.add(row);
    }
    this.lay();
  }

  unfoldAll(): void {
    this.folded.clear();
    this.lay();
  }

  hideServices(services: Iterable<number>): void {
    this.hiddenServices.clear();
    for (const service of services) this.hiddenServices.add(service);
    this.lay();
  }

  /** O(n), about a millisecond for 100,000 rows. */
  private lay(): void {
    const { trace } = this;
    const list = new Int32Array(trace.count + this.gapLines.length);
    const anchors = new Int32Array(list.length);
    let line = 0;
    const put = (entry: number, anchor: number) => {
      list[line] = entry;
      anchors[line++] = anchor;
    };
    for (let row = 0; row < trace.count; ) {
      const folded = this.folded.has(row);
      const gaps = this.gapsAt.get(row) ?? [];
      for (const gap of gaps) if (this.gapLines[gap]!.above) put(-1 - gap, row);
      if (!this.hiddenServices.has(trace.service[row]!)) put(row, row);
      if (!folded) for (const gap of gaps) if (!this.gapLines[gap]!.above) put(-1 - gap, row);
      row += folded ? trace.size[row]! : 1;
    }
    this.list = list.subarray(0, line);
    this.anchors = anchors.subarray(0, line);
  }
}

/** One line for each gap, but one for all siblings in a row that miss a parent for the same reason. */
export function layGaps(trace: Trace): GapLine[] {
  const order = trace.gaps.map((_, index) => index).sort((a, b) => trace.gaps[a]!.row - trace.gaps[b]!.row);
  const lines: GapLine[] = [];
  for (const index of order) {
    const { row, text } = trace.gaps[index]!;
    if (row < 0 || row >= trace.count) continue;
    const above = (trace.flags[row]! & PARENT_MISSING) !== 0;
    const before = lines.at(-1);
    const continues =
      above &&
      before?.above &&
      before.last + trace.size[before.last]! === row &&
      trace.parent[before.last] === trace.parent[row] &&
      trace.gaps[before.gap]!.text === text;
    if (before && continues) before.last = row;
    else lines.push({ gap: index, first: row, last: row, above });
  }
  return lines;
}
