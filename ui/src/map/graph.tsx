/** The map as SVG: callers left, width for calls, dashes and red for errors. */

import type { Link } from '../api/dependencies';
import { formatCount, formatShare, plural } from '../kit/format';
import { href, place } from '../kit/url';
import { colourOf } from '../theme/palette';
import { theme } from '../theme/theme';
import { type Layout, NODE_HEIGHT, NODE_WIDTH, type Node } from './layout';

/** A link with a larger share of errors is drawn as failing. */
export const FAILING_SHARE = 0.05;

interface GraphProps {
  layout: Layout;
  slots: ReadonlyMap<string, number>;
  focus: string;
  choose: (service: string) => void;
}

export function Graph({ layout, slots, focus, choose }: GraphProps) {
  const most = Math.max(1, ...layout.links.map(({ callCount }) => callCount));
  return (
    <svg
      class="graph"
      width={layout.width}
      height={layout.height}
      role="group"
      aria-label="Services and their calls"
    >
      {layout.links.map((link) => (
        <Edge key={`${link.parent} ${link.child}`} link={link} layout={layout} most={most} focus={focus} />
      ))}
      {[...layout.nodes.values()].map((node) => (
        <Box
          key={node.name}
          node={node}
          slot={slots.get(node.name) ?? 0}
          focused={node.name === focus}
          choose={choose}
        />
      ))}
    </svg>
  );
}

export function errorShare({ callCount, errorCount }: Link): number {
  return callCount > 0 ? errorCount / callCount : 0;
}

function Edge({ link, layout, most, focus }: { link: Link; layout: Layout; most: number; focus: string }) {
  const from = layout.nodes.get(link.parent)!;
  const to = layout.nodes.get(link.child)!;
  const share = errorShare(link);
  const failing = share > FAILING_SHARE;
  const near = !focus || link.parent === focus || link.child === focus;
  const words = `${link.parent} calls ${link.child}: ${plural(link.callCount, 'call')}, ${formatShare(share)} errors`;
  return (
    <path
      d={pathOf(from, to)}
      class={`edge${failing ? ' failing' : ''}${near ? '' : ' far'}`}
      // By the square root: a busy link is not a wall.
      stroke-width={1 + 5 * Math.sqrt(link.callCount / most)}
    >
      <title>{words}</title>
    </path>
  );
}

/** A curve to the right; a call backwards goes around below. */
function pathOf(from: Node, to: Node): string {
  const [x1, y1] = [from.x + NODE_WIDTH, from.y + NODE_HEIGHT / 2];
  const [x2, y2] = [to.x, to.y + NODE_HEIGHT / 2];
  if (x2 > x1) {
    const bend = (x2 - x1) / 2;
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  const below = Math.max(from.y, to.y) + NODE_HEIGHT + 26;
  return `M${x1} ${y1}C${x1 + 50} ${below} ${x2 - 50} ${below} ${x2} ${y2}`;
}

interface BoxProps {
  node: Node;
  slot: number;
  focused: boolean;
  choose: (service: string) => void;
}

function Box({ node, slot, focused, choose }: BoxProps) {
  const failed = node.calls > 0 && node.errors / node.calls > FAILING_SHARE;
  const calls = node.calls > 0 ? plural(node.calls, 'call') : 'calls others only';
  const errors = node.errors > 0 ? `, ${formatCount(node.errors)} failed` : '';
  return (
    <a
      class={`node${focused ? ' focused' : ''}`}
      href={href('/zipkin/dependency', { ...Object.fromEntries(place.value.params), focus: node.name })}
      aria-current={focused ? 'true' : undefined}
      onClick={(event) => {
        event.preventDefault();
        choose(node.name);
      }}
    >
      <rect x={node.x} y={node.y} width={NODE_WIDTH} height={NODE_HEIGHT} rx="7" />
      <rect
        x={node.x + 8}
        y={node.y + 9}
        width="4"
        height={NODE_HEIGHT - 18}
        rx="2"
        fill={colourOf(slot, theme.value)}
      />
      <text x={node.x + 20} y={node.y + 17} class="name">
        {shorten(node.name)}
      </text>
      <text x={node.x + 20} y={node.y + 31} class={failed ? 'calls failing' : 'calls'}>
        {calls}
        {errors}
      </text>
    </a>
  );
}

const LONGEST = 17;

function shorten(name: string): string {
  return name.length <= LONGEST ? name : `${name.slice(0, LONGEST - 1)}…`;
}
