/** One row of Targets: a group, a note about it, or a target. */

import { Label } from '../kit/copy';
import { formatAge, formatClock, formatCount, formatDuration, formatOffset } from '../kit/format';
import { Chevron } from '../kit/icons';
import { narrow, now } from '../kit/screen';
import { asideOf, isClockFar } from './asking';
import { failingHeight } from './failing';
import type { State, Target } from './model';
import { answers, type Row, stateClass, stateWords } from './rows';
import { Sparkline } from './sparkline';

const GROUP_PX = 30;
const TARGET_PX = 36;
const ERROR_PX = 24;
const NARROW_TARGET_PX = 78;
/** As in targets.css. */
export const DETAIL_PX = 330;
const NARROW_DETAIL_PX = 1080;

/** The list must know a row's height before it draws it. */
export function rowHeight(row: Row, isNarrow: boolean): number {
  if (row.kind === 'group') return GROUP_PX;
  if (row.kind === 'note') return ERROR_PX + 6;
  if (row.kind === 'failing') return failingHeight(isNarrow);
  if (row.kind === 'detail') return isNarrow ? NARROW_DETAIL_PX : DETAIL_PX;
  return (isNarrow ? NARROW_TARGET_PX : TARGET_PX) + (row.target.lastError ? ERROR_PX : 0);
}

export function GroupRow({ row, toggle }: { row: Extract<Row, { kind: 'group' }>; toggle: () => void }) {
  return (
    <div class="group" role="row">
      <div role="cell">
        <button type="button" aria-expanded={row.open} onClick={toggle}>
          <b>{row.name || 'without this label'}</b>
          <span class="muted">
            {row.up} of {row.states.length} up{row.mechanism && ` · ${row.mechanism}`}
            {row.dropped > 0 && ` · ${formatCount(row.dropped)} dropped`}
          </span>
          <Bar states={row.states} />
        </button>
      </div>
    </div>
  );
}

/** Others are worth a look. That a target is not traced, or not scraped yet, is no fault of its. */
const TONES: Partial<Record<State, string>> = {
  up: 'ok',
  down: 'error',
  'not traced': 'faint',
  unknown: 'faint',
};

/** The share of each state, and each target by itself while they are few. */
function Bar({ states }: { states: Extract<Row, { kind: 'group' }>['states'] }) {
  const good = states.filter((state) => state === 'up').length;
  const bad = states.filter((state) => state === 'down').length;
  const quiet = states.filter((state) => TONES[state] === 'faint').length;
  const parts =
    states.length <= 24
      ? states.map((state) => ({
          tone: TONES[state] ?? 'warn',
          share: 1,
        }))
      : [
          { tone: 'error', share: bad },
          { tone: 'warn', share: states.length - good - bad - quiet },
          { tone: 'faint', share: quiet },
          { tone: 'ok', share: good },
        ];
  return (
    <span class="bar" aria-hidden="true">
      {parts.map(({ tone, share }, index) => (
        <i key={index} style={{ flex: share, background: `var(--${tone})` }} />
      ))}
    </span>
  );
}

interface TargetRowProps {
  target: Target;
  open: boolean;
  current: boolean;
  skewMs: number;
  toggle: () => void;
}

export function TargetRow({ target, open, current, skewMs, toggle }: TargetRowProps) {
  const failing = !answers(target.state);
  // The whole row is a handle for the mouse; by key it is the button in it. Labels are copied by a
  // click, and a selection is no click.
  const toggleUnlessButton = (event: MouseEvent) => {
    const onButton = (event.target as Element).closest('button, a');
    if (!onButton && !window.getSelection()?.toString()) toggle();
  };
  const { host, path } = splitUrl(target.url);
  const labels = Object.entries(target.labels).filter(
    ([name, value]) => !(name === 'job' && value === target.pool) && !(name === 'instance' && value === host),
  );
  return (
    <div class={`target${current ? ' current' : ''}`} role="row" onClick={toggleUnlessButton}>
      <div class="grid-row">
        <div role="cell">
          <button
            type="button"
            class="endpoint mono"
            aria-expanded={open}
            title={target.url}
            onClick={toggle}
          >
            <Chevron open={open} />
            {host}
            <span class="faint">{path}</span>
          </button>
        </div>
        <div role="cell" class="labels">
          {labels.map(([name, value]) => (
            <Label key={name} name={name} value={value} />
          ))}
        </div>
        <div role="cell" class={`state ${stateClass(target.state)}`}>
          <i class={`mark ${stateClass(target.state)}`} />
          {stateWords(target)}
          {!narrow.value && <Beside target={target} skewMs={skewMs} />}
        </div>
        <div role="cell" class="spark">
          {target.state !== 'not traced' && <Sparkline values={target.history} failing={failing} />}
        </div>
        <div role="cell" class="num" data-name="spans/s">
          {target.spansPerSecond > 0 ? formatRate(target.spansPerSecond) : <span class="faint">0</span>}
        </div>
        <div role="cell" class="num" data-name="lost">
          {target.lost > 0 ? (
            <span class="warn-text">{formatCount(target.lost)}</span>
          ) : (
            <span class="faint">0</span>
          )}
        </div>
        <div role="cell" class="num" data-name="scraped">
          {target.lastScrapeMs === null ? (
            <span class="faint">never</span>
          ) : (
            <Age at={target.lastScrapeMs - skewMs} />
          )}
        </div>
        <div role="cell" class="num" data-name="took">
          {target.lastScrapeMs !== null && formatTook(target.tookSeconds)}
        </div>
        <div role="cell" class={`num ${isClockFar(target) ? 'warn-text' : 'muted'}`} data-name="clock">
          {target.clockOffsetNs !== null && !failing && formatOffset(target.clockOffsetNs)}
        </div>
      </div>
      {target.lastError && (
        <p
          class={`scrape-error mono${target.state === 'down' ? '' : ' muted'}`}
          role="cell"
          title={target.lastError}
        >
          {target.lastError}
          {target.failuresInARow > 1 && `, ${formatCount(target.failuresInARow)} in a row`}
          {target.failingSinceMs !== null && ` since ${formatClock(new Date(target.failingSinceMs))}`}
        </p>
      )}
    </div>
  );
}

/** What is out of the ordinary in how it is asked. */
function Beside({ target, skewMs }: { target: Target; skewMs: number }) {
  // Only a failure grows old, and few targets have one: others need no second hand.
  const at = target.lastFailure ? now.value : 0;
  const aside = asideOf(target, at + skewMs);
  if (!aside) return null;
  return (
    <span class={`aside${aside.warn ? ' warn' : ''}`} title={aside.title}>
      {aside.text}
    </span>
  );
}

/** Reads the second hand itself, so that a passing second renders ages and nothing else. */
function Age({ at }: { at: number }) {
  return <>{formatAge(now.value - at)}</>;
}

function formatRate(rate: number): string {
  return rate < 10 ? rate.toFixed(1) : formatCount(Math.round(rate));
}

function formatTook(seconds: number): string {
  const ms = seconds * 1000;
  return ms < 1 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : formatDuration(ms * 1000);
}

function splitUrl(url: string): { host: string; path: string } {
  const match = /^[a-z]+:\/\/([^/?#]+)(.*)$/i.exec(url);
  return match ? { host: match[1]!, path: match[2]! } : { host: url, path: '' };
}

export function NoteRow({ text }: { text: string }) {
  return (
    <div class="note-row mono" role="row" title={text}>
      <span role="cell">{text}</span>
    </div>
  );
}
