import { expect, it } from 'vitest';
import { missingIn } from './missing';

it('tells what an answer lacks', () => {
  expect(missingIn({ data: { tooLarge: 0 } })).toEqual({ partial: false, warning: '' });
  expect(missingIn({ data: null, warnings: 'odd' })).toEqual({ partial: false, warning: '' });
  const partial = { looked: { partial: true, spans: 1200 } };
  expect(missingIn({ data: partial, warnings: ['no time', 3] })).toEqual({
    partial: true,
    warning: 'no time',
  });
  expect(missingIn({ data: partial })).toEqual({
    partial: true,
    warning: 'there was no time for all that is stored: only the newest 1,200 spans were looked at',
  });
  expect(missingIn({ data: { tooLarge: 1 }, warnings: ['a block cannot be read'] }).warning).toBe(
    'a block cannot be read; 1 trace that may match is too large to be listed (more --storage.memory helps)',
  );
  expect(missingIn({ data: { looked: { tooLarge: 2 } } }).warning).toContain('2 traces that may match are');
});
