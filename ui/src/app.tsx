/** The frame around every page, and which page belongs to which path. */

import type { ComponentChildren, ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { focusFilter, useKeys } from './kit/keys';
import { Lazy } from './kit/lazy';
import { Empty } from './kit/states';
import { go, href, place } from './kit/url';
import { SearchPage } from './search/page';
import { KeysHelp, openHelp } from './shell/help';
import { Notifications } from './shell/notifications';
import { Omnibox } from './shell/omnibox';
import { PAGES } from './shell/pages';
import { pollTargets } from './shell/status';
import { TopBar } from './shell/topbar';
import { TargetsPage } from './targets/page';
import { TracePage } from './trace/page';

/** What the pages are called: the server may have put another name here. */
const NAME = document.title;

interface LazyPage {
  title: string;
  /** In which section of the bar it is, if not in its own. */
  section?: string;
  load: () => Promise<ComponentType>;
}

/** Pages that most visits do not need: their code comes when they are opened. */
const LAZY_PAGES: Record<string, LazyPage> = {
  '/zipkin/dependency': { title: 'Map', load: async () => (await import('./map/page')).MapPage },
  '/losses': { title: 'Losses', load: async () => (await import('./losses/page')).LossesPage },
  '/service-discovery': {
    title: 'Service discovery',
    load: async () => (await import('./discovery/page')).DiscoveryPage,
  },
  '/status': { title: 'Status', load: async () => (await import('./status/page')).StatusPage },
  '/config': {
    title: 'Configuration',
    section: '/status',
    load: async () => (await import('./status/config')).ConfigPage,
  },
  '/flags': {
    title: 'Flags',
    section: '/status',
    load: async () => (await import('./status/flags')).FlagsPage,
  },
};

function page(path: string): { title: string; section: string; view: ComponentChildren } {
  if (path === '/' || path === '/zipkin/' || path === '/zipkin') {
    return { title: 'Search', section: '/zipkin/', view: <SearchPage /> };
  }
  if (path === '/targets') return { title: 'Targets', section: '/targets', view: <TargetsPage /> };
  const trace = /^\/zipkin\/traces\/([^/]+)$/.exec(path)?.[1];
  if (trace)
    return {
      title: `Trace ${trace.slice(0, 8)}`,
      section: '/zipkin/',
      view: <TracePage key={trace} id={trace} />,
    };
  const lazy = LAZY_PAGES[path];
  if (lazy)
    return { title: lazy.title, section: lazy.section ?? path, view: <Lazy key={path} load={lazy.load} /> };
  return { title: 'Not found', section: '', view: <NotFound path={path} /> };
}

function NotFound({ path }: { path: string }) {
  return (
    <div class="page scroll">
      <Empty title="There is no such page">
        <p class="muted">
          Nothing is at <span class="mono">{path}</span>. Go to <a href={href('/zipkin/')}>Search</a> or{' '}
          <a href={href('/targets')}>Targets</a>.
        </p>
      </Empty>
    </div>
  );
}

export function App() {
  useKeys('Everywhere', [
    ...PAGES.map(({ name, path, key }) => ({
      keys: `g ${key}`,
      does: name.toLowerCase(),
      run: () => go(path),
    })),
    { keys: '/', does: "the page's filter", run: focusFilter },
    { keys: '?', does: 'these keys', run: openHelp },
    { keys: 'Ctrl K', does: 'jump to a trace, service, target or page' },
    { keys: 'Esc', does: 'close' },
  ]);
  useEffect(() => pollTargets(), []);
  const { title, section, view } = page(place.value.path);
  useEffect(() => {
    document.title = `${title} · ${NAME}`;
  }, [title]);
  return (
    <>
      <button type="button" class="skip" onClick={skipToMain}>
        Skip to the page
      </button>
      <TopBar section={section} />
      <Notifications />
      <main id="main" tabIndex={-1}>
        {view}
      </main>
      <Omnibox />
      <KeysHelp />
    </>
  );
}

// Not a link: with a <base>, a bare fragment would leave the page.
function skipToMain(): void {
  document.getElementById('main')?.focus();
}
