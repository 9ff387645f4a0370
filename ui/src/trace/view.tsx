/** A loaded trace: header, tabs, minimap, legend, waterfall or another view, and the side panel. */

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { copyText } from '../kit/copy';
import { formatCount, plural } from '../kit/format';
import { useKeys } from '../kit/keys';
import { param, setParams } from '../kit/url';
import { assignColours } from '../theme/palette';
import { theme } from '../theme/theme';
import type { View } from './axis';
import { criticalPath } from './critical';
import { find } from './find';
import { TraceHeader } from './header';
import { JsonView } from './json';
import { Legend } from './legend';
import { Minimap } from './minimap';
import { serviceName, spanName, type Trace } from './model';
import { spanFacts } from './paint';
import { SidePanel } from './side';
import { resolveSpan, spanOf } from './spandata';
import { SpanTable } from './spantable';
import { Waterfall } from './waterfall';

const VIEWS = [
  { view: '', name: 'Waterfall' },
  { view: 'spans', name: 'Spans' },
  { view: 'json', name: 'JSON' },
] as const;

interface Tip {
  row: number;
  x: number;
  y: number;
}

/** The address follows the view, but not sixty times a second. */
const ADDRESS_MS = 250;

export function TraceView({ trace }: { trace: Trace }) {
  const waterfallHost = useRef<HTMLDivElement>(null);
  const minimapHost = useRef<HTMLDivElement>(null);
  const waterfall = useRef<Waterfall | null>(null);
  const minimap = useRef<Minimap | null>(null);
  const selected = useSignal(-1);
  const tip = useSignal<Tip | null>(null);
  const following = useSignal(false);
  const focus = useSignal(-1);
  const slots = useMemo(() => colourSlots(trace), [trace]);
  const view = param('view');
  const findText = param('find');
  const hidden = param('hide');
  const found = useMemo(() => find(trace, findText), [trace, findText]);

  useEffect(() => {
    if (!waterfallHost.current || !minimapHost.current) return;
    const address = debounce((shown: View) => setParams({ t: writeTime(trace, shown) }), ADDRESS_MS);
    const chart = new Waterfall(waterfallHost.current, trace, slots, theme.peek(), {
      select: (row) => {
        selected.value = row;
      },
      hover: (row, x, y) => {
        tip.value = row < 0 ? null : { row, x, y };
      },
      view: (shown) => {
        minimap.current?.setView(shown);
        if (!following.peek()) address(shown);
      },
      follow: (on) => {
        following.value = on;
      },
    });
    waterfall.current = chart;
    minimap.current = new Minimap(minimapHost.current, trace, slots, theme.peek(), (shown) =>
      chart.setView(shown),
    );
    const time = readTime(param('t'));
    if (time) chart.setView(time);
    chart.focus();
    void document.fonts.ready.then(() => chart.fontsLoaded());
    // After the first paint: it is not needed to see the trace.
    const later = setTimeout(() => chart.setCritical(criticalPath(trace)), 50);
    let gone = false;
    void resolveSpan(trace, param('span'), Number(param('row') || -1)).then((row) => {
      if (!gone && row >= 0) chart.select(row);
    });
    return () => {
      gone = true;
      clearTimeout(later);
      address.cancel();
      chart.destroy();
      minimap.current?.destroy();
    };
  }, [trace]);

  useEffect(() => {
    waterfall.current?.setTheme(theme.value);
    minimap.current?.setTheme(theme.value);
  }, [theme.value]);
  useEffect(() => waterfall.current?.setMarks(found?.marks ?? null), [found]);
  useEffect(() => waterfall.current?.setFocus(focus.value), [focus.value]);
  useEffect(() => {
    const names = new Set(hidden.split(',').filter(Boolean));
    if (names.size === 0 && !hidden) waterfall.current?.hideServices([]);
    else
      waterfall.current?.hideServices(
        trace.services.flatMap((name, index) => (names.has(name) ? [index] : [])),
      );
  }, [hidden]);
  useEffect(() => writeSelection(trace, selected.value), [selected.value]);

  useTraceKeys(waterfall);

  const select = (row: number) => waterfall.current?.select(row);
  return (
    <>
      <TraceHeader trace={trace} />
      <div class="tabs">
        <div role="tablist" aria-label="Views" class="tablist">
          {VIEWS.map((tab) => (
            <button
              key={tab.view}
              type="button"
              role="tab"
              aria-selected={tab.view === view}
              onClick={() => setParams({ view: tab.view || null })}
            >
              {tab.name}
            </button>
          ))}
        </div>
        <span class="find">
          <span class="count" aria-live="polite">
            {found ? `${formatCount(found.count)} found` : ''}
          </span>
          {view === '' && (
            <button
              type="button"
              class="btn"
              aria-pressed={following.value}
              title="The time axis follows the rows on screen (z)"
              onClick={() => waterfall.current?.toggleFollow()}
            >
              Time follows rows
            </button>
          )}
          <input
            class="field"
            data-filter
            placeholder="Find in trace   /"
            aria-label="Find in trace: service or operation"
            value={findText}
            spellcheck={false}
            onInput={(event) => setParams({ find: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key === 'Enter') waterfall.current?.nextMark(event.shiftKey ? -1 : 1);
              if (event.key === 'Escape') waterfall.current?.focus();
            }}
          />
        </span>
      </div>
      <div class="minimap" ref={minimapHost} />
      <Legend trace={trace} slots={slots} focus={focus} hidden={hidden} />
      <div class="trace-body">
        <div class="waterfall" ref={waterfallHost} hidden={view !== ''} />
        {view === 'spans' && (
          <SpanTable
            trace={trace}
            slots={slots}
            marks={found?.marks ?? null}
            selected={selected.value}
            select={select}
          />
        )}
        {view === 'json' && <JsonView trace={trace} />}
        {selected.value >= 0 && (
          <SidePanel trace={trace} row={selected.value} slots={slots} select={select} />
        )}
      </div>
      <Foot trace={trace} />
      {tip.value && <TipBox trace={trace} tip={tip.value} />}
    </>
  );
}

