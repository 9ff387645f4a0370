/** The bar of a span: pale while it waited, solid where it worked itself. */

import { formatDuration } from '../kit/format';
import { FONT, type Ink } from './ink';
import { ERROR, NO_DURATION } from './model';
import type { Scene } from './paint';

const BAR_PX = 12;

export function paintBar(ink: Ink, scene: Scene, row: number, middle: number): void {
  const { cx, colours } = ink;
  const { trace, axis, nameWidth, width } = scene;
  const from = axis.x(trace.start[row]!);
  const to = axis.x(trace.end[row]!);
  const running = (trace.flags[row]! & NO_DURATION) !== 0;
  if (to < nameWidth || from > width) {
    const before = to < nameWidth;
    ink.write(before ? '◂' : '▸', before ? nameWidth + 6 : width - 14, middle, FONT.small, colours.faint);
    return;
  }
  const left = Math.max(from, nameWidth + 1);
  const right = Math.min(running ? Math.max(to, from + 48) : to, width);
  const length = Math.max(2, right - left);
  const top = middle - BAR_PX / 2;
  const failed = (trace.flags[row]! & ERROR) !== 0;
  paintBody(ink, scene, row, left, top, length, running);
  if (failed) {
    cx.strokeStyle = colours.error;
    cx.lineWidth = 1.5;
    ink.round(left - 1.25, top - 1.25, length + 2.5, BAR_PX + 2.5, 3.5);
    cx.stroke();
  }
  paintCritical(ink, scene, row, top + BAR_PX);
  paintAnnotations(ink, scene, row, top);
  const label = running ? 'no end received' : formatDuration(trace.end[row]! - trace.start[row]!);
  paintLabel(ink, scene, label, left, left + length, middle, failed);
}

function paintBody(
  ink: Ink,
  scene: Scene,
  row: number,
  left: number,
  top: number,
  length: number,
  running: boolean,
): void {
  const { cx } = ink;
  const { trace, axis } = scene;
  const fill = ink.service(scene.slots[trace.service[row]!]!);
  if (running) {
    paintFading(ink, scene, row, left, top, length);
    return;
  }
  if (length < 3) {
    ink.fillRect(left, top, length, BAR_PX, fill);
    return;
  }
  if (trace.size[row] === 1) {
    ink.fillRound(left, top, length, BAR_PX, 2.5, fill);
    return;
  }
  const alpha = cx.globalAlpha;
  cx.globalAlpha = alpha * (ink.dark ? 0.34 : 0.28);
  ink.fillRound(left, top, length, BAR_PX, 2.5, fill);
  cx.globalAlpha = alpha;
  cx.save();
  cx.clip();
  const segments = scene.selfSegments(row);
  let painted = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < segments.length; i += 2) {
    const from = axis.x(segments[i]!);
    const to = axis.x(segments[i + 1]!);
    if (to < left) continue;
    if (from > left + length) break;
    // Thousands of slivers in one pixel look like one.
    if (to - from < 0.4 && from - painted < 1) continue;
    ink.fillRect(from, top, Math.max(0.75, to - from), BAR_PX, fill);
    painted = to;
  }
  cx.restore();
}

/** A span whose end never came: nobody knows how long it is. */
function paintFading(ink: Ink, scene: Scene, row: number, left: number, top: number, length: number): void {
  const { cx } = ink;
  const alpha = cx.globalAlpha;
  cx.save();
  ink.round(left, top, length, BAR_PX, 2.5);
  cx.clip();
  const steps = 12;
  for (let step = 0; step < steps; step++) {
    cx.globalAlpha = alpha * 0.8 * Math.min(1, 1.4 * (1 - step / steps));
    const fill = ink.service(scene.slots[scene.trace.service[row]!]!);
    ink.fillRect(left + (length * step) / steps, top, length / steps + 0.5, BAR_PX, fill);
  }
  cx.restore();
}

/** Ink under the bar, with a halo of the page so that it shows on every colour. */
function paintCritical(
  ink: Ink,
  { critical, axis, nameWidth, width }: Scene,
  row: number,
  bottom: number,
): void {
  const segments = critical?.get(row);
  if (!segments) return;
  for (let i = 0; i < segments.length; i += 2) {
    const from = Math.max(nameWidth, axis.x(segments[i]!));
    const to = Math.min(width, axis.x(segments[i + 1]!));
    if (to <= from) continue;
    const length = Math.max(1.5, to - from);
    ink.fillRect(from - 0.5, bottom + 0.5, length + 1, 4, ink.colours.page);
    ink.fillRect(from, bottom + 1.5, length, 2, ink.colours.text);
  }
}

function paintAnnotations(
  ink: Ink,
  { trace, axis, nameWidth, width }: Scene,
  row: number,
  top: number,
): void {
  for (const us of trace.annotations.get(row) ?? []) {
    const x = axis.x(us);
    if (x < nameWidth || x > width) continue;
    ink.fillRect(x - 1.5, top - 1, 3, BAR_PX + 2, ink.colours.page);
    ink.fillRect(x - 0.5, top - 1, 1.25, BAR_PX + 2, ink.colours.text);
  }
}

/** Right of the bar; else left of it; else over its end. */
function paintLabel(
  ink: Ink,
  scene: Scene,
  label: string,
  left: number,
  right: number,
  middle: number,
  failed: boolean,
): void {
  const { cx, colours } = ink;
  const width = ink.width(label, FONT.mono);
  const colour = failed ? colours.error : colours.muted;
  if (right + 8 + width < scene.width) ink.write(label, right + 8, middle, FONT.mono, colour);
  else if (left - 8 - width > scene.nameWidth) ink.write(label, left - 8 - width, middle, FONT.mono, colour);
  else {
    const alpha = cx.globalAlpha;
    cx.globalAlpha = alpha * 0.82;
    ink.fillRound(scene.width - width - 16, middle - 8, width + 10, 16, 3, colours.page);
    cx.globalAlpha = alpha;
    ink.write(label, scene.width - width - 11, middle, FONT.mono, colours.text);
  }
}
