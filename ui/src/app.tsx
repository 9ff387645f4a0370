/** The frame around every page, and which page belongs to which path. */

import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { focusFilter, useKeys } from './kit/keys';
import { Empty } from './kit/states';
import { go, href, place } from './kit/url';
import { SearchPage } from './search/page';
import { KeysHelp, openHelp } from './shell/help';
import { Omnibox } from './shell/omnibox';
import { pollTargets } from './shell/status';
import { TopBar } from './shell/topbar';
import { TargetsPage } from './targets/page';
import { TracePage } from './trace/page';

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
    { keys: 'g s', does: 'search', run: () => go('/zipkin/') },
    { keys: 'g t', does: 'targets', run: () => go('/targets') },
    { keys: '/', does: "the page's filter", run: focusFilter },
    { keys: '?', does: 'these keys', run: openHelp },
    { keys: 'Ctrl K', does: 'jump to a trace, service, target or page' },
    { keys: 'Esc', does: 'close' },
  ]);
  useEffect(() => pollTargets(), []);
  const { title, section, view } = page(place.value.path);
  useEffect(() => {
    document.title = `${title} · Sigyn`;
  }, [title]);
  return (
    <>
      <button type="button" class="skip" onClick={skipToMain}>
        Skip to the page
      </button>
      <TopBar section={section} />
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
