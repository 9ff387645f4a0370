/** What sets some traces apart from the rest, as far as summaries tell. Pure. */

import type { Summary } from '../api/search';

/** A term of the query language, and how many have it. */
export interface Difference {
  name: string;
  /** Empty for a key alone. */
  value: string;
  /** Shares of the traces that have it. */
  inside: number;
  outside: number;
}

/** Below this many traces on either side a share means nothing. */
const FEWEST = 5;
const LEAST_APART = 0.15;

type Feature = readonly [name: string, value: string];

function featuresOf(trace: Summary): Feature[] {
  const features: Feature[] = trace.services.map(({ name }) => ['service', name]);
  if (trace.root.name) features.push(['name', trace.root.name]);
  if (trace.errors > 0) features.push(['error', '']);
  return features;
}

export function differences(
  inside: readonly Summary[],
  outside: readonly Summary[],
  most: number,
): Difference[] {
  if (inside.length < FEWEST || outside.length < FEWEST) return [];
  const counts = new Map<string, { feature: Feature; inside: number; outside: number }>();
  const count = (traces: readonly Summary[], side: 'inside' | 'outside') => {
    for (const trace of traces) {
      for (const feature of featuresOf(trace)) {
        const key = feature.join('\0');
        const entry = counts.get(key) ?? { feature, inside: 0, outside: 0 };
        entry[side]++;
        counts.set(key, entry);
      }
    }
  };
  count(inside, 'inside');
  count(outside, 'outside');
  return [...counts.values()]
    .map((entry) => ({
      name: entry.feature[0],
      value: entry.feature[1],
      inside: entry.inside / inside.length,
      outside: entry.outside / outside.length,
    }))
    .filter((difference) => difference.inside - difference.outside >= LEAST_APART)
    .sort((a, b) => b.inside - b.outside - (a.inside - a.outside))
    .slice(0, most);
}
