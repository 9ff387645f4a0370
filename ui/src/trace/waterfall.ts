/**
 * The waterfall: a canvas that sticks over a native scroller, so that inertia, scrollbar and touch come
 * for free and nothing tears. Knows no framework. Redraws once a frame at most, and never when idle.
 */

import { formatDuration } from '../kit/format';
import type { Theme } from '../theme/palette';
import { Axis, clampView, type View } from './axis';
import type { CriticalPath } from './critical';
import { nextMarked } from './find';
import { nextView, spanOfRows } from './follow';
import { Ink } from './ink';
import { ERROR, serviceName, spanName, type Trace } from './model';
import { HEAD_PX, indentOf, isOnCrumbs, layCrumbs, paintScene, ROW_PX, type Scene } from './paint';
import { buildParts } from './parts';
import { Rail } from './rail';
import { VisibleRows } from './rows';
import { selfSegments } from './selftime';

export interface WaterfallEvents {
  select: (row: number) => void;
  hover: (row: number, x: number, y: number) => void;
  view: (view: View) => void;
  follow: (on: boolean) => void;
}

/** Room right of the axis for the label of a bar that ends there. */
const RIGHT_PX = 74;
const LEFT_PX = 14;
const SPLIT_PX = 4;
/** Below the last row, so that it does not sit on the edge. */
const BOTTOM_PX = 12;
const SELF_CACHE_MAX = 4096;

type Drag = { kind: 'split' } | { kind: 'range'; from: number };

export class Waterfall {
  readonly rows: VisibleRows;
  private readonly parts = buildParts();
  private readonly scroller = this.parts.scroller;
  private readonly rail = new Rail(this.parts.rail);
  private readonly resized = new ResizeObserver(() => this.resize());
  private ink: Ink;
  private width = 0;
  private height = 0;
  private ratio = 0;
  private scheduled = 0;
  private railStale = true;
  private nameWidth: number;
  private view: View;
  private selected = -1;
  private hovered = -1;
  private focusService = -1;
  private marks: Uint8Array | null = null;
  private critical: CriticalPath | null = null;
  private showsCritical = true;
  private following = false;
  private cursorX: number | null = null;
  private range: readonly [number, number] | null = null;
  private drag: Drag | null = null;
  private readonly selfCache = new Map<number, readonly number[]>();

  constructor(
    private readonly host: HTMLElement,
    private readonly trace: Trace,
    private readonly slots: Uint16Array,
    private theme: Theme,
    private readonly events: WaterfallEvents,
  ) {
    this.rows = new VisibleRows(trace);
    this.view = { from: trace.from, to: trace.to };
    this.nameWidth = Math.min(460, Math.max(150, host.clientWidth * (host.clientWidth < 700 ? 0.46 : 0.42)));
    host.replaceChildren(this.scroller, this.parts.rail);
    this.ink = new Ink(this.context(), theme);
    this.listen();
    this.resized.observe(host);
    this.resize();
    this.rowsChanged();
  }

  destroy(): void {
    this.resized.disconnect();
    cancelAnimationFrame(this.scheduled);
    this.host.replaceChildren();
  }

  setTheme(theme: Theme): void {
    if (theme === this.theme) return;
    this.theme = theme;
    this.ink = new Ink(this.context(), theme);
    this.redrawAll();
  }

  setView(view: View): void {
    if (this.following) this.setFollow(false);
    this.view = clampView(view, this.whole());
    this.events.view(this.view);
    this.redraw();
  }

  setCritical(critical: CriticalPath): void {
    this.critical = critical;
    this.redraw();
  }

  setMarks(marks: Uint8Array | null): void {
    this.marks = marks;
    this.redrawAll();
  }

  setFocus(service: number): void {
    this.focusService = service;
    this.redraw();
  }

  hideServices(services: Iterable<number>): void {
    this.rows.hideServices(services);
    this.rowsChanged();
  }

  setFollow(on: boolean): void {
    if (on === this.following) return;
    this.following = on;
    this.events.follow(on);
    if (!on) {
      this.view = this.whole();
      this.events.view(this.view);
    }
    this.redraw();
  }

