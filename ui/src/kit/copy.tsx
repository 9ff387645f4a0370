/** Puts text on the clipboard and says so. */

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';

const TELL_MS = 1500;

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages served over plain HTTP have no clipboard API, only the old command.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'sr';
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

interface CopyProps {
  text: string | (() => string);
  class?: string;
  title?: string;
  children: ComponentChildren;
}

export function CopyButton({ text, class: className = 'btn', title, children }: CopyProps) {
  const [told, setTold] = useState('');
  const copy = async (event: Event) => {
    event.stopPropagation();
    const copied = await copyText(typeof text === 'string' ? text : text());
    setTold(copied ? 'Copied' : 'Cannot copy');
    setTimeout(() => setTold(''), TELL_MS);
  };
  return (
    <button type="button" class={className} title={title} onClick={copy}>
      <span aria-live="polite">{told || children}</span>
    </button>
  );
}

/** A label, copied by a click. */
export function Label({ name, value, note }: { name: string; value: string; note?: string }) {
  const text = value ? `${name}="${value.replaceAll(/["\\]/g, '\\$&')}"` : name;
  return (
    <CopyButton class="label" title="Copy" text={text}>
      {value ? (
        <>
          {name}
          <span class="eq">=</span>
          <b>{value}</b>
        </>
      ) : (
        <b>{name}</b>
      )}
      {note && <span class="note">{note}</span>}
    </CopyButton>
  );
}
