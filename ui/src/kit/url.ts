/** The address bar as a signal. Nothing else reads or writes `location`. */

import { signal } from '@preact/signals';

/** A list stands as often as it is long. */
export type Params = Record<string, string | number | readonly string[] | null | undefined>;

/** Where the pages hang: `/`, or the server's route prefix. Ends in a slash. */
export const basePath = new URL('.', document.baseURI).pathname;

/** A link reads the same whoever made it: parameters always come in this order. */
const ORDER = [
  'q',
  'from',
  'to',
  'limit',
  'focus',
  'hops',
  'pool',
  'state',
  'group',
  'sort',
  'box',
  'view',
  'span',
  'row',
  't',
  'find',
  'hide',
];

export interface Place {
  /** Below the base, with a leading slash. */
  path: string;
  params: URLSearchParams;
}

function read(): Place {
  const { pathname, search } = window.location;
  const path = pathname.startsWith(basePath) ? pathname.slice(basePath.length - 1) : pathname;
  return { path, params: new URLSearchParams(search) };
}

export const place = signal<Place>(read());

window.addEventListener('popstate', () => {
  place.value = read();
});

export function href(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  const rank = (name: string) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
  for (const name of Object.keys(params).sort((a, b) => rank(a) - rank(b))) {
    const value = params[name];
    if (Array.isArray(value)) for (const one of value) search.append(name, one);
    else if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  const query = search.toString();
  return basePath + path.replace(/^\//, '') + (query ? `?${query}` : '');
}

/** To another page: the back button returns. */
export function go(path: string, params: Params = {}): void {
  history.pushState(null, '', href(path, params));
  place.value = read();
}

/** Another view of this page: no new entry in the history. `null` takes a parameter out. */
export function setParams(changes: Params): void {
  const { path, params } = place.peek();
  const next: Params = { ...Object.fromEntries(params), ...changes };
  const address = href(path, next);
  if (address === window.location.pathname + window.location.search) return;
  history.replaceState(null, '', address);
  place.value = read();
}

export function param(name: string): string {
  return place.value.params.get(name) ?? '';
}

/** Follows links to our own pages without loading the document again. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
    return;
  const link = (event.target as Element).closest('a');
  if (!link || link.origin !== window.location.origin || link.target || link.hasAttribute('download')) return;
  if (!link.pathname.startsWith(basePath) || link.pathname.startsWith(`${basePath}zipkin/api/`)) return;
  if (/^(api|metrics|prometheus|version|-)(\/|$)/.test(link.pathname.slice(basePath.length))) return;
  event.preventDefault();
  history.pushState(null, '', link.href);
  place.value = read();
}
