import { describe, expect, it } from 'vitest';
import { clampView, roundStep } from './axis';
import { criticalPath } from './critical';
import { find, nextMarked } from './find';
import { childrenOf, fromColumns, serviceName, type Trace } from './model';
import { randomColumns } from './random';
import { VisibleRows } from './rows';
import { selfSegments, selfTime } from './selftime';

const SEEDS = Array.from({ length: 60 }, (_, seed) => seed + 1);

describe('the model', () => {
  it('is in preorder: parents first, subtrees in one range', () => {
    for (const seed of SEEDS) {
      const trace = fromColumns(randomColumns(seed, 80));
      for (let row = 0; row < trace.count; row++) {
        const parent = trace.parent[row]!;
        expect(parent).toBeLessThan(row);
        if (parent >= 0) {
          expect(row).toBeLessThan(parent + trace.size[parent]!);
          expect(trace.depth[row]).toBe(trace.depth[parent]! + 1);
        }
        const own = 1 + childrenOf(trace, row).reduce((sum, child) => sum + trace.size[child]!, 0);
        expect(trace.size[row]).toBe(own);
        expect(trace.start[row]).toBeGreaterThanOrEqual(trace.from);
        expect(trace.end[row]).toBeLessThanOrEqual(trace.to);
      }
    }
  });

  it('gives a span without a service a name of its own', () => {
    const columns = randomColumns(1, 3);
    columns.service[1] = -1;
    const trace = fromColumns(columns);
    expect(serviceName(trace, 1)).toBe('unknown service');
    expect([...trace.perService].reduce((sum, spans) => sum + spans, 0)).toBe(3);
  });
});

/** For each microsecond of a span, whether any child runs: slow and plain. */
function slowSelfTime(trace: Trace, row: number): number {
  const children = childrenOf(trace, row);
  let sum = 0;
  for (let us = trace.start[row]!; us < trace.end[row]!; us++) {
    if (!children.some((child) => trace.start[child]! <= us && us < trace.end[child]!)) sum++;
  }
  return sum;
}

describe('self time', () => {
  it('agrees with the slow reference', () => {
    for (const seed of SEEDS.slice(0, 20)) {
      const trace = fromColumns(randomColumns(seed, 30));
      for (let row = 0; row < trace.count; row++) expect(selfTime(trace, row)).toBe(slowSelfTime(trace, row));
    }
  });

  it('comes in order, inside the span', () => {
    for (const seed of SEEDS) {
      const trace = fromColumns(randomColumns(seed, 40));
      for (let row = 0; row < trace.count; row++) {
        const segments = selfSegments(trace, row);
        const bounds = [trace.start[row]!, ...segments, trace.end[row]!];
        for (let i = 1; i < bounds.length; i++) expect(bounds[i]).toBeGreaterThanOrEqual(bounds[i - 1]!);
      }
    }
  });
});

describe('the critical path', () => {
  it('covers the root from its start to its end, each moment once', () => {
    for (const seed of SEEDS) {
      const trace = fromColumns(randomColumns(seed, 60, false));
      const segments = [...criticalPath(trace).values()].flatMap((pairs) => {
        const list: [number, number][] = [];
        for (let i = 0; i < pairs.length; i += 2) list.push([pairs[i]!, pairs[i + 1]!]);
        return list;
      });
      segments.sort((a, b) => a[0] - b[0]);
      expect(segments[0]?.[0]).toBe(trace.start[0]);
      expect(segments.at(-1)?.[1]).toBe(trace.end[0]);
      for (let i = 1; i < segments.length; i++) expect(segments[i]![0]).toBe(segments[i - 1]![1]);
    }
  });

  it('ends on clocks that disagree, too', () => {
    for (const seed of SEEDS) {
      const trace = fromColumns(randomColumns(seed, 60));
      for (const pairs of criticalPath(trace).values()) {
        for (let i = 0; i < pairs.length; i += 2) expect(pairs[i + 1]).toBeGreaterThan(pairs[i]!);
      }
    }
    expect(criticalPath(fromColumns(randomColumns(1, 0))).size).toBe(0);
  });
});

