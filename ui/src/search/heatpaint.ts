/** The heat map on a canvas. */

import { formatClock, formatTick } from '../kit/format';
import type { LossSpell } from '../targets/loss';
import { inks, type Theme } from '../theme/palette';
import { type Box, durationShare, durationTicks, type Heat, ROWS, timeShare, timeTicks } from './heat';

/** A cell with a larger share of errors is red. */
export const ERROR_SHARE = 0.15;
/** Beyond this share of the map, loss is the rule. */
const MUCH_LOSS = 0.2;

const LEFT_PX = 64;
const RIGHT_PX = 12;
const TOP_PX = 6;
const BOTTOM_PX = 24;
const TICK_PX = 130;
const MONO = '10.5px "IBM Plex Mono", ui-monospace, monospace';
const BOLD = '550 11.5px "Inter Variable", Inter, system-ui, sans-serif';

/** Where the cells are, in pixels of the canvas. */
export class Frame {
  readonly left = LEFT_PX;
  readonly top = TOP_PX;
  readonly width: number;
  readonly height: number;

  constructor(
    readonly canvasWidth: number,
    readonly canvasHeight: number,
  ) {
    this.width = Math.max(10, canvasWidth - LEFT_PX - RIGHT_PX);
    this.height = Math.max(10, canvasHeight - TOP_PX - BOTTOM_PX);
  }

  x(share: number): number {
    return this.left + Math.max(0, Math.min(1, share)) * this.width;
  }

  y(share: number): number {
    return this.top + Math.max(0, Math.min(1, share)) * this.height;
  }

  shareX(x: number): number {
    return Math.max(0, Math.min(1, (x - this.left) / this.width));
  }

  shareY(y: number): number {
    return Math.max(0, Math.min(1, (y - this.top) / this.height));
  }
}

export interface HeatScene {
  heat: Heat;
  losses: readonly LossSpell[];
  box: Box | null;
  /** Words beside the box. */
  boxText: string;
  /** Before this nothing was loaded, because the answer was limited; null if all was. */
  knownFromUs: number | null;
  theme: Theme;
}

export function paintHeat(cx: CanvasRenderingContext2D, frame: Frame, scene: HeatScene): void {
  const colours = inks[scene.theme];
  cx.globalAlpha = 1;
  cx.fillStyle = colours.page;
  cx.fillRect(0, 0, frame.canvasWidth, frame.canvasHeight);
  paintUnknown(cx, frame, scene);
  paintCells(cx, frame, scene);
  paintTicks(cx, frame, scene);
  const covered = scene.losses.reduce((sum, loss) => sum + lossShare(scene.heat, loss), 0);
  for (const loss of scene.losses) paintLoss(cx, frame, scene, loss, covered > MUCH_LOSS);
  if (scene.box) paintBox(cx, frame, scene, scene.box);
}

function paintCells(cx: CanvasRenderingContext2D, frame: Frame, { heat, theme }: HeatScene): void {
  const colours = inks[theme];
  const width = frame.width / heat.columns;
  const height = frame.height / ROWS;
  // Logarithmic, so that one rare slow trace still shows beside a thousand fast ones.
  const scale = Math.log1p(heat.most);
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < heat.columns; column++) {
      const cell = row * heat.columns + column;
      const count = heat.counts[cell]!;
      if (count === 0) continue;
      cx.globalAlpha = 0.22 + 0.78 * (Math.log1p(count) / scale);
      cx.fillStyle = heat.errors[cell]! / count > ERROR_SHARE ? colours.error : colours.accent;
      cx.beginPath();
      cx.roundRect(
        frame.left + column * width + 0.5,
        frame.top + row * height + 0.5,
        width - 1,
        height - 1,
        1.5,
      );
      cx.fill();
    }
  }
  cx.globalAlpha = 1;
}

function paintTicks(cx: CanvasRenderingContext2D, frame: Frame, { heat, theme }: HeatScene): void {
  cx.font = MONO;
  cx.fillStyle = inks[theme].muted;
  cx.textBaseline = 'middle';
  cx.textAlign = 'right';
  let above = Number.POSITIVE_INFINITY;
  for (const us of durationTicks(heat)) {
    const y = frame.y(durationShare(heat, us));
    if (above - y < 16 || y < frame.top + 6) continue;
    cx.fillText(formatTick(us, us), frame.left - 10, y);
    above = y;
  }
  cx.textAlign = 'center';
  const { step, at } = timeTicks(heat.range, Math.max(2, frame.width / TICK_PX));
  for (const ms of at) {
    const date = new Date(ms);
    const clock = step < 6e4 ? formatClock(date) : formatClock(date).slice(0, 5);
    const midnight = clock.startsWith('00:00');
    const label =
      step >= 864e5 || midnight ? date.toLocaleDateString('en', { month: 'short', day: 'numeric' }) : clock;
    const x = frame.x(timeShare(heat, ms * 1000));
    cx.fillText(
      label,
      Math.max(frame.left + 16, Math.min(x, frame.canvasWidth - 24)),
      frame.canvasHeight - 11,
    );
  }
  cx.textAlign = 'left';
}

