/** What became of the spans that targets finished, as far as their cursors prove. Pure. */

import { joinLosses, type LossSpell } from '../targets/loss';
import type { Target } from '../targets/model';

export interface Account {
  received: number;
  lost: number;
  byReason: Map<string, number>;
}

/** Lost without a reason that was told: a bug, here or there. */
export const UNEXPLAINED = 'unexplained';

export function totalAccount(targets: readonly Target[]): Account {
  const account: Account = { received: 0, lost: 0, byReason: new Map() };
  for (const target of targets) {
    account.received += target.received;
    account.lost += target.lost;
    for (const [reason, spans] of Object.entries(target.lostByReason)) {
      if (spans > 0) account.byReason.set(reason, (account.byReason.get(reason) ?? 0) + spans);
    }
  }
  return account;
}

export interface TargetSpell extends LossSpell {
  target: Target;
}

/** Newest first. */
export function spellsOf(targets: readonly Target[], slackMs: number): TargetSpell[] {
  return targets
    .flatMap((target) => joinLosses(target.lossWindows, slackMs).map((spell) => ({ ...spell, target })))
    .sort((a, b) => b.toMs - a.toMs);
}
