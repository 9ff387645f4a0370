/** The targets as every page sees them: the badge, the loss windows, the Targets page itself. */

import { computed } from '@preact/signals';
import { fetchTargets } from '../api/targets';
import { Resource } from '../kit/load';
import { arrivalMs } from '../targets/freshness';
import type { LossWindow, Target } from '../targets/model';

const EVERY_MS = 5000;

/** URLs of the targets whose single scrapes somebody looks at. */
let scrapesShown: readonly string[] = [];

export const targets = new Resource((abort) => fetchTargets(scrapesShown, abort));

export function showScrapes(urls: readonly string[]): void {
  const asked = urls.some((url) => !scrapesShown.includes(url));
  scrapesShown = urls;
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
