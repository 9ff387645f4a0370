/** What there is to know of the server itself, in three pages. */

import { href } from '../kit/url';

const TABS = [
  { name: 'Status', path: '/status' },
  { name: 'Configuration', path: '/config' },
  { name: 'Flags', path: '/flags' },
] as const;

export function StatusTabs({ path: current }: { path: (typeof TABS)[number]['path'] }) {
  return (
    <nav class="status-tabs push" aria-label="Status">
      {TABS.map(({ name, path }) => (
        <a key={path} class="btn" href={href(path)} aria-current={path === current ? 'page' : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}
