/** The time that a search looks at: `from=now-1h&to=now`, or two moments. */

export interface Range {
  fromMs: number;
  toMs: number;
}

export interface Preset {
  from: string;
  name: string;
}

export const PRESETS: readonly Preset[] = [
  { from: 'now-15m', name: 'Last 15 minutes' },
  { from: 'now-1h', name: 'Last hour' },
  { from: 'now-6h', name: 'Last 6 hours' },
  { from: 'now-1d', name: 'Last day' },
  { from: 'now-2d', name: 'Last 2 days' },
  { from: 'now-7d', name: 'Last 7 days' },
];

export const DEFAULT_FROM = 'now-1h';

const UNITS_MS: Record<string, number> = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 };

/** `now`, `now-15m`, Unix milliseconds, or what `Date` reads. */
export function parseMoment(text: string, nowMs: number): number | null {
  const relative = /^now(?:-(\d+)([smhdw]))?$/.exec(text);
  if (relative) return nowMs - (relative[1] ? Number(relative[1]) * UNITS_MS[relative[2]!]! : 0);
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

export function readRange(from: string, to: string, nowMs: number): Range {
  const toMs = parseMoment(to || 'now', nowMs) ?? nowMs;
  const fromMs = parseMoment(from || DEFAULT_FROM, nowMs) ?? toMs - UNITS_MS.h!;
  return fromMs < toMs ? { fromMs, toMs } : { fromMs: toMs - UNITS_MS.h!, toMs };
}

/** The next wider preset, for a search that found nothing. */
export function widerPreset({ fromMs, toMs }: Range, nowMs: number): Preset | null {
  const wider = PRESETS.find(({ from }) => nowMs - parseMoment(from, nowMs)! > (toMs - fromMs) * 1.5);
  return wider ?? null;
}

/** Zipkin's times, as its links have them: `lookback=15m`, or milliseconds with `endTs` or `startTs`. */
export function rangeFromZipkin(params: URLSearchParams): { from: string; to: string } | null {
  const number = (name: string) => {
    const text = params.get(name) ?? '';
    return /^\d+$/.test(text) ? Number(text) : null;
  };
  const endTs = number('endTs');
  const startTs = number('startTs');
  const lookback = params.get('lookback') ?? '';
  const milliseconds = number('lookback') ?? number('millis');
  if (/^\d+[smhdw]$/.test(lookback)) return { from: `now-${lookback}`, to: '' };
  if (startTs !== null && endTs !== null) return { from: iso(startTs), to: iso(endTs) };
  if (milliseconds !== null && endTs !== null) return { from: iso(endTs - milliseconds), to: iso(endTs) };
  if (milliseconds !== null) return { from: `now-${Math.max(1, Math.round(milliseconds / 1000))}s`, to: '' };
  return null;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
