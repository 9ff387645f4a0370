/** Relabelling rule by rule, in a sheet over the page: what each changed, and what is left. */

import { useEffect, useRef } from 'preact/hooks';
import { fetchSteps } from '../api/discovery';
import { plural } from '../kit/format';
import { CloseIcon } from '../kit/icons';
import { useResource } from '../kit/load';
import { Failure, Skeleton } from '../kit/states';
import type { Change, Found, Rule, Step } from './model';

export function StepsSheet({ found, close }: { found: Found; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const resource = useResource(`${found.pool} ${found.key}`, (abort) =>
    fetchSteps(found.pool, found.discovered, abort),
  );
  useEffect(() => dialog.current?.showModal(), []);
  const { data, error } = resource.state.value;
  return (
    <dialog class="sheet steps" ref={dialog} aria-label="Relabelling" onClose={close} closedby="any">
      <header>
        <h2>
          Relabelling of <span class="mono">{found.discovered.__address__ ?? 'no address'}</span>
        </h2>
        <button type="button" class="icon" aria-label="Close" onClick={close}>
          <CloseIcon />
        </button>
      </header>
      <div class="steps-body">
        {data ? (
          <Steps steps={data} found={found} />
        ) : error ? (
          <Failure error={error} retry={() => resource.refresh()} />
        ) : (
          <Skeleton rows={4} />
        )}
      </div>
    </dialog>
  );
}

function Steps({ steps, found }: { steps: readonly Step[]; found: Found }) {
  const last = steps.at(-1);
  if (!last) return <p class="muted">The job {found.pool} has no relabel_configs.</p>;
  const isDropped = !last.keep;
  return (
    <>
      <p class="muted">
        {plural(steps.length, 'rule')} of the job {found.pool}
        {isDropped && ', until one dropped it'}.
      </p>
      <ol>
        {steps.map((step, place) => (
          <li key={place}>
            <RuleText rule={step.rule} />
            <Outcome step={step} />
          </li>
        ))}
      </ol>
      {!isDropped && (
        <section>
          <h3>Labels after the last rule</h3>
          <dl class="pairs">
            {Object.entries(last.output).map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
    </>
  );
}

function RuleText({ rule }: { rule: Rule }) {
  return (
    <pre class="rule mono">
      {rule.map(([key, value]) => (
        <div key={key}>
          <span class="muted">{key}:</span> {value}
        </div>
      ))}
    </pre>
  );
}

function Outcome({ step }: { step: Step }) {
  if (!step.keep)
    return (
      <p class="error-text">
        <i class="mark down" /> dropped
      </p>
    );
  if (step.changes.length === 0) return <p class="faint">no change</p>;
  return (
    <ul class="changes mono">
      {step.changes.map((change) => (
        <ChangeLine key={change.name} change={change} />
      ))}
    </ul>
  );
}

function ChangeLine({ change: { name, before, after } }: { change: Change }) {
  return (
    <li>
      <b class={after === undefined ? 'error-text' : 'ok-text'}>
        {before === undefined ? '+' : after === undefined ? '−' : '~'}
      </b>{' '}
      {name}={before !== undefined && <del>"{before}"</del>}
      {after !== undefined && <ins>"{after}"</ins>}
    </li>
  );
}