  toggleFollow(): void {
    this.setFollow(!this.following);
  }

  toggleCritical(): void {
    this.showsCritical = !this.showsCritical;
    this.redraw();
  }

  /** New fonts have other widths. */
  fontsLoaded(): void {
    this.ink.forget();
    this.redraw();
  }

  focus(): void {
    this.scroller.focus({ preventScroll: true });
  }

  get selection(): number {
    return this.selected;
  }

  select(row: number): void {
    this.selected = row;
    if (row >= 0) {
      this.rows.unfoldTo(row);
      this.rowsChanged();
      this.reveal(row);
      this.describe(row);
    }
    this.events.select(row);
    this.redrawAll();
  }

  step(by: 1 | -1): void {
    let line = this.selected < 0 ? -1 : this.rows.lineOf(this.selected);
    do line += by;
    while (line >= 0 && line < this.rows.count && this.rows.spanAt(line) < 0);
    if (line >= 0 && line < this.rows.count) this.select(this.rows.spanAt(line));
  }

  /** Opens the selected row, or goes into it. */
  inward(): void {
    if (this.selected >= 0 && this.rows.isFolded(this.selected)) this.toggle(this.selected);
    else this.step(1);
  }

  /** Folds the selected row, or goes to its parent. */
  outward(): void {
    const row = this.selected;
    if (row < 0) return;
    if (this.trace.size[row]! > 1 && !this.rows.isFolded(row)) this.toggle(row);
    else if (this.trace.parent[row]! >= 0) this.select(this.trace.parent[row]!);
  }

  edge(end: 'first' | 'last'): void {
    if (this.rows.count > 0) this.select(this.rows.anchorAt(end === 'first' ? 0 : this.rows.count - 1));
  }

  nextError(by: 1 | -1): void {
    const { errors } = this.trace;
    if (errors.length === 0) return;
    const next =
      by > 0 ? errors.find((row) => row > this.selected) : errors.findLast((row) => row < this.selected);
    this.select(next ?? errors.at(by > 0 ? 0 : -1)!);
  }

  nextMark(by: 1 | -1): void {
    const row = this.marks ? nextMarked(this.marks, Math.max(0, this.selected), by) : -1;
    if (row >= 0) this.select(row);
  }

  foldAll(): void {
    this.rows.foldAll();
    this.rowsChanged();
  }

  unfoldAll(): void {
    this.rows.unfoldAll();
    this.rowsChanged();
  }

  zoom(factor: number): void {
    const middle = (this.view.from + this.view.to) / 2;
    this.zoomAt(middle, factor);
  }

  /** Moves by a share of what is shown. */
  pan(share: number): void {
    const by = (this.view.to - this.view.from) * share;
    this.setView({ from: this.view.from + by, to: this.view.to + by });
  }

  fitSelected(): void {
    if (this.selected >= 0) this.fit(this.selected);
  }

  showAll(): void {
    this.setView(this.whole());
  }

  private whole(): View {
    return { from: this.trace.from, to: this.trace.to };
  }

  private fit(row: number): void {
    const start = this.trace.start[row]!;
    const length = Math.max(20, this.trace.end[row]! - start);
    this.setView({ from: start - length * 0.08, to: start + length * 1.08 });
  }

  private zoomAt(us: number, factor: number): void {
    const from = us - (us - this.view.from) * factor;
    this.setView({ from, to: from + (this.view.to - this.view.from) * factor });
  }

  private toggle(row: number): void {
    this.rows.toggle(row);
    this.rowsChanged();
    if (row === this.selected) this.describe(row);
  }

  private context(): CanvasRenderingContext2D {
    const context = this.parts.canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('this browser has no canvas');
    return context;
  }

