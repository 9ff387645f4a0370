/** The dozen drawings, inline, in the colour of the text around them. */

export function Mark() {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
      <path d="M3.5 12.5h17a8.5 8.5 0 0 1-17 0Z" fill="var(--accent)" />
      <path d="M12 2.2c1.9 2.6 2.9 4.1 2.9 5.4a2.9 2.9 0 1 1-5.8 0c0-1.3 1-2.8 2.9-5.4Z" fill="var(--warn)" />
    </svg>
  );
}

const line = { fill: 'none', stroke: 'currentColor', 'stroke-width': '1.5', 'aria-hidden': true } as const;

export function SearchIcon() {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" {...line}>
      <circle cx="6" cy="6" r="4.2" />
      <path d="m9.2 9.2 3.3 3.3" />
    </svg>
  );
}

export function ThemeIcon() {
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" {...line}>
      <circle cx="8" cy="8" r="6" />
      <path d="M8 2v12a6 6 0 0 0 0-12Z" fill="currentColor" />
    </svg>
  );
}

export function CloseIcon() {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" {...line}>
      <path d="m3 3 8 8M11 3l-8 8" />
    </svg>
  );
}

export function Chevron({ open }: { open: boolean }) {
  return (
    <svg width="10" height="10" viewBox="0 0 10 10" {...line} class={open ? 'chevron open' : 'chevron'}>
      <path d="m3.5 2 3 3-3 3" />
    </svg>
  );
}
