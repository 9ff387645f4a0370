/** The list of keys, of this page and of all. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { CloseIcon } from '../kit/icons';
import { groups } from '../kit/keys';

const open = signal(false);

export function openHelp(): void {
  open.value = true;
}

export function KeysHelp() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open.value) dialog.current?.showModal();
  }, [open.value]);
  if (!open.value) return null;
  const close = () => {
    open.value = false;
  };
  return (
    <dialog class="sheet" ref={dialog} aria-label="Keys" onClose={close} closedby="any">
      <header>
        <h2>Keys</h2>
        <button type="button" class="icon" aria-label="Close" onClick={close}>
          <CloseIcon />
        </button>
      </header>
      <div class="keys">
        {groups.value.toReversed().map((group) => (
          <section key={group.name}>
            <h3>{group.name}</h3>
            <dl>
              {group.bindings
                .filter(({ does }) => does)
                .map(({ keys, does }) => (
                  <div key={keys}>
                    <dt>
                      {keys.split(' ').map((key) => (
                        <kbd key={key}>{key}</kbd>
                      ))}
                    </dt>
                    <dd>{does}</dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
    </dialog>
  );
}