  private listen(): void {
    const { scroller } = this;
    scroller.addEventListener('scroll', () => this.redraw(), { passive: true });
    scroller.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    scroller.addEventListener('pointermove', (event) => this.move(event));
    scroller.addEventListener('pointerleave', () => this.leave());
    scroller.addEventListener('pointerdown', (event) => this.press(event));
    scroller.addEventListener('pointerup', () => this.release());
    scroller.addEventListener('pointercancel', () => this.release());
    scroller.addEventListener('click', (event) => this.click(event));
    scroller.addEventListener('dblclick', (event) => {
      const row = this.rowAt(this.local(event).y);
      if (row >= 0) this.fit(row);
    });
    const { rail } = this.parts;
    rail.addEventListener('pointerdown', (event) => {
      rail.setPointerCapture(event.pointerId);
      this.scrollToShare(event.offsetY / rail.clientHeight);
    });
    rail.addEventListener('pointermove', (event) => {
      if (event.buttons & 1) this.scrollToShare(event.offsetY / rail.clientHeight);
    });
  }

  private scrollToShare(share: number): void {
    this.scroller.scrollTop = share * this.rows.count * ROW_PX - this.height / 2;
  }

  private local(event: MouseEvent): { x: number; y: number } {
    const box = this.scroller.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private rowAt(y: number): number {
    if (y < HEAD_PX) return -1;
    return this.rows.spanAt(Math.floor((this.scroller.scrollTop + y - HEAD_PX) / ROW_PX));
  }

  private wheel(event: WheelEvent): void {
    const axis = this.axis();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const { x } = this.local(event);
      this.zoomAt(axis.us(Math.max(x, this.nameWidth)), Math.exp(event.deltaY * 0.002));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.pan((event.deltaX || event.deltaY) / (this.width - this.nameWidth));
    }
  }

  private move(event: PointerEvent): void {
    const { x, y } = this.local(event);
    if (this.drag?.kind === 'split') {
      this.nameWidth = Math.max(120, Math.min(this.width * 0.7, x));
      this.redraw();
      return;
    }
    const axis = this.axis();
    if (this.drag?.kind === 'range') {
      const us = axis.us(x);
      this.range = [Math.min(this.drag.from, us), Math.max(this.drag.from, us)];
      this.redraw();
      return;
    }
    const overTime = x > this.nameWidth;
    const overSplit = Math.abs(x - this.nameWidth) < SPLIT_PX;
    this.scroller.style.cursor = overSplit ? 'col-resize' : y < HEAD_PX && overTime ? 'text' : 'default';
    this.cursorX = overTime && event.pointerType === 'mouse' ? x : null;
    this.hovered = isOnCrumbs(this.scene(), y) ? -1 : this.rowAt(y);
    this.events.hover(
      overTime && event.pointerType === 'mouse' ? this.hovered : -1,
      event.clientX,
      event.clientY,
    );
    this.redraw();
  }

  private leave(): void {
    this.cursorX = null;
    this.hovered = -1;
    this.events.hover(-1, 0, 0);
    this.redraw();
  }

  private press(event: PointerEvent): void {
    const { x, y } = this.local(event);
    if (Math.abs(x - this.nameWidth) < SPLIT_PX) this.drag = { kind: 'split' };
    else if (y < HEAD_PX && x > this.nameWidth) this.drag = { kind: 'range', from: this.axis().us(x) };
    else return;
    this.scroller.setPointerCapture(event.pointerId);
  }

  private release(): void {
    const { range } = this;
    this.drag = null;
    this.range = null;
    // A click on the ruler is not a range.
    if (range && range[1] - range[0] > (this.view.to - this.view.from) * 0.005) {
      this.setView({ from: range[0], to: range[1] });
    }
    this.redraw();
  }

  private click(event: MouseEvent): void {
    const { x, y } = this.local(event);
    if (Math.abs(x - this.nameWidth) < SPLIT_PX) return;
    const scene = this.scene();
    if (isOnCrumbs(scene, y)) {
      const crumb = layCrumbs(this.ink, scene).find(({ from, to }) => x >= from && x < to);
      if (crumb) this.select(crumb.row);
      return;
    }
    const row = this.rowAt(y);
    if (row < 0) return;
    const indent = indentOf(this.trace.depth[row]!, this.nameWidth);
    const onTwisty = x < this.nameWidth && x >= indent - 4 && x <= indent + 13;
    if (onTwisty && this.trace.size[row]! > 1) this.toggle(row);
    else this.select(row);
  }

