/** One frame of the waterfall: only what is on screen, in one pass. */

import { formatDuration, formatTick } from '../kit/format';
import type { Axis } from './axis';
import { paintBar } from './bar';
import type { CriticalPath } from './critical';
import { FONT, type Ink } from './ink';
import { ERROR, PARENT_MISSING, serviceName, spanName, type Trace } from './model';
import type { GapLine, VisibleRows } from './rows';

export const ROW_PX = 24;
export const HEAD_PX = 28;
const CRUMBS_PX = 23;
const INDENT_PX = 14;
const TICK_SPACING_PX = 96;

/** Everything a frame depends on. */
export interface Scene {
  trace: Trace;
  rows: VisibleRows;
  /** Colour slot of each service. */
  slots: Uint16Array;
  axis: Axis;
  width: number;
  height: number;
  nameWidth: number;
  scrollTop: number;
  selected: number;
  hovered: number;
  /** Rows of other services are faint; -1 for none. */
  focusService: number;
  marks: Uint8Array | null;
  critical: CriticalPath | null;
  selfSegments: (row: number) => readonly number[];
  /** Where the pointer is over the time axis. */
  cursorX: number | null;
  range: readonly [number, number] | null;
}

export function firstLine(scene: Scene): number {
  return Math.max(0, Math.floor(scene.scrollTop / ROW_PX));
}

export function lastLine(scene: Scene): number {
  return Math.min(scene.rows.count, Math.ceil((scene.scrollTop + scene.height - HEAD_PX) / ROW_PX) + 1);
}

/** Deeper rows stay readable: the indent stops where names would not fit. */
export function indentOf(depth: number, nameWidth: number): number {
  const deepest = Math.max(4, Math.floor((nameWidth - 190) / INDENT_PX));
  return 10 + Math.min(depth, deepest) * INDENT_PX;
}

export function paintScene(ink: Ink, scene: Scene): void {
  const { cx, colours } = ink;
  const { width, height, nameWidth, axis } = scene;
  cx.textBaseline = 'middle';
  cx.globalAlpha = 1;
  ink.fillRect(0, 0, width, height, colours.page);
  const { step, at: ticks } = axis.ticks(TICK_SPACING_PX);
  for (const tick of ticks) ink.fillRect(Math.round(axis.x(tick)), HEAD_PX, 1, height, colours.line);
  paintLossWindows(ink, scene);
  const last = lastLine(scene);
  for (let line = firstLine(scene); line < last; line++) {
    const y = HEAD_PX + line * ROW_PX - scene.scrollTop;
    const gap = scene.rows.gapAt(line);
    if (gap) paintGap(ink, scene, gap, y);
    else paintSpan(ink, scene, scene.rows.spanAt(line), y);
    cx.globalAlpha = 1;
  }
  if (scene.scrollTop > ROW_PX * 0.6) paintCrumbs(ink, scene);
  paintHead(ink, scene, ticks, step);
  if (scene.range) {
    const [from, to] = scene.range;
    ink.fillRect(axis.x(from), 0, axis.x(to) - axis.x(from), height, colours.rangeWash);
  }
  if (scene.cursorX !== null && scene.cursorX > nameWidth) paintCursor(ink, scene, scene.cursorX, step);
}

function paintLossWindows(ink: Ink, { trace, axis, nameWidth, width, height }: Scene): void {
  for (const loss of trace.loss) {
    const from = Math.max(axis.x(loss.fromUs), nameWidth);
    const to = Math.min(axis.x(loss.toUs), width);
    if (to > from) ink.fillRect(from, HEAD_PX, to - from, height, ink.hatch(ink.colours.warnHatchWeak));
  }
}

function paintGuides(ink: Ink, indent: number, y: number): void {
  for (let x = 10; x < indent; x += INDENT_PX)
    ink.fillRect(Math.round(x + 4.5), y, 1, ROW_PX, ink.colours.line);
}

function paintSpan(ink: Ink, scene: Scene, row: number, y: number): void {
  const { cx, colours } = ink;
  const { trace, width } = scene;
  if (row === scene.selected) {
    ink.fillRect(0, y, width, ROW_PX, colours.accentWeak);
    ink.fillRect(0, y, 2.5, ROW_PX, colours.accent);
  } else if (row === scene.hovered) {
    ink.fillRect(0, y, width, ROW_PX, colours.hover);
  }
  const indent = indentOf(trace.depth[row]!, scene.nameWidth);
  paintGuides(ink, indent, y);
  const outOfFocus = scene.focusService >= 0 && trace.service[row] !== scene.focusService;
  const notFound = scene.marks !== null && !scene.marks[row];
  cx.globalAlpha = outOfFocus || notFound ? 0.34 : 1;
  paintName(ink, scene, row, indent, y + ROW_PX / 2);
  paintBar(ink, scene, row, y + ROW_PX / 2);
}

