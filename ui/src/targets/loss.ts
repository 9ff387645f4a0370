/** Loss windows, joined where they touch. Pure. */

import type { LossWindow } from './model';

export interface LossSpell {
  fromMs: number;
  toMs: number;
  spans: number;
  reasons: string[];
}

/** A target that loses spans at every scrape has a window for each; to a reader they are one spell. */
export function joinLosses(windows: readonly LossWindow[], slackMs: number): LossSpell[] {
  const sorted = windows
    .map(({ from, to, spans, reason }) => ({ fromMs: Date.parse(from), toMs: Date.parse(to), spans, reason }))
    .filter(({ fromMs, toMs }) => toMs >= fromMs)
    .sort((a, b) => a.fromMs - b.fromMs);
  const spells: LossSpell[] = [];
  for (const { fromMs, toMs, spans, reason } of sorted) {
    const last = spells.at(-1);
    if (last && fromMs <= last.toMs + slackMs) {
      last.toMs = Math.max(last.toMs, toMs);
      last.spans += spans;
      if (!last.reasons.includes(reason)) last.reasons.push(reason);
    } else {
      spells.push({ fromMs, toMs, spans, reasons: [reason] });
    }
  }
  return spells;
}

const WORDS: Record<string, string> = {
  evicted: 'evicted before a scrape',
  before_first_scrape: 'gone before the first scrape',
  oversize: 'too large to keep',
  shutdown: 'lost at shutdown',
  rejected: 'came, and could not be kept',
  unexplained: 'without an explanation',
};

export function reasonWords(reasons: readonly string[]): string {
  return reasons.map((reason) => WORDS[reason] ?? reason.replaceAll('_', ' ')).join(', ');
}