  private reveal(row: number): void {
    const line = this.rows.lineOf(row);
    if (line < 0) return;
    const y = line * ROW_PX;
    const { scrollTop } = this.scroller;
    if (y < scrollTop + ROW_PX || y > scrollTop + this.height - HEAD_PX - 3 * ROW_PX) {
      this.scroller.scrollTop = y - this.height / 2;
    }
  }

  /** The one row that a screen reader sees: the selected one. */
  private describe(row: number): void {
    const { trace } = this;
    const { mirror, cell } = this.parts;
    const failed = trace.flags[row]! & ERROR ? ', error' : '';
    const length = formatDuration(trace.end[row]! - trace.start[row]!);
    cell.textContent = `${serviceName(trace, row)} ${spanName(trace, row)}, ${length}, starts at ${formatDuration(trace.start[row]!)}${failed}`;
    mirror.setAttribute('aria-level', String(trace.depth[row]! + 1));
    mirror.setAttribute('aria-rowindex', String(this.rows.lineOf(row) + 1));
    mirror.setAttribute('aria-selected', 'true');
    if (trace.size[row]! > 1) mirror.setAttribute('aria-expanded', String(!this.rows.isFolded(row)));
    else mirror.removeAttribute('aria-expanded');
    this.scroller.setAttribute('aria-activedescendant', mirror.id);
  }

  private rowsChanged(): void {
    this.parts.space.style.height = `${this.rows.count * ROW_PX + HEAD_PX + BOTTOM_PX}px`;
    this.scroller.setAttribute('aria-rowcount', String(this.rows.count));
    this.redrawAll();
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.scroller;
    const ratio = window.devicePixelRatio || 1;
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    const { canvas } = this.parts;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    this.railStale = true;
    // At once: a resized canvas is empty until it is painted.
    this.paint();
  }

  private redrawAll(): void {
    this.railStale = true;
    this.redraw();
  }

  private redraw(): void {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => {
      this.scheduled = 0;
      this.paint();
    });
  }

  private axis(): Axis {
    return new Axis(
      this.view,
      this.nameWidth + LEFT_PX,
      Math.max(this.nameWidth + 60, this.width - RIGHT_PX),
    );
  }

  private scene(): Scene {
    return {
      trace: this.trace,
      rows: this.rows,
      slots: this.slots,
      axis: this.axis(),
      width: this.width,
      height: this.height,
      nameWidth: this.nameWidth,
      scrollTop: this.scroller.scrollTop,
      selected: this.selected,
      hovered: this.hovered,
      focusService: this.focusService,
      marks: this.marks,
      critical: this.showsCritical ? this.critical : null,
      selfSegments: (row) => this.segments(row),
      cursorX: this.drag ? null : this.cursorX,
      range: this.range,
    };
  }

  private segments(row: number): readonly number[] {
    const known = this.selfCache.get(row);
    if (known) return known;
    const segments = selfSegments(this.trace, row);
    if (this.selfCache.size >= SELF_CACHE_MAX) this.selfCache.clear();
    this.selfCache.set(row, segments);
    return segments;
  }

  private paint(): void {
    if (this.width === 0 || this.height === 0) return;
    if (this.following) this.ease();
    const scene = this.scene();
    this.ink.cx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    paintScene(this.ink, scene);
    if (this.railStale) {
      this.rail.paintMarks({ ...scene, theme: this.theme }, this.height, this.ratio);
      this.railStale = false;
    }
    const whole = this.rows.count * ROW_PX + HEAD_PX + BOTTOM_PX;
    this.rail.paintThumb(scene.scrollTop / whole, (scene.scrollTop + this.height) / whole, this.theme);
  }

  private ease(): void {
    const scene = this.scene();
    const wanted = spanOfRows(scene);
    const atOnce = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const next = wanted && nextView(scene.axis, wanted, atOnce);
    if (!next) return;
    this.view = next.view;
    this.events.view(this.view);
    if (!next.arrived) this.redraw();
  }
}
