/** The menu of times: the usual ones, and any two moments. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { formatMoment } from '../kit/format';
import { DEFAULT_FROM, PRESETS, readRange } from './range';

interface RangeMenuProps {
  from: string;
  to: string;
  set: (from: string | null, to: string | null) => void;
}

/** `YYYY-MM-DDTHH:MM:SS` in local time, as the inputs have it. */
function local(ms: number): string {
  return formatMoment(new Date(ms)).slice(0, 19).replace(' ', 'T');
}

export function RangeMenu({ from, to, set }: RangeMenuProps) {
  const menu = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    const away = (event: Event) => {
      if (!menu.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', away);
    return () => document.removeEventListener('pointerdown', away);
  }, [open]);
  const preset =
    !to || to === 'now' ? PRESETS.find((candidate) => candidate.from === (from || DEFAULT_FROM)) : undefined;
  const range = readRange(from, to, Date.now());
  const choose = (newFrom: string | null, newTo: string | null) => {
    setOpen(false);
    set(newFrom, newTo);
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const moments = ['from', 'to'].map((name) => new Date(String(form.get(name))));
    if (moments.some((moment) => Number.isNaN(moment.getTime()))) return;
    choose(moments[0]!.toISOString(), moments[1]!.toISOString());
  };
  return (
    <div
      class="range"
      ref={menu}
      role="group"
      aria-label="Time"
      onKeyDown={(event) => event.key === 'Escape' && setOpen(false)}
    >
      <button
        type="button"
        class="btn"
        aria-haspopup="true"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        {preset?.name ?? describe(range.fromMs, range.toMs)}
      </button>
      {open && (
        <div class="range-menu">
          <ul>
            {PRESETS.map((candidate) => (
              <li key={candidate.from}>
                <button
                  type="button"
                  aria-pressed={candidate === preset}
                  onClick={() => choose(candidate.from === DEFAULT_FROM ? null : candidate.from, null)}
                >
                  {candidate.name}
                </button>
              </li>
            ))}
          </ul>
          <form onSubmit={submit}>
            <label>
              From
              <input
                class="field"
                type="datetime-local"
                name="from"
                step="1"
                defaultValue={local(range.fromMs)}
              />
            </label>
            <label>
              To
              <input
                class="field"
                type="datetime-local"
                name="to"
                step="1"
                defaultValue={local(range.toMs)}
              />
            </label>
            <button type="submit" class="btn">
              Use these
            </button>
          </form>
        </div>
      )}
    </div>
  );
}

function describe(fromMs: number, toMs: number): string {
  const [from, to] = [formatMoment(new Date(fromMs)), formatMoment(new Date(toMs))];
  const day = from.slice(0, 10) === to.slice(0, 10) ? to.slice(11, 16) : to.slice(5, 16);
  return `${from.slice(5, 16)} – ${day}`;
}
