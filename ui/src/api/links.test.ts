import { expect, it } from 'vitest';
import { linksOf } from './links';

it('reads links, and what the server says is missing', () => {
  const body = [{ parent: 'a', child: 'b', callCount: 3 }, { parent: 'b' }];
  const warning = '1 trace is too large to be counted whole';
  expect(linksOf(body, new Headers({ 'Sigyn-Warning': warning }))).toEqual({
    links: [
      { parent: 'a', child: 'b', callCount: 3, errorCount: 0 },
      { parent: 'b', child: '', callCount: 0, errorCount: 0 },
    ],
    warning,
  });
  expect(linksOf({}, new Headers())).toEqual({ links: [], warning: '' });
});
