/** What an answer in Prometheus' envelope lacks, in words. Pure. */

import { plural } from '../kit/format';

/** What counts of an answer's `data`. */
interface Counted {
  tooLarge?: number;
  looked?: { partial?: boolean; spans?: number; tooLarge?: number };
}

interface Told {
  warnings?: unknown;
  data?: object | null;
}

export interface Missing {
  /** There was no time to look at all that is stored. */
  partial: boolean;
  /** One sentence for all of it; empty if nothing is missing. */
  warning: string;
}

export function missingIn({ warnings, data }: Told): Missing {
  const told = Array.isArray(warnings)
    ? warnings.filter((text): text is string => typeof text === 'string')
    : [];
  const { looked, tooLarge: ofAnswer }: Counted = data ?? {};
  const partial = looked?.partial === true;
  if (partial && told.length === 0) {
    told.push(
      `there was no time for all that is stored: only the newest ${plural(looked?.spans ?? 0, 'span')} were looked at`,
    );
  }
  const tooLarge = ofAnswer ?? looked?.tooLarge ?? 0;
  if (tooLarge > 0) {
    const traces = `${plural(tooLarge, 'trace')} that may match ${tooLarge === 1 ? 'is' : 'are'}`;
    told.push(`${traces} too large to be listed (more --storage.memory helps)`);
  }
  return { partial, warning: told.join('; ') };
}