function useTraceKeys(waterfall: { current: Waterfall | null }): void {
  const run = (act: (chart: Waterfall) => void) => () => {
    if (waterfall.current) act(waterfall.current);
  };
  const hidden = (keys: string, act: (chart: Waterfall) => void) => ({ keys, does: '', run: run(act) });
  useKeys('Trace', [
    { keys: 'ArrowDown', does: 'next row', run: run((chart) => chart.step(1)) },
    { keys: 'ArrowUp', does: 'previous row', run: run((chart) => chart.step(-1)) },
    { keys: 'ArrowLeft', does: 'fold, or to the parent', run: run((chart) => chart.outward()) },
    { keys: 'ArrowRight', does: 'unfold, or into it', run: run((chart) => chart.inward()) },
    { keys: 'Home', does: 'first row', run: run((chart) => chart.edge('first')) },
    { keys: 'End', does: 'last row', run: run((chart) => chart.edge('last')) },
    { keys: 'w', does: 'zoom in', run: run((chart) => chart.zoom(0.7)) },
    { keys: 's', does: 'zoom out', run: run((chart) => chart.zoom(1.4)) },
    { keys: 'a', does: 'earlier', run: run((chart) => chart.pan(-0.2)) },
    { keys: 'd', does: 'later', run: run((chart) => chart.pan(0.2)) },
    { keys: 'f', does: 'fit the span', run: run((chart) => chart.fitSelected()) },
    { keys: '0', does: 'the whole trace', run: run((chart) => chart.showAll()) },
    { keys: 'e', does: 'next error', run: run((chart) => chart.nextError(1)) },
    { keys: 'E', does: 'previous error', run: run((chart) => chart.nextError(-1)) },
    { keys: 'n', does: 'next find', run: run((chart) => chart.nextMark(1)) },
    { keys: 'N', does: 'previous find', run: run((chart) => chart.nextMark(-1)) },
    { keys: 'c', does: 'critical path', run: run((chart) => chart.toggleCritical()) },
    { keys: 'z', does: 'time follows rows', run: run((chart) => chart.toggleFollow()) },
    { keys: '[', does: 'fold all', run: run((chart) => chart.foldAll()) },
    { keys: ']', does: 'unfold all', run: run((chart) => chart.unfoldAll()) },
    { keys: 'v', does: 'next view', run: nextView },
    { keys: 'y', does: 'copy the link', run: () => void copyText(window.location.href) },
    { keys: 'Escape', does: 'close the panel', run: run((chart) => chart.select(-1)) },
    hidden('j', (chart) => chart.step(1)),
    hidden('k', (chart) => chart.step(-1)),
    hidden('h', (chart) => chart.outward()),
    hidden('l', (chart) => chart.inward()),
  ]);
}

