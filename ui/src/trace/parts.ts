/** The elements that a waterfall is made of. */

export interface Parts {
  /** The native scroller, which a screen reader takes for the tree. */
  scroller: HTMLDivElement;
  /** As high as all rows. */
  space: HTMLDivElement;
  canvas: HTMLCanvasElement;
  rail: HTMLCanvasElement;
  /** The one row that is in the document: the selected one, for screen readers. */
  mirror: HTMLDivElement;
  cell: HTMLSpanElement;
}

export function buildParts(): Parts {
  const scroller = document.createElement('div');
  scroller.className = 'waterfall-scroll';
  scroller.tabIndex = 0;
  scroller.setAttribute('role', 'treegrid');
  scroller.setAttribute('aria-label', 'Spans');
  const canvas = document.createElement('canvas');
  canvas.setAttribute('aria-hidden', 'true');
  const pin = document.createElement('div');
  pin.className = 'waterfall-pin';
  pin.append(canvas);
  const space = document.createElement('div');
  const mirror = document.createElement('div');
  mirror.className = 'sr';
  mirror.id = 'waterfall-row';
  mirror.setAttribute('role', 'row');
  const cell = document.createElement('span');
  cell.setAttribute('role', 'gridcell');
  mirror.append(cell);
  scroller.append(pin, space, mirror);
  const rail = document.createElement('canvas');
  rail.className = 'waterfall-rail';
  rail.setAttribute('aria-hidden', 'true');
  return { scroller, space, canvas, rail, mirror, cell };
}