function paintUnknown(
  cx: CanvasRenderingContext2D,
  frame: Frame,
  { heat, knownFromUs, theme }: HeatScene,
): void {
  if (knownFromUs === null) return;
  const colours = inks[theme];
  const to = frame.x(timeShare(heat, knownFromUs));
  if (to - frame.left < 2) return;
  cx.fillStyle = colours.raised;
  cx.fillRect(frame.left, frame.top, to - frame.left, frame.height);
  const text = 'older, not loaded';
  cx.font = MONO;
  if (cx.measureText(text).width > to - frame.left - 12) return;
  cx.fillStyle = colours.faint;
  cx.textAlign = 'center';
  cx.textBaseline = 'middle';
  cx.fillText(text, (frame.left + to) / 2, frame.top + frame.height / 2);
  cx.textAlign = 'left';
}

/** How much of the time on the map a spell covers. */
function lossShare(heat: Heat, { fromMs, toMs }: LossSpell): number {
  const clamp = (share: number) => Math.max(0, Math.min(1, share));
  return clamp(timeShare(heat, toMs * 1000)) - clamp(timeShare(heat, fromMs * 1000));
}

/** Over a small part of the map loss is drawn to be seen; over much of it, so that the cells are. */
function paintLoss(
  cx: CanvasRenderingContext2D,
  frame: Frame,
  { heat, theme }: HeatScene,
  loss: LossSpell,
  faint: boolean,
): void {
  const colours = inks[theme];
  const start = timeShare(heat, loss.fromMs * 1000);
  const end = timeShare(heat, loss.toMs * 1000);
  if (!(end >= 0 && start <= 1)) return;
  const from = frame.x(start);
  const to = Math.max(from + 3, frame.x(end));
  cx.save();
  cx.beginPath();
  cx.rect(from, frame.top, to - from, frame.height);
  cx.clip();
  cx.fillStyle = colours.page;
  cx.globalAlpha = faint ? 0 : 0.55;
  cx.fill();
  cx.globalAlpha = faint ? 0.22 : 1;
  cx.strokeStyle = colours.warn;
  cx.lineWidth = 1.3;
  cx.beginPath();
  for (let x = from - frame.canvasHeight; x < to; x += 5) {
    cx.moveTo(x, frame.canvasHeight);
    cx.lineTo(x + frame.canvasHeight, 0);
  }
  cx.stroke();
  cx.restore();
  cx.fillStyle = colours.warn;
  cx.fillRect(from, frame.top + frame.height, to - from, 2.5);
}

function paintBox(
  cx: CanvasRenderingContext2D,
  frame: Frame,
  { heat, theme, boxText }: HeatScene,
  box: Box,
): void {
  const colours = inks[theme];
  const left = frame.x(timeShare(heat, box.fromUs));
  const right = frame.x(timeShare(heat, box.toUs));
  const top = frame.y(durationShare(heat, box.longestUs));
  const bottom = frame.y(durationShare(heat, box.shortestUs));
  cx.strokeStyle = colours.text;
  cx.lineWidth = 1.25;
  cx.setLineDash([4, 3]);
  cx.strokeRect(left, top, right - left, bottom - top);
  cx.setLineDash([]);
  if (!boxText) return;
  cx.font = BOLD;
  const width = cx.measureText(boxText).width + 16;
  const beside = right + 8 + width < frame.canvasWidth ? right + 8 : Math.max(frame.left, left - 8 - width);
  const y = Math.min(top, frame.canvasHeight - BOTTOM_PX - 24);
  cx.fillStyle = colours.text;
  cx.beginPath();
  cx.roundRect(beside, y, width, 22, 5);
  cx.fill();
  cx.fillStyle = colours.page;
  cx.textBaseline = 'middle';
  cx.fillText(boxText, beside + 8, y + 11.5);
}
