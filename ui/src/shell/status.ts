/** The targets as every page sees them: the badge, the loss windows, the Targets page itself. */

import { computed, signal } from '@preact/signals';
import { fetchTargets } from '../api/targets';
import { Resource } from '../kit/load';
import { arrivalMs } from '../targets/freshness';
import type { LossWindow, Target } from '../targets/model';

const EVERY_MS = 5000;

/** Whether somebody looks at single scrapes. */
const scrapesShown = signal(false);

export const targets = new Resource((abort) => fetchTargets(scrapesShown.peek(), abort));

export function showScrapes(shown: boolean): void {
  const asked = shown && !scrapesShown.peek();
  scrapesShown.value = shown;
  if (asked) void targets.refresh();
}

export function pollTargets(): () => void {
  return targets.poll(EVERY_MS);
}

export const targetsDown = computed(
  () => targets.state.value.data?.targets.filter((target) => target.state === 'down').length ?? 0,
);

export interface TargetLoss extends LossWindow {
  target: Target;
}

/** Every window in which a target is known to have lost spans. */
export const lossWindows = computed<TargetLoss[]>(
  () =>
    targets.state.value.data?.targets.flatMap((target) =>
      target.lossWindows.map((loss) => ({ ...loss, target })),
    ) ?? [],
);

/** Until so long after its end, spans of a trace may still be on their way. */
export const arrival = computed(() => arrivalMs(targets.state.value.data?.targets ?? []));
