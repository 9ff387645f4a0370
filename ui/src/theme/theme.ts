/** Light or dark: the system's choice, unless a cookie says otherwise. */

import { computed, effect, signal } from '@preact/signals';
import { basePath } from '../kit/url';
import type { Theme } from './palette';

const system = matchMedia('(prefers-color-scheme: dark)');
const systemTheme = signal<Theme>(system.matches ? 'dark' : 'light');
system.addEventListener('change', () => {
  systemTheme.value = system.matches ? 'dark' : 'light';
});

function readCookie(): Theme | null {
  const match = /(?:^|;\s*)theme=(light|dark)(?:;|$)/.exec(document.cookie);
  return match ? (match[1] as Theme) : null;
}

const chosen = signal<Theme | null>(readCookie());

export const theme = computed<Theme>(() => chosen.value ?? systemTheme.value);

// The server writes the attribute too, so that the first paint is already right.
effect(() => {
  if (chosen.value) document.documentElement.dataset.theme = chosen.value;
});

export function toggleTheme(): void {
  chosen.value = theme.value === 'dark' ? 'light' : 'dark';
  // biome-ignore lint/suspicious/noDocumentCookie: the server reads it, and the Cookie Store API is not everywhere.
  document.cookie = `theme=${chosen.value};path=${basePath};max-age=31536000;samesite=lax`;
}
