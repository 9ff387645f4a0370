/** The width of the screen, and the passing of seconds, as signals. */

import { signal } from '@preact/signals';

const query = matchMedia('(max-width: 900px)');

/** Too narrow for tables in columns. */
export const narrow = signal(query.matches);
query.addEventListener('change', () => {
  narrow.value = query.matches;
});

/** This browser's clock, once a second while somebody looks. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
