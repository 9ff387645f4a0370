/** Numbers and times as a reader wants them: never more than three significant figures of a duration. */

const count = new Intl.NumberFormat('en');

/** Between a number and its unit: narrow, and never broken over a line. */
const GAP = ' ';

export function formatCount(value: number): string {
  return count.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${formatCount(value)} ${value === 1 ? one : many}`;
}

/** Three significant figures of a duration in microseconds: `25 µs`, `6.24 ms`, `1m 5s`. */
export function formatDuration(us: number): string {
  const size = Math.abs(us);
  const sign = us < 0 ? '−' : '';
  if (size < 999.5) return `${sign}${Math.round(size)}${GAP}µs`;
  if (size < 999_500) return `${sign}${threeFigures(size / 1e3)}${GAP}ms`;
  if (size < 59_950_000) return `${sign}${threeFigures(size / 1e6)}${GAP}s`;
  const seconds = Math.round(size / 1e6);
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${sign}${Math.floor(minutes / 60)}h ${minutes % 60}m`;
  return `${sign}${Math.floor(minutes / 1440)}d ${Math.floor((minutes % 1440) / 60)}h`;
}

function threeFigures(value: number): string {
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/** A tick of an axis, with as many decimals as its step needs so that neighbours differ. */
export function formatTick(us: number, stepUs: number): string {
  if (Math.abs(us) < stepUs / 1000) return '0';
  const size = Math.abs(us);
  const [scale, unit] = size >= 1e6 ? [1e6, 's'] : size >= 1e3 ? [1e3, 'ms'] : [1, 'µs'];
  let decimals = 0;
  let step = stepUs / (scale as number);
  while (decimals < 6 && Math.abs(step - Math.round(step)) > 1e-6) {
    step *= 10;
    decimals++;
  }
  return `${us < 0 ? '−' : ''}${(size / (scale as number)).toFixed(decimals)}${GAP}${unit}`;
}

/** `3.4 s ago`, `11 min ago`, `2 d ago`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${seconds < 20 ? seconds.toFixed(1) : Math.round(seconds)}${GAP}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${GAP}min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}${GAP}h ago`;
  return `${Math.floor(seconds / 86400)}${GAP}d ago`;
}

const two = (value: number) => String(value).padStart(2, '0');

/** Local time of day, with as many decimals of a second as asked for. */
export function formatClock(date: Date, decimals: 0 | 1 | 3 = 0): string {
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (decimals === 0) return clock;
  const fraction = Math.floor(date.getMilliseconds() / 10 ** (3 - decimals));
  return `${clock}.${String(fraction).padStart(decimals, '0')}`;
}

/** Local date and time to the millisecond: `2026-11-23 06:20:03.123`. */
export function formatMoment(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${formatClock(date, 3)}`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}${GAP}B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${threeFigures(value)}${GAP}${units[unit]}`;
}

/** A share of one: `88 %`, `0.04 %`. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 0.01) return `< 0.01${GAP}%`;
  return `${percent !== 0 && percent < 1 ? percent.toFixed(2) : Math.round(percent)}${GAP}%`;
}

/** A signed offset between clocks: `+1.72 ms`, `−3.20 s`. */
export function formatOffset(ns: number): string {
  return `${ns < 0 ? '' : '+'}${formatDuration(ns / 1e3)}`;
}

/** `in 3.4 s`, `in 2m 5s`, and `now` for what is due. */
export function formatIn(ms: number): string {
  if (ms <= 0) return 'now';
  return ms < 60_000
    ? `in ${(ms / 1000).toFixed(ms < 20_000 ? 1 : 0)}${GAP}s`
    : `in ${formatDuration(ms * 1e3)}`;
}
