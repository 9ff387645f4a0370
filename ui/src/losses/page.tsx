/** Losses: the account of all spans, and when, where and why some were lost. */

import { useMemo } from 'preact/hooks';
import { formatClock, formatCount, formatShare, plural } from '../kit/format';
import { Empty, Failure, Skeleton, Stale } from '../kit/states';
import { href } from '../kit/url';
import { VirtualRows } from '../kit/virtual';
import { targets as resource } from '../shell/status';
import { reasonWords } from '../targets/loss';
import type { Target } from '../targets/model';
import { type Account, spellsOf, type TargetSpell, totalAccount, UNEXPLAINED } from './account';
import './losses.css';

const JOIN_MS = 1000;
const ROW_PX = 36;

export function LossesPage() {
  const { data, error, at } = resource.state.value;
  return (
    <>
      <Stale error={data ? error : null} at={at} />
      <div class="page scroll losses">
        <header>
          <div>
            <h1>Losses</h1>
            <p class="lead">
              What became of the spans that targets finished, since this server first asked each of them.
            </p>
          </div>
        </header>
        {data ? (
          <Body targets={data.targets} />
        ) : error ? (
          <Failure error={error} retry={() => resource.refresh()} />
        ) : (
          <Skeleton />
        )}
      </div>
    </>
  );
}

function Body({ targets }: { targets: readonly Target[] }) {
  const account = useMemo(() => totalAccount(targets), [targets]);
  const spells = useMemo(() => spellsOf(targets, JOIN_MS), [targets]);
  if (account.lost === 0) {
    return (
      <Empty title="No span lost">
        <p class="muted">
          {plural(account.received, 'span')} accounted for, of {plural(targets.length, 'target')}.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <Law account={account} />
      {spells.length > 0 && <Spells spells={spells} />}
      <Forgotten spans={account.lost - spells.reduce((sum, spell) => sum + spell.spans, 0)} />
    </>
  );
}

/** The server counts every loss and keeps the latest windows. */
function Forgotten({ spans }: { spans: number }) {
  if (spans <= 0) return null;
  return <p class="muted older">When another {plural(spans, 'span')} were lost is no longer kept.</p>;
}

/** One bar that must close: finished = received + lost, for each reason. */
function Law({ account }: { account: Account }) {
  const finished = account.received + account.lost;
  const reasons = [...account.byReason].sort((a, b) => b[1] - a[1]);
  return (
    <section class="law">
      <p>
        <b>{formatCount(finished)}</b> finished = <b>{formatCount(account.received)}</b> received
        {reasons.map(([reason, spans]) => (
          <span key={reason}>
            {' + '}
            <b class={reason === UNEXPLAINED ? 'error-text' : 'warn-text'}>{formatCount(spans)}</b>{' '}
            {reasonWords([reason])}
          </span>
        ))}
      </p>
      <div
        class="law-bar"
        role="img"
        aria-label={`${formatShare(account.lost / finished)} of all spans lost`}
      >
        <i class="received" style={{ flexGrow: account.received }} />
        {reasons.map(([reason, spans]) => (
          <i
            key={reason}
            class={reason === UNEXPLAINED ? 'unexplained' : 'lost'}
            style={{ flexGrow: spans }}
            title={reasonWords([reason])}
          />
        ))}
      </div>
      <p class="muted">{formatShare(account.lost / finished)} lost.</p>
    </section>
  );
}

function Spells({ spells }: { spells: readonly TargetSpell[] }) {
  const heights = useMemo(() => new Uint8Array(spells.length).fill(ROW_PX), [spells]);
  return (
    <div role="table" aria-label="Loss windows" aria-rowcount={spells.length}>
      <div role="row" class="grid-row grid-head">
        <span role="columnheader">Target</span>
        <span role="columnheader">When</span>
        <span role="columnheader" class="num">
          Spans
        </span>
        <span role="columnheader">Why</span>
        <span role="columnheader">Traces of that time</span>
      </div>
      <VirtualRows heights={heights}>
        {(at) => {
          const { target, fromMs, toMs, spans, reasons } = spells[at]!;
          const host = target.labels.instance ?? target.url;
          const job = target.labels.job ?? target.pool;
          const range = { from: new Date(fromMs).toISOString(), to: new Date(toMs + 1).toISOString() };
          return (
            <div key={`${target.key} ${fromMs}`} role="row" class="grid-row spell">
              <span role="cell">
                <a href={href('/targets', { q: host })}>
                  <b>{job}</b> <span class="mono muted">{target.labels.pod ?? host}</span>
                </a>
              </span>
              <span role="cell">
                {formatClock(new Date(fromMs))}–{formatClock(new Date(toMs))}
              </span>
              <span role="cell" class="num warn-text">
                {formatCount(spans)}
              </span>
              <span role="cell">{reasonWords(reasons)}</span>
              <span role="cell">
                <a class="link" href={href('/zipkin/', range)}>
                  Show
                </a>
              </span>
            </div>
          );
        }}
      </VirtualRows>
    </div>
  );
}
