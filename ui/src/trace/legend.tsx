/** The services of the trace: a click brings one to the fore, with Alt hides it. */

import type { Signal } from '@preact/signals';
import { formatCount, plural } from '../kit/format';
import { setParams } from '../kit/url';
import { Swatch } from '../theme/swatch';
import type { Trace } from './model';

interface LegendProps {
  trace: Trace;
  slots: Uint16Array;
  focus: Signal<number>;
  /** Names with commas between, as in the address. */
  hidden: string;
}

export function Legend({ trace, slots, focus, hidden }: LegendProps) {
  const names = hidden.split(',').filter(Boolean);
  const press = (event: MouseEvent, service: number, name: string) => {
    if (!event.altKey) {
      focus.value = focus.value === service ? -1 : service;
      return;
    }
    const next = names.includes(name) ? names.filter((other) => other !== name) : [...names, name];
    setParams({ hide: next.join(',') });
  };
  return (
    <div class="legend">
      {trace.services.map((name, service) => {
        const spans = trace.perService[service]!;
        if (spans === 0) return null;
        return (
          <button
            key={name}
            type="button"
            class={names.includes(name) ? 'off' : undefined}
            aria-pressed={focus.value === service}
            title="Click to bring to the fore, Alt-click to hide"
            onClick={(event) => press(event, service, name)}
          >
            <Swatch slot={slots[service]!} />
            {name || 'unknown service'} <span class="faint">{formatCount(spans)}</span>
          </button>
        );
      })}
      {names.length > 0 && (
        <button type="button" class="link" onClick={() => setParams({ hide: null })}>
          {plural(names.length, 'service')} hidden, show
        </button>
      )}
    </div>
  );
}
