/** Time follows rows: the part of the axis that the rows on screen span. */

import { clampView, type View } from './axis';
import { firstLine, lastLine, type Scene } from './paint';

/** How far the axis goes in one frame. */
const SHARE = 0.3;
/** Nearer than this share of the view is there. */
const NEAR = 0.004;
const MARGIN = 0.04;

/** The next view on the way, or null if there is nowhere to go. */
export function nextView(
  { view }: Scene['axis'],
  wanted: View,
  atOnce: boolean,
): { view: View; arrived: boolean } | null {
  if (view.from === wanted.from && view.to === wanted.to) return null;
  const share = atOnce ? 1 : SHARE;
  const from = view.from + (wanted.from - view.from) * share;
  const to = view.to + (wanted.to - view.to) * share;
  const distance = Math.abs(from - wanted.from) + Math.abs(to - wanted.to);
  if (distance < (wanted.to - wanted.from) * NEAR) return { view: wanted, arrived: true };
  return { view: { from, to }, arrived: false };
}

/** Of a row whose subtree reaches below the screen only the start counts: its end would stretch the axis. */
export function spanOfRows(scene: Scene): View | null {
  const { trace, rows } = scene;
  const first = firstLine(scene);
  const last = lastLine(scene);
  const lowest = rows.anchorAt(last - 1);
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (let line = first + (first > 0 ? 1 : 0); line < last; line++) {
    const row = rows.spanAt(line);
    if (row < 0) continue;
    const endsHere = row + trace.size[row]! - 1 <= lowest;
    from = Math.min(from, trace.start[row]!);
    to = Math.max(to, endsHere ? trace.end[row]! : trace.start[row]!);
  }
  if (!(to > from)) return null;
  const margin = (to - from) * MARGIN;
  return clampView({ from: from - margin, to: to + margin }, { from: trace.from, to: trace.to });
}
