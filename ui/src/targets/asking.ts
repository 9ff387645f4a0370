/** How a target is asked, in words: what is out of the ordinary in its row, and all of it where it is opened. Pure. */

import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatOffset,
  formatShare,
} from '../kit/format';
import { intervalMs } from './freshness';
import type { LongPoll, Sampled, Target } from './model';
import { answers } from './rows';

/** Beyond this a clock is not merely imprecise: its spans stand in the wrong place. */
const CLOCK_FAR_NS = 100e6;
/** A failure is told in the row for so many intervals. */
const FAILED_LATELY = 10;

/** A few words beside a target's state. */
export interface Aside {
  text: string;
  warn: boolean;
  /** The same as a sentence. */
  title: string;
}

/** What of a target that answers is worth a look, if anything is: the most pressing alone. */
export function asideOf(target: Target, serverNowMs: number): Aside | null {
  if (!answers(target.state) || target.state === 'not traced') return null;
  const { log, lastFailure, sampled, longPoll } = target;
  if (isFilling(target) && log?.lastsSeconds != null) {
    const lasts = formatDuration(log.lastsSeconds * 1e6);
    return {
      text: `log lasts ${lasts}`,
      warn: true,
      title: `Spans would fill its log in ${lasts}, and it is asked every ${target.interval}`,
    };
  }
  if (longPoll === 'refused') {
    return { text: 'no place to wait', warn: true, title: LONG_POLL.refused };
  }
  if (lastFailure && serverNowMs - lastFailure.atMs < FAILED_LATELY * intervalMs(target.interval)) {
    return {
      text: `failed ${formatAge(serverNowMs - lastFailure.atMs)}`,
      warn: false,
      title: lastFailure.error,
    };
  }
  if (sampled && sampled.share < 1) {
    const share = formatShare(sampled.share);
    return {
      text: `${share} recorded`,
      warn: false,
      title: `It records ${share} of the traces that begin there, for its budget`,
    };
  }
  if (longPoll !== 'no')
    return {
      text: longPoll === 'not_kept' ? 'does not wait' : 'waits',
      warn: false,
      title: LONG_POLL[longPoll],
    };
  return null;
}

/** Whether its log would be full before it is asked for the second time. */
export function isFilling({ log, interval }: Target): boolean {
  return log?.lastsSeconds != null && log.lastsSeconds * 1000 < 2 * intervalMs(interval);
}

export function isClockFar({ clockOffsetNs }: Target): boolean {
  return Math.abs(clockOffsetNs ?? 0) >= CLOCK_FAR_NS;
}

const LONG_POLL: Record<Exclude<LongPoll, 'no'>, string> = {
  open: 'A request waits there until it has spans',
  between: 'A request waits there, with a pause after each answer',
  not_kept: 'It answers at once though it has nothing, so no request waits there for now',
  refused: 'Too many requests wait elsewhere (--scrape.long-polls-max), so none waits here',
};

export function longPollWords(longPoll: LongPoll): string {
  return longPoll === 'no' ? 'no' : LONG_POLL[longPoll];
}

export function logWords({ log }: Target): string {
  if (!log) return '';
  const share = log.maxBytes > 0 ? `, ${formatShare(log.bytes / log.maxBytes)}` : '';
  return `${formatBytes(log.bytes)} of ${formatBytes(log.maxBytes)}${share}`;
}

/** What the job wants, and what the target says that it does; empty if neither says anything. */
export function budgetFacts({ spanBudget, sampled }: Target): [name: string, value: string][] {
  if (spanBudget === null && !sampled) return [];
  const wanted = spanBudget === null ? 'none any more' : `${formatCount(spanBudget)} spans a second`;
  return [
    ['span budget', wanted],
    ['recorded', sampled ? recordedWords(sampled) : 'it does not say how much'],
  ];
}

function recordedWords({ share, tracesLeftOut }: Sampled): string {
  const part = share < 1 ? formatShare(share) : 'all';
  return `${part} of the traces that begin there, ${formatCount(tracesLeftOut)} left out so far`;
}

export function clockWords({ clockOffsetNs }: Target): string {
  if (clockOffsetNs === null) return '';
  return `${formatOffset(Math.abs(clockOffsetNs)).slice(1)} ${clockOffsetNs < 0 ? 'behind' : 'ahead'}`;
}

const REASONS: Record<string, string> = {
  timeout: 'no answer in time',
  connect: 'no connection',
  status: 'another status than 200',
  body_cut: 'cut off',
  body_limit: 'too large',
  decode: 'not readable',
  protocol: 'against the protocol',
  commit: 'not stored here',
  target_limit: 'over target_limit',
};

/** `120, 3 failed: 2 no answer in time, 1 cut off`. */
export function scrapesWords({ scrapes, failedByReason }: Target): string {
  const failed = Object.entries(failedByReason).filter(([, count]) => count > 0);
  if (failed.length === 0) return formatCount(scrapes);
  const sum = failed.reduce((total, [, count]) => total + count, 0);
  const parts = failed.map(([reason, count]) => {
    const words = REASONS[reason] ?? reason.replaceAll('_', ' ');
    return failed.length === 1 ? words : `${formatCount(count)} ${words}`;
  });
  return `${formatCount(scrapes)}, ${formatCount(sum)} failed: ${parts.join(', ')}`;
}