describe('visible rows', () => {
  it('finds the line of every row it shows, and no line of the others', () => {
    for (const seed of SEEDS) {
      const columns = randomColumns(seed, 50);
      columns.gaps = [{ row: 7, service: 'e', reason: 'evicted', target: 't', spans: 3, text: 'lost' }];
      const trace = fromColumns(columns);
      const rows = new VisibleRows(trace);
      expect(rows.count).toBe(51);
      rows.toggle(3);
      rows.toggle(11);
      const shown = new Set<number>();
      for (let line = 0; line < rows.count; line++) {
        const row = rows.spanAt(line);
        if (row < 0) {
          expect(rows.gapAt(line)?.gap).toBe(0);
          continue;
        }
        shown.add(row);
        expect(rows.lineOf(row)).toBe(line);
      }
      for (let row = 0; row < trace.count; row++) if (!shown.has(row)) expect(rows.lineOf(row)).toBe(-1);
    }
  });

  it('shows one gap above siblings that miss the same parent', () => {
    const columns = randomColumns(1, 4);
    columns.parentDelta = [0, 1, 2, 3];
    columns.flags = [0, 8, 8, 0];
    const orphan = { service: '', reason: 'unknown', target: null, spans: 0, text: 'unknown' };
    columns.gaps = [
      { ...orphan, row: 2 },
      { ...orphan, row: 1 },
    ];
    const rows = new VisibleRows(fromColumns(columns));
    expect(rows.count).toBe(5);
    expect(rows.gapAt(1)).toEqual({ gap: 1, first: 1, last: 2, above: true });
    expect([0, 1, 2, 3].map((row) => rows.lineOf(row))).toEqual([0, 2, 3, 4]);
  });

  it('opens what hides a row, and nothing else', () => {
    const trace = fromColumns(randomColumns(5, 50));
    const rows = new VisibleRows(trace);
    rows.foldAll();
    const deepest = trace.depth.indexOf(trace.maxDepth);
    rows.unfoldTo(deepest);
    expect(rows.lineOf(deepest)).toBeGreaterThanOrEqual(0);
    rows.hideServices([trace.service[deepest]!]);
    expect(rows.lineOf(deepest)).toBe(-1);
    rows.hideServices([]);
    rows.unfoldAll();
    expect(rows.count).toBe(50);
  });
});

describe('find', () => {
  it('marks services and operations, and walks around the end', () => {
    const trace = fromColumns(randomColumns(3, 40));
    const found = find(trace, ' A ');
    expect(found?.count).toBe(found?.marks.reduce((sum, mark) => sum + mark, 0));
    const first = nextMarked(found!.marks, -1, 1);
    const last = nextMarked(found!.marks, 0, -1);
    expect(nextMarked(found!.marks, last, 1)).toBe(first);
    expect(find(trace, '  ')).toBeNull();
    expect(nextMarked(new Uint8Array(4), 0, 1)).toBe(-1);
  });
});

describe('the axis', () => {
  it('steps roundly', () => {
    for (const [wanted, step] of [
      [0.9, 1],
      [1.2, 2],
      [2.3, 2.5],
      [4, 5],
      [7, 10],
      [95, 100],
    ] as const) {
      expect(roundStep(wanted)).toBeCloseTo(step);
    }
  });
  it('keeps a view inside the trace', () => {
    const whole = { from: -10, to: 990 };
    expect(clampView({ from: -100, to: 100 }, whole)).toEqual({ from: -10, to: 190 });
    expect(clampView({ from: 500, to: 9000 }, whole)).toEqual(whole);
    expect(clampView({ from: 985, to: 986 }, whole)).toEqual({ from: 970, to: 990 });
  });
});
