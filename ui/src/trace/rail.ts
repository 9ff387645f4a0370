/** The rail at the right: errors, finds, gaps and the selection over all rows, like an editor's ruler. */

import { inks, type Theme } from '../theme/palette';
import type { Trace } from './model';
import type { VisibleRows } from './rows';

export const RAIL_PX = 14;

export interface RailState {
  trace: Trace;
  rows: VisibleRows;
  marks: Uint8Array | null;
  selected: number;
  theme: Theme;
}

export class Rail {
  /** The marks, painted when they change; a scroll only moves the thumb over them. */
  private readonly base = document.createElement('canvas');
  private height = 1;
  private ratio = 1;

  constructor(private readonly canvas: HTMLCanvasElement) {}

  paintMarks({ trace, rows, marks, selected, theme }: RailState, height: number, ratio: number): void {
    this.height = Math.max(1, height);
    this.ratio = ratio;
    this.canvas.width = this.base.width = Math.round(RAIL_PX * ratio);
    this.canvas.height = this.base.height = Math.round(this.height * ratio);
    this.canvas.style.height = `${this.height}px`;
    const cx = this.base.getContext('2d');
    if (!cx) return;
    const colours = inks[theme];
    cx.setTransform(ratio, 0, 0, ratio, 0, 0);
    cx.fillStyle = colours.raised;
    cx.fillRect(0, 0, RAIL_PX, this.height);
    cx.fillStyle = colours.line;
    cx.fillRect(0, 0, 1, this.height);
    const mark = (line: number, colour: string, x: number, width: number, thickness: number) => {
      if (line < 0) return;
      cx.fillStyle = colour;
      cx.fillRect(x, Math.min(this.height - thickness, (line / rows.count) * this.height), width, thickness);
    };
    if (marks) {
      let painted = -1;
      for (let line = 0; line < rows.count; line++) {
        const row = rows.spanAt(line);
        const y = Math.floor((line / rows.count) * this.height);
        if (row < 0 || !marks[row] || y === painted) continue;
        mark(line, colours.accent, 2, 4, 1.5);
        painted = y;
      }
    }
    for (const row of trace.errors) mark(rows.lineOf(row), colours.error, 7, 5, 2);
    for (const gap of trace.gaps) mark(rows.lineOf(gap.row), colours.warn, 7, 5, 3);
    if (selected >= 0) mark(rows.lineOf(selected), colours.text, 1, 12, 2);
  }

  /** `from` and `to` are shares of the whole height. */
  paintThumb(from: number, to: number, theme: Theme): void {
    const cx = this.canvas.getContext('2d');
    if (!cx) return;
    cx.setTransform(1, 0, 0, 1, 0, 0);
    cx.drawImage(this.base, 0, 0);
    if (to - from >= 1) return;
    cx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const length = Math.max(18, (to - from) * this.height);
    const top = Math.min(from * this.height, this.height - length);
    cx.fillStyle = inks[theme].thumb;
    cx.fillRect(1, top, RAIL_PX - 1, length);
    cx.strokeStyle = inks[theme].faint;
    cx.globalAlpha = 0.5;
    cx.strokeRect(1.5, top + 0.5, RAIL_PX - 2, length - 1);
    cx.globalAlpha = 1;
  }
}
