/** One bar: the mark, the pages that exist, the omnibox and the theme. */

import { plural } from '../kit/format';
import { Mark, SearchIcon, ThemeIcon } from '../kit/icons';
import { href } from '../kit/url';
import { toggleTheme } from '../theme/theme';
import { openHelp } from './help';
import { openOmnibox } from './omnibox';
import { PAGES } from './pages';
import { targetsDown } from './status';

export function TopBar({ section }: { section: string }) {
  return (
    <header class="top">
      <a class="brand" href={href('/zipkin/')}>
        <Mark />
        <span>Sigyn</span>
      </a>
      <nav aria-label="Main">
        {PAGES.map(({ name, path }) => (
          <a key={path} href={href(path)} aria-current={path === section ? 'page' : undefined}>
            {name}
            {path === '/targets' && <DownBadge />}
          </a>
        ))}
      </nav>
      <button
        type="button"
        class="jump"
        onClick={openOmnibox}
        title="Jump to a trace, service, target or page"
      >
        <SearchIcon />
        <span>Trace ID, service, target</span>
        <kbd>Ctrl K</kbd>
      </button>
      <button type="button" class="icon" aria-label="Keys" title="Keys (?)" onClick={openHelp}>
        ?
      </button>
      <button type="button" class="icon" aria-label="Switch theme" title="Switch theme" onClick={toggleTheme}>
        <ThemeIcon />
      </button>
    </header>
  );
}

function DownBadge() {
  const down = targetsDown.value;
  if (!down) return null;
  const words = `${plural(down, 'target')} down`;
  return (
    <span class="badge" title={words}>
      <span aria-hidden="true">{down}</span>
      <span class="sr">{words}</span>
    </span>
  );
}
