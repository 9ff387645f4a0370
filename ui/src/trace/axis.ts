/** From microseconds to pixels and back, and where the ticks are. */

export interface View {
  from: number;
  to: number;
}

export class Axis {
  constructor(
    readonly view: View,
    /** Pixels at which the view begins and ends. */
    readonly left: number,
    readonly right: number,
  ) {}

  x(us: number): number {
    return this.left + ((us - this.view.from) / (this.view.to - this.view.from)) * (this.right - this.left);
  }

  us(x: number): number {
    return this.view.from + ((x - this.left) / (this.right - this.left)) * (this.view.to - this.view.from);
  }

  /** Round steps, about `spacing` pixels apart. */
  ticks(spacing: number): { step: number; at: number[] } {
    const wanted = (this.view.to - this.view.from) / Math.max(2, (this.right - this.left) / spacing);
    const step = roundStep(wanted);
    const at: number[] = [];
    for (let tick = Math.ceil(this.view.from / step); tick * step <= this.view.to; tick++)
      at.push(tick * step);
    return { step, at };
  }
}

/** The next of 1, 2, 2.5 and 5 times a power of ten; a little below the wish is near enough. */
export function roundStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(wanted));
  const factor = [1, 2, 2.5, 5].find((candidate) => candidate * power >= wanted * 0.92) ?? 10;
  return factor * power;
}

/** The shortest stretch of time worth a screen. */
const SHORTEST_US = 20;

/** Keeps a view inside the trace, and not shorter than anybody could want. */
export function clampView(view: View, whole: View): View {
  const longest = whole.to - whole.from;
  const length = Math.min(longest, Math.max(Math.min(SHORTEST_US, longest), view.to - view.from));
  const from = Math.max(whole.from, Math.min(whole.to - length, view.from));
  return { from, to: from + length };
}
