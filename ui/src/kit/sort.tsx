/** A header that sorts its table through the URL: ascending, descending, then as the server sent it. */

import type { ComponentChildren } from 'preact';
import { param, setParams } from './url';

export function SortHead({
  name,
  number = false,
  children,
}: {
  name: string;
  number?: boolean;
  children: ComponentChildren;
}) {
  const sort = param('sort');
  // Who sorts by a number wants the largest first.
  const [one, two] = number ? [`-${name}`, name] : [name, `-${name}`];
  const next = sort === one ? two : sort === two ? null : one;
  const order = sort === name ? 'ascending' : sort === `-${name}` ? 'descending' : undefined;
  return (
    <span role="columnheader" class={number ? 'num' : undefined} aria-sort={order ?? 'none'}>
      <button type="button" onClick={() => setParams({ sort: next })}>
        {children}
      </button>
    </span>
  );
}
