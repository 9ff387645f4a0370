/** Drawing on a canvas: text that fits, and the few shapes with a meaning. */

import { COLOURS, colourOf, type Inks, inks, type Theme } from '../theme/palette';

const UI = '"Inter Variable", Inter, system-ui, sans-serif';

export const FONT = {
  name: `12.5px ${UI}`,
  nameBold: `550 12.5px ${UI}`,
  nameItalic: `italic 550 12.5px ${UI}`,
  small: `11px ${UI}`,
  head: `550 11px ${UI}`,
  crumb: `11.5px ${UI}`,
  crumbBold: `550 11.5px ${UI}`,
  mono: '10.5px "IBM Plex Mono", ui-monospace, monospace',
} as const;

const CACHE_MAX = 20_000;

export class Ink {
  readonly colours: Inks;
  private readonly widths = new Map<string, number>();
  private readonly fits = new Map<string, string>();
  private readonly patterns = new Map<string, CanvasPattern | string>();

  constructor(
    readonly cx: CanvasRenderingContext2D,
    readonly theme: Theme,
  ) {
    this.colours = inks[theme];
  }

  get dark(): boolean {
    return this.theme === 'dark';
  }

  /** What was measured before the fonts came is wrong afterwards. */
  forget(): void {
    this.widths.clear();
    this.fits.clear();
  }

  width(text: string, font: string): number {
    const key = font + text;
    const known = this.widths.get(key);
    if (known !== undefined) return known;
    this.cx.font = font;
    const width = this.cx.measureText(text).width;
    if (this.widths.size > CACHE_MAX) this.widths.clear();
    this.widths.set(key, width);
    return width;
  }

  /** As much of `text` as fits into `room` pixels. */
  fit(text: string, font: string, room: number): string {
    if (room < 12) return '';
    if (this.width(text, font) <= room) return text;
    // Rooms in steps of four pixels, so that dragging the split does not fill the cache.
    const step = room >> 2;
    const key = `${font}${step}|${text}`;
    const known = this.fits.get(key);
    if (known !== undefined) return known;
    this.cx.font = font;
    let low = 0;
    let high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.cx.measureText(`${text.slice(0, middle)}…`).width <= step * 4) low = middle;
      else high = middle - 1;
    }
    const fitted = low > 0 ? `${text.slice(0, low)}…` : '';
    if (this.fits.size > CACHE_MAX) this.fits.clear();
    this.fits.set(key, fitted);
    return fitted;
  }

  /** Writes at a middle line and returns where the text ends. */
  write(text: string, x: number, middle: number, font: string, colour: string): number {
    if (!text) return x;
    const width = this.width(text, font);
    this.cx.font = font;
    this.cx.fillStyle = colour;
    this.cx.fillText(text, x, middle + 0.5);
    return x + width;
  }

  fillRect(
    x: number,
    y: number,
    width: number,
    height: number,
    fill: string | CanvasPattern | CanvasGradient,
  ): void {
    this.cx.fillStyle = fill;
    this.cx.fillRect(x, y, width, height);
  }

  round(x: number, y: number, width: number, height: number, radius: number): void {
    this.cx.beginPath();
    this.cx.roundRect(x, y, width, height, radius);
  }

  fillRound(
    x: number,
    y: number,
    width: number,
    height: number,
    radius: number,
    fill: string | CanvasPattern,
  ): void {
    this.cx.fillStyle = fill;
    this.round(x, y, width, height, radius);
    this.cx.fill();
  }

  line(points: readonly (readonly [number, number])[], stroke: string, width: number): void {
    this.cx.strokeStyle = stroke;
    this.cx.lineWidth = width;
    this.cx.beginPath();
    for (const [x, y] of points) this.cx.lineTo(x, y);
    this.cx.stroke();
  }

  /** A service's colour; beyond the twelfth service, the colour with a texture. */
  service(slot: number): string | CanvasPattern {
    const colour = colourOf(slot, this.theme);
    return slot < COLOURS
      ? colour
      : this.hatch(this.dark ? 'rgba(14,19,23,.42)' : 'rgba(255,255,255,.5)', colour);
  }

  /** Diagonal lines: over nothing they mean loss, over a colour a second round of colours. */
  hatch(lines: string, ground = ''): string | CanvasPattern {
    const key = lines + ground;
    const known = this.patterns.get(key);
    if (known) return known;
    const tile = document.createElement('canvas');
    tile.width = tile.height = 8;
    const cx = tile.getContext('2d');
    let pattern: CanvasPattern | string = ground || lines;
    if (cx) {
      if (ground) {
        cx.fillStyle = ground;
        cx.fillRect(0, 0, 8, 8);
      }
      cx.strokeStyle = lines;
      cx.lineWidth = 1.5;
      cx.beginPath();
      for (const offset of [-8, 0, 8]) {
        cx.moveTo(offset, 8);
        cx.lineTo(offset + 8, 0);
      }
      cx.stroke();
      pattern = this.cx.createPattern(tile, 'repeat') ?? pattern;
    }
    this.patterns.set(key, pattern);
    return pattern;
  }

  /** The second sign of an error, beside its colour. */
  errorDot(x: number, y: number): void {
    this.cx.fillStyle = this.colours.error;
    this.cx.beginPath();
    this.cx.arc(x, y, 5.5, 0, Math.PI * 2);
    this.cx.fill();
    this.fillRect(x - 0.8, y - 3.4, 1.6, 4.2, this.colours.page);
    this.fillRect(x - 0.8, y + 1.8, 1.6, 1.6, this.colours.page);
  }

  /** A drop that missed the bowl. */
  drop(x: number, y: number): void {
    const { cx } = this;
    cx.strokeStyle = this.colours.warn;
    cx.lineWidth = 1.3;
    cx.beginPath();
    cx.moveTo(x, y - 5.5);
    cx.quadraticCurveTo(x + 4.9, y + 0.4, x, y + 4.5);
    cx.quadraticCurveTo(x - 4.9, y + 0.4, x, y - 5.5);
    cx.stroke();
  }

  pill(text: string, x: number, middle: number, colour: string, ground: string): number {
    const width = this.width(text, FONT.small) + 12;
    this.fillRound(x, middle - 8, width, 16, 8, ground);
    this.write(text, x + 6, middle, FONT.small, colour);
    return x + width;
  }
}
