/** A square in a service's colour, with the texture of the second round. */

import { COLOURS, colourOf } from './palette';
import { theme } from './theme';

export function Swatch({ slot, class: className = 'swatch' }: { slot: number; class?: string }) {
  const textured = slot >= COLOURS ? ' textured' : '';
  return <i class={className + textured} style={{ backgroundColor: colourOf(slot, theme.value) }} />;
}
