/** Which rows are shown, in order, when some are folded or hidden, and where gaps hang between them. */

import type { Trace } from './model';

export class VisibleRows {
  /** The row of a span, or `-1 - g` for the gap `g`. */
  private list = new Int32Array(0);
  /** The span a line belongs to: itself, or the one its gap hangs under. Never falls. */
  private anchors = new Int32Array(0);
  private readonly gapsAfter = new Map<number, number[]>();
  private readonly folded = new Set<number>();
  private readonly hiddenServices = new Set<number>();

  constructor(private readonly trace: Trace) {
    trace.gaps.forEach((gap, index) => {
      const others = this.gapsAfter.get(gap.row);
      if (others) others.push(index);
      else this.gapsAfter.set(gap.row, [index]);
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

  /** The gap at a line, or -1 where a span is. */
  gapAt(line: number): number {
    const entry = this.list[line] ?? 0;
    return entry < 0 ? -1 - entry : -1;
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
    return this.list[low] === row ? low : -1;
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
    const list = new Int32Array(trace.count + trace.gaps.length);
    const anchors = new Int32Array(list.length);
    let line = 0;
    for (let row = 0; row < trace.count; ) {
      const folded = this.folded.has(row);
      if (!this.hiddenServices.has(trace.service[row]!)) {
        list[line] = row;
        anchors[line++] = row;
      }
      if (!folded && this.gapsAfter.size > 0) {
        for (const gap of this.gapsAfter.get(row) ?? []) {
          list[line] = -1 - gap;
          anchors[line++] = row;
        }
      }
      row += folded ? trace.size[row]! : 1;
    }
    this.list = list.subarray(0, line);
    this.anchors = anchors.subarray(0, line);
  }
}