function nextView(): void {
  const at = VIEWS.findIndex(({ view }) => view === param('view'));
  setParams({ view: VIEWS[(at + 1) % VIEWS.length]!.view || null });
}

/** Only services with spans are drawn, so only they take part in who gets which colour. */
function colourSlots(trace: Trace): Uint16Array {
  const drawn = trace.services.map((_, index) => index).filter((index) => trace.perService[index]! > 0);
  const colours = assignColours(drawn.map((index) => trace.services[index]!));
  const slots = new Uint16Array(trace.services.length);
  drawn.forEach((index, place) => {
    slots[index] = colours[place]!;
  });
  return slots;
}

/** `t=from-to` in microseconds from the start, or nothing for the whole trace. */
function writeTime(trace: Trace, { from, to }: View): string | null {
  if (from <= trace.from && to >= trace.to) return null;
  return `${Math.round(from)}-${Math.round(to)}`;
}

function readTime(text: string): View | null {
  const match = /^(-?\d+)-(-?\d+)$/.exec(text);
  if (!match) return null;
  const view = { from: Number(match[1]), to: Number(match[2]) };
  return view.to > view.from ? view : null;
}

/** The id is what a link means; the row is where to look for it first. */
function writeSelection(trace: Trace, row: number): (() => void) | undefined {
  if (row < 0) {
    if (param('row')) setParams({ span: null, row: null });
    return;
  }
  let gone = false;
  spanOf(trace, row).then(
    ({ span }) => {
      if (!gone) setParams({ span: span.id, row });
    },
    () => {
      // The side panel tells of it.
    },
  );
  return () => {
    gone = true;
  };
}

function debounce<T>(run: (value: T) => void, ms: number): ((value: T) => void) & { cancel: () => void } {
  let timer = 0;
  const later = (value: T) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => run(value), ms);
  };
  return Object.assign(later, { cancel: () => clearTimeout(timer) });
}

function TipBox({ trace, tip }: { trace: Trace; tip: Tip }) {
  const left = Math.min(tip.x + 14, window.innerWidth - 320);
  const top = Math.min(tip.y + 16, window.innerHeight - 80);
  return (
    <div class="tip" style={{ left: `${left}px`, top: `${top}px` }}>
      <b>{serviceName(trace, tip.row)}</b> {spanName(trace, tip.row)}
      <div class="mono muted">{spanFacts(trace, tip.row)}</div>
    </div>
  );
}

const FOOT_KEYS: readonly [string[], string][] = [
  [['↑', '↓'], 'move'],
  [['←', '→'], 'fold'],
  [['W', 'A', 'S', 'D'], 'zoom, pan'],
  [['F'], 'fit span'],
  [['E'], 'next error'],
  [['C'], 'critical path'],
  [['Z'], 'follow'],
  [['/'], 'find'],
  [['?'], 'all keys'],
];

function Foot({ trace }: { trace: Trace }) {
  return (
    <div class="trace-foot" aria-hidden="true">
      {FOOT_KEYS.map(([keys, does]) => (
        <span key={does}>
          {keys.map((key) => (
            <kbd key={key}>{key}</kbd>
          ))}
          {does}
        </span>
      ))}
      <span class="push">{plural(trace.count, 'span')}</span>
    </div>
  );
}