function paintName(ink: Ink, scene: Scene, row: number, indent: number, middle: number): void {
  const { colours } = ink;
  const { trace, rows } = scene;
  const right = scene.nameWidth - 10;
  const failed = (trace.flags[row]! & ERROR) !== 0;
  const parent = trace.size[row]! > 1;
  const folded = parent && rows.isFolded(row);
  if (parent) paintTwisty(ink, indent, middle, folded);
  ink.fillRound(indent + 14, middle - 7, 3, 14, 1.5, ink.service(scene.slots[trace.service[row]!]!));
  let x = indent + 23;
  if (failed) {
    ink.errorDot(x + 5.5, middle);
    x += 16;
  }
  const service = ink.fit(serviceName(trace, row), FONT.nameBold, right - x);
  x = ink.write(service, x, middle, FONT.nameBold, failed ? colours.error : colours.text) + 7;
  x = ink.write(ink.fit(spanName(trace, row), FONT.name, right - x), x, middle, FONT.name, colours.muted);
  const remote = trace.remote[row]!;
  if (!parent && remote >= 0 && remote !== trace.service[row]) {
    const text = ink.fit(`  → ${trace.services[remote]}`, FONT.name, right - x);
    x = ink.write(text, x, middle, FONT.name, colours.faint);
  }
  if (trace.flags[row]! & PARENT_MISSING && right - x > 110) {
    x = ink.pill('parent missing', x + 8, middle, colours.warn, colours.warnWash);
  }
  if (folded && right - x > 40) {
    ink.pill(`+${(trace.size[row]! - 1).toLocaleString('en')}`, x + 8, middle, colours.muted, colours.sunken);
  }
}

function paintTwisty(ink: Ink, x: number, middle: number, folded: boolean): void {
  const points = folded
    ? ([
        [x + 3, middle - 3.5],
        [x + 6.5, middle],
        [x + 3, middle + 3.5],
      ] as const)
    : ([
        [x + 1.5, middle - 2],
        [x + 5, middle + 1.5],
        [x + 8.5, middle - 2],
      ] as const);
  ink.line(points, ink.colours.muted, 1.4);
}

/** A row for what is not there, with the proof in words. */
function paintGap(ink: Ink, scene: Scene, line: GapLine, y: number): void {
  const { cx, colours } = ink;
  const { trace, axis, nameWidth, width } = scene;
  const gap = trace.gaps[line.gap]!;
  const middle = y + ROW_PX / 2;
  const indent = indentOf(trace.depth[line.first]! + (line.above ? 0 : 1), nameWidth);
  ink.fillRect(0, y, width, ROW_PX, colours.warnWash);
  paintGuides(ink, indent, y);
  ink.drop(indent + 15.5, middle);
  const service = ink.fit(gapName(line, gap.service), FONT.nameItalic, nameWidth - indent - 40);
  const x = ink.write(service, indent + 24, middle, FONT.nameItalic, colours.text) + 7;
  ink.write(ink.fit('not received', FONT.name, nameWidth - 8 - x), x, middle, FONT.name, colours.warn);
  const [start, end] = gapExtent(trace, line);
  const from = Math.max(nameWidth + 1, axis.x(start));
  const to = Math.min(width, axis.x(end));
  let label = nameWidth + 10;
  if (to > from) {
    ink.fillRound(from, middle - 6, Math.max(3, to - from), 12, 2.5, ink.hatch(colours.warnHatch));
    cx.strokeStyle = colours.warn;
    cx.lineWidth = 1;
    cx.setLineDash([4, 3]);
    cx.stroke();
    cx.setLineDash([]);
    label = to + 8;
  }
  const room = width - label - 8;
  const whole = ink.width(gap.text, FONT.mono);
  // Left of the hatch if the words have no room to its right.
  if (whole > room && from - nameWidth - 16 > room) {
    const text = ink.fit(gap.text, FONT.mono, from - nameWidth - 16);
    ink.write(text, from - 8 - ink.width(text, FONT.mono), middle, FONT.mono, colours.warn);
  } else {
    ink.write(ink.fit(gap.text, FONT.mono, room), label, middle, FONT.mono, colours.warn);
  }
}

function gapName({ above, first, last }: GapLine, service: string): string {
  if (service) return service;
  if (!above) return 'a span';
  return first === last ? 'a parent' : 'a parent of several';
}

/** At least as long as what it held: the call, or its children. */
function gapExtent(trace: Trace, { first, last }: GapLine): [number, number] {
  let [start, end] = [trace.start[first]!, trace.end[first]!];
  for (let row = first; row < last; ) {
    row += trace.size[row]!;
    start = Math.min(start, trace.start[row]!);
    end = Math.max(end, trace.end[row]!);
  }
  return [start, end];
}

/** The ancestors of the first row on screen, outermost first. */
export function crumbsOf(scene: Scene): number[] {
  const chain: number[] = [];
  const first = scene.rows.anchorAt(firstLine(scene));
  if (first < 0) return chain;
  for (let up = scene.trace.parent[first]!; up >= 0; up = scene.trace.parent[up]!) chain.push(up);
  return chain.reverse();
}

