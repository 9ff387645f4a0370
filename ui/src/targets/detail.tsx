/** What an opened target shows: its last scrapes, how it is asked, its labels before and after relabelling, its losses. */

import type { ComponentChildren } from 'preact';
import {
  formatAge,
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
  formatIn,
  plural,
} from '../kit/format';
import { now } from '../kit/screen';
import {
  budgetFacts,
  clockWords,
  isClockFar,
  isFilling,
  logWords,
  longPollWords,
  scrapesWords,
} from './asking';
import { joinLosses, reasonWords } from './loss';
import type { Labels, Target } from './model';

/** Windows this close are told as one. */
const JOIN_MS = 1000;

export function TargetDetail({ target, skewMs }: { target: Target; skewMs: number }) {
  return (
    <div class="detail" role="row">
      <div class="detail-columns" role="cell">
        <Part title="Last scrapes" note={`every ${target.interval}, given up after ${target.timeout}`}>
          <Scrapes target={target} />
        </Part>
        <Part title="How it is asked">
          <Asking target={target} skewMs={skewMs} />
        </Part>
        <Part title="Labels" note="kept, then what relabelling took away">
          <LabelSteps before={target.discoveredLabels} after={target.labels} />
        </Part>
        <Part title="Account">
          <Account target={target} skewMs={skewMs} />
        </Part>
      </div>
    </div>
  );
}

function Part({ title, note, children }: { title: string; note?: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keys.
    <section tabIndex={0} aria-label={title}>
      <h2>
        {title} {note && <span>{note}</span>}
      </h2>
      {children}
    </section>
  );
}

function Scrapes({ target }: { target: Target }) {
  if (target.lastScrapeMs === null) return <p class="muted">Not scraped yet.</p>;
  return (
    <table class="scrapes">
      <thead>
        <tr>
          <th>At</th>
          <th>Status</th>
          <th class="num">Took</th>
          <th class="num">Spans</th>
          <th class="num">Bytes</th>
          <th>Next</th>
        </tr>
      </thead>
      <tbody>
        {target.recent.toReversed().map((scrape) => (
          <tr
            key={scrape.at}
            class={scrape.error ? 'error-text' : undefined}
            title={scrape.error ?? undefined}
          >
            <td>{formatClock(new Date(scrape.at))}</td>
            <td class="outcome">
              {scrape.error ?? scrape.status}
              {scrape.early && <span class="faint"> early</span>}
            </td>
            <td class="num">{formatDuration(scrape.tookSeconds * 1e6)}</td>
            <td class="num">{formatCount(scrape.spans)}</td>
            <td class="num">{formatBytes(scrape.bytes)}</td>
            <td title={scrape.cursor ?? undefined}>{shortCursor(scrape.cursor)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Enough of the epoch to see that it is another. */
function shortCursor(cursor: string | null): string {
  return cursor?.replace(/^(.{4}).*:/, '$1…:') ?? '';
}

/** What is asked when, what the target says of itself, and how that went. */
function Asking({ target, skewMs }: { target: Target; skewMs: number }) {
  const { lastFailure, log, longPoll } = target;
  const filling = isFilling(target);
  return (
    <dl class="pairs words">
      <Fact name="next scrape" value={<Until at={target.nextScrapeMs} skewMs={skewMs} />} />
      {target.nextPullMs !== null && (
        <Fact
          name="before that"
          value={
            <>
              <Until at={target.nextPullMs} skewMs={skewMs} />, for its log fills
            </>
          }
        />
      )}
      {longPoll !== 'no' && (
        <Fact name="long poll" value={longPollWords(longPoll)} warn={longPoll === 'refused'} />
      )}
      {target.earlyPulls > 0 && <Fact name="spans came early" value={plural(target.earlyPulls, 'time')} />}
      {log && <Fact name="its log" value={logWords(target)} />}
      {log?.lastsSeconds != null && (
        <Fact name="lasts for" value={formatDuration(log.lastsSeconds * 1e6)} warn={filling} />
      )}
      {budgetFacts(target).map(([name, value]) => (
        <Fact key={name} name={name} value={value} />
      ))}
      {target.clockOffsetNs !== null && (
        <Fact name="its clock" value={clockWords(target)} warn={isClockFar(target)} />
      )}
      <Fact name="scrapes" value={scrapesWords(target)} />
      {lastFailure && (
        <Fact
          name="last failure"
          value={
            <>
              <Since at={lastFailure.atMs} skewMs={skewMs} />: {lastFailure.error}
            </>
          }
        />
      )}
    </dl>
  );
}

/** These two read the second hand themselves. */
function Until({ at, skewMs }: { at: number | null; skewMs: number }) {
  return <>{at === null ? 'not known yet' : formatIn(at - skewMs - now.value)}</>;
}

function Since({ at, skewMs }: { at: number; skewMs: number }) {
  return <>{formatAge(now.value - (at - skewMs))}</>;
}

/** Kept labels first; then what discovery said and relabelling took away. */
function LabelSteps({ before, after }: { before: Labels; after: Labels }) {
  const kept = Object.entries(after);
  const gone = Object.entries(before).filter(([name]) => !(name in after));
  return (
    <dl class="pairs">
      {kept.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value}
            {before[name] === undefined && <span class="note">set by relabelling</span>}
            {before[name] !== undefined && before[name] !== value && (
              <span class="note">was {before[name]}</span>
            )}
          </dd>
        </div>
      ))}
      {gone.map(([name, value]) => (
        <div key={name} class="gone">
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Account({ target, skewMs }: { target: Target; skewMs: number }) {
  const reasons = Object.entries(target.lostByReason).filter(([, spans]) => spans > 0);
  const spells = joinLosses(target.lossWindows, JOIN_MS).toReversed();
  const ago = (ms: number | null) => (ms === null ? 'never' : formatAge(Date.now() + skewMs - ms));
  return (
    <dl class="pairs">
      <Fact name="received" value={`${formatCount(target.received)} spans`} />
      <Fact name="last span" value={ago(target.lastSpanMs)} />
      <Fact
        name="lost"
        value={target.lost > 0 ? `${formatCount(target.lost)} spans` : 'none'}
        warn={target.lost > 0}
      />
      {reasons.map(([reason, spans]) => (
        <Fact key={reason} name={reasonWords([reason])} value={formatCount(spans)} warn />
      ))}
      {spells.map(({ fromMs, toMs, spans, reasons }) => (
        <Fact
          key={fromMs}
          name="between"
          value={`${formatClock(new Date(fromMs))} and ${formatClock(new Date(toMs))}: ${formatCount(spans)} ${reasonWords(reasons)}`}
          warn
        />
      ))}
      <Fact name="restarts seen" value={formatCount(target.restarts)} />
      <Fact name="cursor" value={target.cursor ?? 'none'} />
    </dl>
  );
}

interface FactProps {
  name: string;
  value: ComponentChildren;
  warn?: boolean;
}

function Fact({ name, value, warn = false }: FactProps) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={warn ? 'warn-text' : undefined}>{value}</dd>
    </div>
  );
}
