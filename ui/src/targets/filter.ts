/** The filter box of Targets: `zone="eu-1b" pod=~"payment-.*" 10.4.7`, every term must hold. */

import type { Target } from './model';

/** What of a target is looked at. */
type Filtered = Pick<Target, 'url' | 'pool' | 'labels'>;

type Match = (target: Filtered) => boolean;

export interface Filter {
  match: Match;
  /** What cannot be read, or null. */
  error: string | null;
}

const TERM = /([A-Za-z_][\w.]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"?|(\S*))|"((?:[^"\\]|\\.)*)"?|(\S+)/g;

export function parseFilter(text: string): Filter {
  const matches: Match[] = [];
  let error: string | null = null;
  for (const [, label, operator, quoted, bare, phrase, word] of text.matchAll(TERM)) {
    if (label === undefined) {
      matches.push(contains((phrase ?? word ?? '').toLowerCase()));
      continue;
    }
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? bare ?? '';
    try {
      matches.push(matchLabel(label, operator as string, value));
    } catch {
      error = `"${value}" is not a regular expression`;
    }
  }
  return { match: (target) => matches.every((match) => match(target)), error };
}

/** As in PromQL: an absent label is empty, and an expression must match the whole value. */
function matchLabel(label: string, operator: string, value: string): Match {
  const read = (target: Filtered) => target.labels[label] ?? '';
  if (operator === '=') return (target) => read(target) === value;
  if (operator === '!=') return (target) => read(target) !== value;
  const expression = new RegExp(`^(?:${value})$`, 'u');
  return (target) => expression.test(read(target)) === (operator === '=~');
}

function contains(text: string): Match {
  return (target) =>
    target.url.toLowerCase().includes(text) ||
    target.pool.toLowerCase().includes(text) ||
    Object.values(target.labels).some((value) => value.toLowerCase().includes(text));
}