interface Crumb {
  row: number;
  from: number;
  to: number;
}

/** Where each ancestor's words are; the outermost give way when the line is full. */
export function layCrumbs(ink: Ink, scene: Scene): Crumb[] {
  const { trace } = scene;
  const chain = crumbsOf(scene);
  const widths = chain.map(
    (row) =>
      ink.width(serviceName(trace, row), FONT.crumbBold) + ink.width(spanName(trace, row), FONT.crumb) + 33,
  );
  let sum = widths.reduce((total, width) => total + width, 0);
  let start = 0;
  while (start < chain.length - 1 && sum > scene.width - 40) sum -= widths[start++]!;
  let x = start > 0 ? 30 : 12;
  return chain.slice(start).map((row, index) => {
    const from = x;
    x += widths[start + index]!;
    return { row, from, to: x };
  });
}

function paintCrumbs(ink: Ink, scene: Scene): void {
  const { cx, colours } = ink;
  const { trace, width } = scene;
  const crumbs = layCrumbs(ink, scene);
  if (crumbs.length === 0) return;
  const y = HEAD_PX;
  const middle = y + CRUMBS_PX / 2;
  ink.fillRect(0, y, width, CRUMBS_PX, colours.raised);
  ink.fillRect(0, y + CRUMBS_PX - 1, width, 1, colours.line);
  const shade = cx.createLinearGradient(0, y + CRUMBS_PX, 0, y + CRUMBS_PX + 6);
  shade.addColorStop(0, colours.shade);
  shade.addColorStop(1, 'rgba(0,0,0,0)');
  ink.fillRect(0, y + CRUMBS_PX, width, 6, shade);
  if (crumbs[0]!.from > 12) ink.write('…', 12, middle, FONT.crumb, colours.faint);
  crumbs.forEach(({ row, from, to }, index) => {
    ink.fillRound(from, y + 6, 3, 11, 1.5, ink.service(scene.slots[trace.service[row]!]!));
    const x = ink.write(serviceName(trace, row), from + 8, middle, FONT.crumbBold, colours.text) + 5;
    ink.write(spanName(trace, row), x, middle, FONT.crumb, colours.muted);
    if (index === crumbs.length - 1) return;
    const tip = to - 12;
    ink.line(
      [
        [tip, middle - 3.5],
        [tip + 3.5, middle],
        [tip, middle + 3.5],
      ],
      colours.faint,
      1.2,
    );
  });
}

/** Whether `y` is on the line of ancestors, when that is shown. */
export function isOnCrumbs(scene: Scene, y: number): boolean {
  return (
    scene.scrollTop > ROW_PX * 0.6 && y >= HEAD_PX && y < HEAD_PX + CRUMBS_PX && crumbsOf(scene).length > 0
  );
}

function paintHead(ink: Ink, scene: Scene, ticks: readonly number[], step: number): void {
  const { colours } = ink;
  const { axis, nameWidth, width, height, trace } = scene;
  ink.fillRect(0, 0, width, HEAD_PX, colours.raised);
  ink.fillRect(0, HEAD_PX - 1, width, 1, colours.line);
  ink.fillRect(nameWidth, 0, 1, height, colours.line);
  const title = ink.fit('Service and operation', FONT.head, nameWidth - 20);
  ink.write(title, 12, HEAD_PX / 2, FONT.head, colours.muted);
  for (const tick of ticks) {
    const x = axis.x(tick);
    if (x < nameWidth + 2 || x > width - 60) continue;
    ink.write(formatTick(tick, step), x + 5, HEAD_PX / 2, FONT.mono, colours.muted);
    ink.fillRect(Math.round(x), HEAD_PX - 8, 1, 8, colours.line);
  }
  for (const loss of trace.loss) {
    const from = Math.max(axis.x(loss.fromUs), nameWidth);
    const to = axis.x(loss.toUs);
    if (to > nameWidth && from < width)
      ink.fillRect(from, HEAD_PX - 3, Math.max(2, to - from), 2.5, colours.warn);
  }
}

function paintCursor(ink: Ink, scene: Scene, x: number, step: number): void {
  const { cx, colours } = ink;
  cx.globalAlpha = 0.7;
  ink.fillRect(Math.round(x), HEAD_PX - 1, 1, scene.height, colours.accent);
  cx.globalAlpha = 1;
  const text = formatTick(scene.axis.us(x), step / 50);
  const width = ink.width(text, FONT.mono) + 10;
  const left = Math.max(scene.nameWidth + 2, Math.min(x - width / 2, scene.width - width - 2));
  ink.fillRound(left, 6, width, 17, 3, colours.accent);
  ink.write(text, left + 5, 14.5, FONT.mono, colours.page);
}

/** What the pointer tells of a span. */
export function spanFacts(trace: Trace, row: number): string {
  return `${formatDuration(trace.end[row]! - trace.start[row]!)} · starts ${formatDuration(trace.start[row]!)}`;
}
