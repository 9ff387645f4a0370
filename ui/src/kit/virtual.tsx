/** A list of any length with only the rows on screen in the document. */

import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

/** Rows drawn beyond each edge, so that a fast scroll shows no hole. */
const OVERSCAN_PX = 400;

interface VirtualProps {
  /** The height of each row is known before it is drawn. */
  heights: ArrayLike<number>;
  children: (row: number) => ComponentChildren;
  /** Brought into view when it changes. */
  reveal?: number;
}

/** Where each row begins; one more entry for the end. */
export function offsets(heights: ArrayLike<number>): Float64Array {
  const tops = new Float64Array(heights.length + 1);
  for (let row = 0; row < heights.length; row++) tops[row + 1] = tops[row]! + heights[row]!;
  return tops;
}

/** The row at `y`: the last whose top is not below it. */
export function rowAt(tops: Float64Array, y: number): number {
  let low = 0;
  let high = tops.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle]! <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function VirtualRows({ heights, children, reveal = -1 }: VirtualProps) {
  const host = useRef<HTMLDivElement>(null);
  const tops = useMemo(() => offsets(heights), [heights]);
  const [window_, setWindow] = useState<[number, number]>([0, 1600]);

  useEffect(() => {
    const scroller = host.current?.closest('.scroll');
    if (!scroller) return;
    const measure = () => {
      const list = host.current?.getBoundingClientRect();
      if (!list) return;
      const top = scroller.getBoundingClientRect().top - list.top;
      // In steps, so that most scroll events render nothing.
      const from = Math.floor((top - OVERSCAN_PX) / 200) * 200;
      const to = Math.ceil((top + scroller.clientHeight + OVERSCAN_PX) / 200) * 200;
      setWindow((old) => (old[0] === from && old[1] === to ? old : [from, to]));
    };
    const resized = new ResizeObserver(measure);
    resized.observe(scroller);
    scroller.addEventListener('scroll', measure, { passive: true });
    measure();
    return () => {
      resized.disconnect();
      scroller.removeEventListener('scroll', measure);
    };
  }, []);

  useLayoutEffect(() => {
    const scroller = host.current?.closest('.scroll');
    if (!scroller || !host.current || reveal < 0 || reveal >= heights.length) return;
    const base = host.current.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
    const top = base + tops[reveal]!;
    const bottom = base + tops[reveal + 1]!;
    if (top < 40) scroller.scrollTop += top - 40;
    else if (bottom > scroller.clientHeight) scroller.scrollTop += bottom - scroller.clientHeight + 8;
    // A list that changes under the reader must not jump.
  }, [reveal]);

  const count = heights.length;
  const first = count ? rowAt(tops, window_[0]) : 0;
  const last = count ? rowAt(tops, window_[1]) : -1;
  // A scroll makes this render again, but not its parent: then the same rows are the same objects,
  // which are not compared again. So a row may read only signals that the parent reads too.
  const drawn = useMemo(() => new Map<number, ComponentChildren>(), [children, heights]);
  const rows: ComponentChildren[] = [];
  for (let row = first; row <= last; row++) {
    if (!drawn.has(row)) drawn.set(row, children(row));
    rows.push(drawn.get(row));
  }
  return (
    <div ref={host} role="rowgroup" style={{ height: `${tops[count]}px`, overflow: 'clip' }}>
      <div role="presentation" style={{ height: `${tops[first]}px` }} />
      {rows}
    </div>
  );
}
