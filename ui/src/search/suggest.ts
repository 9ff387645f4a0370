/** What the query bar offers: keys, and the values that the server or the targets know. */

import {
  fetchRemoteServices,
  fetchServices,
  fetchSpanNames,
  fetchTagKeys,
  fetchTagValues,
} from '../api/zipkin';
import { targets } from '../shell/status';
import { FIELDS, parseQuery, quote, wantAt } from './query';

export interface Suggestion {
  /** What is shown. */
  text: string;
  /** What is typed for it. */
  insert: string;
  note: string;
}

export interface Suggestions {
  /** Where the typed part begins that a suggestion replaces. */
  from: number;
  list: Suggestion[];
}

const MOST = 10;
const KEPT_MS = 60_000;

const NOTES: Record<string, string> = {
  service: 'a service that took part',
  name: 'a span',
  remote: 'whom it called',
  duration: 'of a span',
  error: 'any error',
};

const answers = new Map<string, { at: number; values: Promise<string[]> }>();

/** The same question within a minute has the same answer; a failure offers nothing and is asked again. */
function remember(key: string, ask: () => Promise<string[]>): Promise<string[]> {
  const known = answers.get(key);
  if (known && Date.now() - known.at < KEPT_MS) return known.values;
  const values = ask().catch(() => {
    answers.delete(key);
    return [];
  });
  answers.set(key, { at: Date.now(), values });
  return values;
}

function targetLabels(name: string): string[] {
  const all = targets.state.peek().data?.targets ?? [];
  return [...new Set(all.flatMap(({ labels }) => labels[name] ?? []))].sort();
}

function targetKeys(): string[] {
  const all = targets.state.peek().data?.targets ?? [];
  return [...new Set(all.flatMap(({ labels }) => Object.keys(labels)))]
    .sort()
    .map((name) => `target.${name}`);
}

async function valuesOf(key: string, service: string): Promise<string[]> {
  if (key === 'service') return remember('services', fetchServices);
  if (key === 'duration') return ['1ms', '10ms', '100ms', '500ms', '1s', '10s'];
  if (key === 'name') return service ? remember(`names ${service}`, () => fetchSpanNames(service)) : [];
  if (key === 'remote')
    return service ? remember(`remotes ${service}`, () => fetchRemoteServices(service)) : [];
  if (key.startsWith('target.')) return targetLabels(key.slice('target.'.length));
  return remember(`values ${key}`, () => fetchTagValues(key));
}

export async function suggestAt(text: string, caret: number): Promise<Suggestions> {
  const want = wantAt(text, caret);
  const wanted = want.prefix.toLowerCase();
  const { from } = want;
  if (want.kind === 'operator') {
    const operators = want.key === 'duration' ? ['>', '<'] : ['='];
    return { from, list: operators.map((operator) => ({ text: operator, insert: operator, note: '' })) };
  }
  if (want.kind === 'value') {
    const service = parseQuery(text).zipkin.serviceName ?? '';
    const values = await valuesOf(want.key, service);
    return {
      from,
      list: match(values, wanted).map((value) => ({ text: value, insert: `${quote(value)} `, note: '' })),
    };
  }
  const tags = await remember('keys', fetchTagKeys);
  const keys = [...new Set([...FIELDS, 'error', ...tags, ...targetKeys()])];
  return { from, list: match(keys, wanted).map(keySuggestion) };
}

function keySuggestion(key: string): Suggestion {
  const note = NOTES[key] ?? (key.startsWith('target.') ? 'label' : 'tag');
  const after = key === 'error' ? ' ' : key === 'duration' ? '>' : '=';
  return { text: key, insert: quote(key) + after, note };
}

/** What begins with the typed part first, then what holds it; not what is there already. */
function match(all: readonly string[], wanted: string): string[] {
  const begins = all.filter((item) => item.toLowerCase().startsWith(wanted));
  const holds = wanted ? all.filter((item) => item.toLowerCase().indexOf(wanted) > 0) : [];
  return [...begins, ...holds].filter((item) => item.toLowerCase() !== wanted).slice(0, MOST);
}
