/** Ctrl K: to a trace by its id, to a service's traces, or to a page. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { fetchServices } from '../api/zipkin';
import { go } from '../kit/url';
import { quote } from '../search/query';
import { parseFilter } from '../targets/filter';
import { toggleTheme } from '../theme/theme';
import { openHelp } from './help';
import { PAGES } from './pages';
import { targets } from './status';

interface Offer {
  kind: string;
  text: string;
  run: () => void;
}

const LIMIT = 12;

const open = signal(false);
const typed = signal('');
const chosen = signal(0);
const services = signal<string[]>([]);

export function openOmnibox(): void {
  typed.value = '';
  chosen.value = 0;
  open.value = true;
  fetchServices().then(
    (names) => {
      services.value = names;
    },
    () => {
      // Without the list one can still go to a trace or a page; Search itself will tell of the failure.
    },
  );
}

document.addEventListener('keydown', (event) => {
  if (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey) && !event.altKey) {
    event.preventDefault();
    openOmnibox();
  }
});

/** A trace id: up to 32 hexadecimal digits, and enough of them not to be a word. */
export function readTraceId(text: string): string | null {
  const id = text.trim().toLowerCase();
  return /^[0-9a-f]{1,32}$/.test(id) && (id.length >= 12 || /^\d+$/.test(id)) ? id : null;
}

function offers(text: string): Offer[] {
  const wanted = text.trim().toLowerCase();
  const list: Offer[] = [];
  const traceId = readTraceId(text);
  if (traceId) list.push({ kind: 'Trace', text: traceId, run: () => go(`/zipkin/traces/${traceId}`) });
  const actions: Offer[] = [
    ...PAGES.map(({ name, path }) => ({ kind: 'Page', text: name, run: () => go(path) })),
    ...services.value.map((name) => ({
      kind: 'Service',
      text: name,
      run: () => go('/zipkin/', { q: `service=${quote(name)}` }),
    })),
    { kind: 'Action', text: 'Switch theme', run: toggleTheme },
    { kind: 'Action', text: 'Show keys', run: openHelp },
  ];
  if (wanted.length >= 2) actions.push(...targetOffers(wanted));
  return list
    .concat(actions.filter((offer) => offer.kind === 'Target' || offer.text.toLowerCase().includes(wanted)))
    .slice(0, LIMIT);
}

/** Targets by their address or a label, such as the name of a pod. */
function targetOffers(wanted: string): Offer[] {
  const all = targets.state.peek().data?.targets ?? [];
  const hits = all.filter((target) => parseFilter(wanted).match(target));
  return hits.slice(0, LIMIT).map((target) => {
    const host = target.url.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '');
    const text = [target.labels.pod ?? target.labels.job, host].filter(Boolean).join(' ');
    return { kind: 'Target', text, run: () => go('/targets', { q: host }) };
  });
}

export function Omnibox() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open.value) dialog.current?.showModal();
  }, [open.value]);
  if (!open.value) return null;
  const list = offers(typed.value);
  const close = () => {
    open.value = false;
  };
  const take = (offer: Offer | undefined) => {
    if (!offer) return;
    close();
    offer.run();
  };
  const press = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step) chosen.value = (chosen.value + step + list.length) % Math.max(1, list.length);
    else if (event.key === 'Enter') take(list[chosen.value]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog class="sheet omnibox" ref={dialog} aria-label="Jump to" onClose={close} closedby="any">
      <input
        role="combobox"
        aria-label="Trace ID, service, target or page"
        aria-expanded="true"
        aria-controls="omnibox-list"
        aria-activedescendant={list.length ? `omnibox-${chosen.value}` : undefined}
        placeholder="Trace ID, service, target or page"
        autocomplete="off"
        spellcheck={false}
        value={typed.value}
        onInput={(event) => {
          typed.value = event.currentTarget.value;
          chosen.value = 0;
        }}
        onKeyDown={press}
      />
      <ul id="omnibox-list" role="listbox" aria-label="Offers">
        {list.map((offer, index) => (
          <li
            key={`${offer.kind} ${offer.text}`}
            id={`omnibox-${index}`}
            role="option"
            aria-selected={index === chosen.value}
            onMouseDown={(event) => {
              event.preventDefault();
              take(offer);
            }}
          >
            <span class="kind">{offer.kind}</span>
            <span class={offer.kind === 'Trace' ? 'mono' : undefined}>{offer.text}</span>
          </li>
        ))}
      </ul>
      {list.length === 0 && (
        <p class="muted">Nothing is called “{typed.value}”. A trace ID has 16 or 32 hexadecimal digits.</p>
      )}
    </dialog>
  );
}
