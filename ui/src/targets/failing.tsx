/** Discovery that fails, told where its targets are, or would be. */

import { formatClock, formatCount, plural } from '../kit/format';
import type { Failing } from './model';

/** As in targets.css. */
const FAILING_PX = 52;
const NARROW_FAILING_PX = 76;

export function failingHeight(isNarrow: boolean): number {
  return isNarrow ? NARROW_FAILING_PX : FAILING_PX;
}

/** What fails, and what becomes of the targets. */
export function failingWords(
  failing: Failing,
  clock: (atMs: number) => string,
): [what: string, kept: string] {
  const since = clock(Date.parse(failing.since));
  const parts = failing.parts > 1 ? `, ${formatCount(failing.parts)} parts of it` : '';
  return [
    `fails since ${since}${parts}: ${plural(failing.failures, 'failed update')}`,
    failing.keptTargets > 0
      ? `${plural(failing.keptTargets, 'target')} found before ${failing.keptTargets === 1 ? 'is' : 'are'} kept`
      : 'nothing was found before',
  ];
}

export function FailingRow({ failing, skewMs }: { failing: Failing; skewMs: number }) {
  const [what, kept] = failingWords(failing, (atMs) => formatClock(new Date(atMs - skewMs)));
  return (
    <div class="failing-row" role="row">
      <div role="cell">
        <p>
          <i class="mark down" />
          <b>{failing.mechanism}_sd</b> {what} · <span class="kept">{kept}</span>{' '}
          <span class="mono muted">{failing.server}</span>
        </p>
        <p class="mono error-text" title={failing.error}>
          {failing.error}
        </p>
      </div>
    </div>
  );
}
