/** The colours a canvas paints with, and which service gets which. */

export type Theme = 'light' | 'dark';

export interface Inks {
  page: string;
  raised: string;
  sunken: string;
  line: string;
  text: string;
  muted: string;
  faint: string;
  accent: string;
  accentWeak: string;
  error: string;
  warn: string;
  hover: string;
  /** Loss behind other things, beside which text must stay readable. */
  warnWash: string;
  warnHatch: string;
  warnHatchWeak: string;
  rangeWash: string;
  thumb: string;
  shade: string;
}

/** The same table as tokens.css. */
export const inks: Record<Theme, Inks> = {
  light: {
    page: '#ffffff',
    raised: '#f5f7f8',
    sunken: '#eaeef0',
    line: '#dfe5e8',
    text: '#12181c',
    muted: '#55626b',
    faint: '#636f77',
    accent: '#00708f',
    accentWeak: '#e1f3f8',
    error: '#d0271d',
    warn: '#a85a00',
    hover: '#f3f6f7',
    warnWash: 'rgba(168,90,0,.055)',
    warnHatch: 'rgba(168,90,0,.62)',
    warnHatchWeak: 'rgba(168,90,0,.09)',
    rangeWash: 'rgba(0,112,143,.10)',
    thumb: 'rgba(18,24,28,.09)',
    shade: 'rgba(18,24,28,.07)',
  },
  dark: {
    page: '#0e1317',
    raised: '#141a1f',
    sunken: '#1c242a',
    line: '#273138',
    text: '#e8edf0',
    muted: '#9eabb4',
    faint: '#82909a',
    accent: '#56c7ea',
    accentWeak: '#0f2c38',
    error: '#ff6b5e',
    warn: '#f0a53c',
    hover: '#151c21',
    warnWash: 'rgba(240,165,60,.07)',
    warnHatch: 'rgba(240,165,60,.75)',
    warnHatchWeak: 'rgba(240,165,60,.10)',
    rangeWash: 'rgba(86,199,234,.14)',
    thumb: 'rgba(255,255,255,.10)',
    shade: 'rgba(0,0,0,.35)',
  },
};

/** Twelve colours that stay apart for colour-blind eyes, and clear of error red, accent and loss amber. */
export const serviceColours: Record<Theme, readonly string[]> = {
  light: [
    '#986a67',
    '#b98500',
    '#646e35',
    '#00a962',
    '#108f96',
    '#266ad2',
    '#7092de',
    '#896bf6',
    '#664992',
    '#a53db7',
    '#95276f',
    '#e153ad',
  ],
  dark: [
    '#9e6f6c',
    '#ba8601',
    '#b2bf82',
    '#6beea2',
    '#118f97',
    '#4a8efa',
    '#8bb0fd',
    '#7f5fea',
    '#9f81d0',
    '#b149c3',
    '#fd87cd',
    '#e456b0',
  ],
};

export const COLOURS = 12;

/** 32 bits of a name, the same in every browser. */
export function fnv1a(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash ^= name.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

/**
 * A slot for each service: `slot % COLOURS` is the colour, and from `COLOURS` on it is drawn with a
 * texture. A name's hash is its wish; in order of hash, a taken wish moves on by five. So the same
 * set of services has the same colours for everybody, and one service more moves a few at most.
 */
export function assignColours(services: readonly string[]): Uint16Array {
  const slots = new Uint16Array(services.length);
  const byHash = services.map((name, index) => ({ hash: fnv1a(name), name, index }));
  byHash.sort((a, b) => a.hash - b.hash || (a.name < b.name ? -1 : 1));
  const used = new Set<number>();
  let round = 0;
  for (const { hash, index } of byHash) {
    if (used.size === COLOURS) {
      used.clear();
      round++;
    }
    let colour = hash % COLOURS;
    while (used.has(colour)) colour = (colour + 5) % COLOURS;
    used.add(colour);
    slots[index] = round * COLOURS + colour;
  }
  return slots;
}

export function colourOf(slot: number, theme: Theme): string {
  return serviceColours[theme][slot % COLOURS]!;
}
