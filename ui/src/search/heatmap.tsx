/** The heat map: a box drawn over it selects traces. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Found } from '../api/search';
import { formatClock, formatCount, formatDuration, plural } from '../kit/format';
import { lossWindows } from '../shell/status';
import { joinLosses } from '../targets/loss';
import { theme } from '../theme/theme';
import {
  type Box,
  columnsFor,
  countHeat,
  durationAt,
  durationShare,
  filledRange,
  type Heat,
  timeAt,
  timeShare,
} from './heat';
import { Frame, paintHeat } from './heatpaint';

interface HeatmapProps {
  found: Found;
  box: Box | null;
  /** How many traces are in the box. */
  selected: number;
  setBox: (box: Box | null) => void;
}

/** A smaller box is a click, which takes the box away. */
const SMALLEST_PX = 4;
const KEY_STEP = 0.02;

interface Corner {
  x: number;
  y: number;
}

export function Heatmap({ found, box, selected, setBox }: HeatmapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drag, setDrag] = useState<{ from: Corner; to: Corner } | null>(null);
  const [size, setSize] = useState<readonly [number, number]>([0, 0]);
  const columns = columnsFor(size[0]);
  const heat = useMemo(() => countHeat(found.traces, filledRange(found), columns), [found, columns]);
  const frame = new Frame(...size);
  const drawn = drag ? boxOf(heat, frame, drag.from, drag.to) : box;
  const oldest = found.limited ? (found.traces.at(-1)?.startUs ?? null) : null;

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const resized = new ResizeObserver(() => setSize([element.clientWidth, element.clientHeight]));
    resized.observe(element);
    return () => resized.disconnect();
  }, []);

  useEffect(() => {
    const element = canvas.current;
    const cx = element?.getContext('2d');
    if (!element || !cx || size[0] === 0) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = Math.round(size[0] * ratio);
    element.height = Math.round(size[1] * ratio);
    cx.setTransform(ratio, 0, 0, ratio, 0, 0);
    paintHeat(cx, frame, {
      heat,
      losses: joinLosses(lossWindows.value, (heat.range.toMs - heat.range.fromMs) / heat.columns),
      box: drawn,
      boxText: !drag && box ? `${plural(selected, 'trace')} selected` : '',
      knownFromUs: oldest,
      theme: theme.value,
    });
  }, [heat, size, drawn, drag, selected, oldest, theme.value, lossWindows.value]);

  const corner = (event: PointerEvent): Corner => ({ x: event.offsetX, y: event.offsetY });
  const release = () => {
    if (!drag) return;
    const small =
      Math.abs(drag.to.x - drag.from.x) < SMALLEST_PX || Math.abs(drag.to.y - drag.from.y) < SMALLEST_PX;
    setBox(small ? null : boxOf(heat, frame, drag.from, drag.to));
    setDrag(null);
  };
  const press = (event: KeyboardEvent) => {
    const moved = moveBox(heat, box, event);
    if (moved === undefined) return;
    event.preventDefault();
    setBox(moved);
  };
  return (
    <div
      role="group"
      aria-label="Box of time and duration: b makes one, arrows move it, with Shift they resize it, Escape takes it away"
      class="heat-focus"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the box is moved by keys.
      tabIndex={0}
      onKeyDown={press}
    >
      <canvas
        ref={canvas}
        class="heat-canvas"
        role="img"
        aria-label={sentence(found)}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: corner(event), to: corner(event) });
        }}
        onPointerMove={(event) => drag && setDrag({ from: drag.from, to: corner(event) })}
        onPointerUp={release}
        onPointerCancel={() => setDrag(null)}
      />
    </div>
  );
}

function boxOf(heat: Heat, frame: Frame, a: Corner, b: Corner): Box {
  return {
    fromUs: timeAt(heat, frame.shareX(Math.min(a.x, b.x))),
    toUs: timeAt(heat, frame.shareX(Math.max(a.x, b.x))),
    shortestUs: durationAt(heat, frame.shareY(Math.max(a.y, b.y))),
    longestUs: durationAt(heat, frame.shareY(Math.min(a.y, b.y))),
  };
}

/** The box after a key; undefined if the key is for somebody else. */
function moveBox(heat: Heat, box: Box | null, event: KeyboardEvent): Box | null | undefined {
  if (event.key === 'Escape' && box) return null;
  if (event.key === 'b' && !event.ctrlKey && !event.metaKey) {
    return box ?? shareBox(heat, { left: 0.4, right: 0.6, top: 0.1, bottom: 0.5 });
  }
  const right = event.key === 'ArrowRight' ? KEY_STEP : event.key === 'ArrowLeft' ? -KEY_STEP : 0;
  const down = event.key === 'ArrowDown' ? KEY_STEP : event.key === 'ArrowUp' ? -KEY_STEP : 0;
  if (!box || (!right && !down)) return undefined;
  const still = event.shiftKey ? 0 : 1;
  return shareBox(heat, {
    left: timeShare(heat, box.fromUs) + right * still,
    right: timeShare(heat, box.toUs) + right,
    top: durationShare(heat, box.longestUs) + down * still,
    bottom: durationShare(heat, box.shortestUs) + down,
  });
}

function shareBox(heat: Heat, sides: { left: number; right: number; top: number; bottom: number }): Box {
  return {
    fromUs: timeAt(heat, sides.left),
    toUs: timeAt(heat, Math.max(sides.left + KEY_STEP, sides.right)),
    shortestUs: durationAt(heat, Math.max(sides.top + KEY_STEP, sides.bottom)),
    longestUs: durationAt(heat, sides.top),
  };
}

/** The map in words. */
function sentence({ traces, range, missing }: Found): string {
  const durations = traces.map(({ durationUs }) => durationUs).sort((a, b) => a - b);
  const failed = traces.filter(({ errors }) => errors > 0).length;
  const clock = (ms: number) => formatClock(new Date(ms)).slice(0, 5);
  const median = durations[durations.length >> 1] ?? 0;
  return (
    `${missing.partial ? 'Not all was looked at: ' : ''}${formatCount(traces.length)} traces between ${clock(range.fromMs)} and ${clock(range.toMs)}, ` +
    `half of them under ${formatDuration(median)}, the longest ${formatDuration(durations.at(-1) ?? 0)}, ` +
    `${formatCount(failed)} with errors`
  );
}
