/** Keys of the whole program and of the page that is open. All are off while one types. */

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

export interface Binding {
  /** As `KeyboardEvent.key`; two joined by a space are pressed one after the other. */
  keys: string;
  /** Empty for a second way to do the same. */
  does: string;
  /** Left out if another part of the page already listens and this only tells of it. */
  run?: () => void;
}

/** How long the second key of a pair may take. */
const PAIR_MS = 1200;

interface Group {
  name: string;
  bindings: Binding[];
}

export const groups = signal<Group[]>([]);

export function useKeys(name: string, bindings: Binding[]): void {
  useEffect(() => {
    const group = { name, bindings };
    groups.value = [...groups.peek(), group];
    return () => {
      groups.value = groups.peek().filter((other) => other !== group);
    };
    // Bindings are made anew by every render and do the same.
  }, [name]);
}

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
}

let first = '';
let firstAt = 0;

export function pressKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
    return;
  const pair = first && event.timeStamp - firstAt < PAIR_MS ? `${first} ${event.key}` : '';
  first = event.key;
  firstAt = event.timeStamp;
  const all = groups.peek().flatMap((group) => group.bindings);
  const hit =
    all.findLast((binding) => binding.run && binding.keys === pair) ??
    all.findLast((binding) => binding.run && binding.keys === event.key);
  if (!hit) return;
  event.preventDefault();
  first = '';
  hit.run?.();
}

/** Puts the cursor into the page's own filter. */
export function focusFilter(): void {
  const filter = document.querySelector<HTMLInputElement>('main [data-filter]');
  filter?.focus();
  filter?.select();
}
