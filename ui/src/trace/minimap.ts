/** The whole trace in 64 pixels: time across, depth down. Painted once; only the brush moves. */

import { COLOURS, inks, serviceColours, type Theme } from '../theme/palette';
import type { View } from './axis';
import type { Trace } from './model';

const PADDING_PX = 4;
const HANDLE_PX = 6;

interface Drag {
  mode: 'new' | 'move' | 'from' | 'to';
  at: number;
  view: View;
}

export class Minimap {
  private readonly canvas = document.createElement('canvas');
  private readonly resized = new ResizeObserver(() => this.resize());
  private base: HTMLCanvasElement | null = null;
  private view: View;
  private drag: Drag | null = null;
  private width = 0;
  private height = 0;
  private ratio = 1;

  constructor(
    private readonly host: HTMLElement,
    private readonly trace: Trace,
    private readonly slots: Uint16Array,
    private theme: Theme,
    private readonly set: (view: View) => void,
  ) {
    this.view = { from: trace.from, to: trace.to };
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', 'Overview of the whole trace');
    host.replaceChildren(this.canvas);
    this.canvas.addEventListener('pointerdown', (event) => this.press(event));
    this.canvas.addEventListener('pointermove', (event) => this.move(event));
    this.canvas.addEventListener('pointerup', () => {
      this.drag = null;
    });
    this.canvas.addEventListener('dblclick', () => set({ from: trace.from, to: trace.to }));
    this.resized.observe(host);
    this.resize();
  }

  destroy(): void {
    this.resized.disconnect();
    this.host.replaceChildren();
  }

  setTheme(theme: Theme): void {
    if (theme === this.theme) return;
    this.theme = theme;
    this.base = null;
    this.paint();
  }

  setView(view: View): void {
    this.view = view;
    this.paint();
  }

  private us(x: number): number {
    return this.trace.from + (x / this.width) * (this.trace.to - this.trace.from);
  }

  private x(us: number): number {
    return ((us - this.trace.from) / (this.trace.to - this.trace.from)) * this.width;
  }

  private press(event: PointerEvent): void {
    const at = this.us(event.offsetX);
    const { from, to } = this.view;
    const near = this.us(HANDLE_PX) - this.us(0);
    const whole = to - from >= (this.trace.to - this.trace.from) * 0.999;
    let mode: Drag['mode'] = 'new';
    if (!whole && Math.abs(at - from) < near) mode = 'from';
    else if (!whole && Math.abs(at - to) < near) mode = 'to';
    else if (!whole && at > from && at < to) mode = 'move';
    this.drag = { mode, at, view: this.view };
    this.canvas.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    if (!this.drag) return;
    const at = this.us(event.offsetX);
    const { mode, at: start, view } = this.drag;
    if (mode === 'new') this.set({ from: Math.min(at, start), to: Math.max(at, start) });
    else if (mode === 'move') this.set({ from: view.from + at - start, to: view.to + at - start });
    else if (mode === 'from') this.set({ from: Math.min(at, view.to), to: view.to });
    else this.set({ from: view.from, to: Math.max(at, view.from) });
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    const ratio = window.devicePixelRatio || 1;
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.base = null;
    this.paint();
  }

  private paint(): void {
    const cx = this.canvas.getContext('2d');
    if (!cx || this.width === 0) return;
    const { width, height, ratio } = this;
    const colours = inks[this.theme];
    this.base ??= this.paintBase(Math.round(width * ratio), Math.round((height - 2 * PADDING_PX) * ratio));
    cx.setTransform(1, 0, 0, 1, 0, 0);
    cx.fillStyle = colours.page;
    cx.fillRect(0, 0, this.canvas.width, this.canvas.height);
    cx.globalAlpha = 0.88;
    cx.drawImage(this.base, 0, PADDING_PX * ratio);
    cx.globalAlpha = 1;
    cx.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.paintLoss(cx);
    this.paintBrush(cx);
  }

  /** Straight into pixels: 100,000 rectangles through the canvas would take ten times as long. */
  private paintBase(width: number, height: number): HTMLCanvasElement {
    const { trace, ratio } = this;
    const base = document.createElement('canvas');
    base.width = Math.max(1, width);
    base.height = Math.max(1, height);
    const cx = base.getContext('2d');
    if (!cx) return base;
    const image = cx.createImageData(base.width, base.height);
    const pixels = new Uint32Array(image.data.buffer);
    const colours = serviceColours[this.theme].map(littleEndian);
    const scale = width / (trace.to - trace.from);
    const lanes = Math.max(1, Math.min(trace.maxDepth + 1, Math.floor(height / (2 * ratio))));
    const lane = Math.min(height / lanes, 8 * ratio);
    const bar = Math.max(1, Math.floor(lane - ratio));
    for (let row = 0; row < trace.count; row++) {
      const from = Math.max(0, Math.floor((trace.start[row]! - trace.from) * scale));
      const to = Math.min(width, Math.max(from + 1, Math.ceil((trace.end[row]! - trace.from) * scale)));
      const top = Math.floor(Math.min(trace.depth[row]!, lanes - 1) * lane);
      const colour = colours[this.slots[trace.service[row]!]! % COLOURS]!;
      for (let y = top; y < top + bar && y < height; y++)
        pixels.fill(colour, y * width + from, y * width + to);
    }
    cx.putImageData(image, 0, 0);
    cx.fillStyle = inks[this.theme].error;
    for (const row of trace.errors) {
      cx.fillRect((trace.start[row]! - trace.from) * scale - ratio, height - 6 * ratio, 2 * ratio, 6 * ratio);
    }
    return base;
  }

  private paintLoss(cx: CanvasRenderingContext2D): void {
    const { height } = this;
    cx.strokeStyle = cx.fillStyle = inks[this.theme].warn;
    cx.lineWidth = 1;
    for (const loss of this.trace.loss) {
      const from = this.x(loss.fromUs);
      const to = Math.max(from + 2, this.x(loss.toUs));
      cx.save();
      cx.beginPath();
      cx.rect(from, 0, to - from, height);
      cx.clip();
      cx.globalAlpha = 0.55;
      cx.beginPath();
      for (let x = from - height; x < to; x += 6) {
        cx.moveTo(x, height);
        cx.lineTo(x + height, 0);
      }
      cx.stroke();
      cx.restore();
      cx.fillRect(from, height - 3, to - from, 3);
    }
  }

  private paintBrush(cx: CanvasRenderingContext2D): void {
    const { width, height } = this;
    const colours = inks[this.theme];
    const from = this.x(this.view.from);
    const to = this.x(this.view.to);
    if (to - from >= width - 0.5) return;
    cx.fillStyle = colours.page;
    cx.globalAlpha = 0.72;
    cx.fillRect(0, 0, from, height);
    cx.fillRect(to, 0, width - to, height);
    cx.globalAlpha = 1;
    cx.strokeStyle = cx.fillStyle = colours.accent;
    cx.lineWidth = 1.5;
    cx.strokeRect(from + 0.75, 0.75, Math.max(2, to - from - 1.5), height - 1.5);
    for (const x of [from, to]) {
      cx.beginPath();
      cx.roundRect(x - 3, height / 2 - 9, 6, 18, 3);
      cx.fill();
    }
  }
}

/** `#rrggbb` as the number that a little-endian machine stores as red, green, blue, alpha. */
function littleEndian(colour: string): number {
  const value = Number.parseInt(colour.slice(1), 16);
  const [red, green, blue] = [(value >> 16) & 255, (value >> 8) & 255, value & 255];
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
