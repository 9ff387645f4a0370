/** Spans of the last scrapes as a line. */

const WIDTH = 96;
const HEIGHT = 22;

export function Sparkline({ values, failing }: { values: readonly number[]; failing: boolean }) {
  const tone = failing ? 'error' : 'accent';
  const top = Math.max(1, ...values);
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map(
    (value, i) => `${(i * step).toFixed(1)} ${(HEIGHT - 3 - (value / top) * 16).toFixed(1)}`,
  );
  if (points.length < 2) return <svg width={WIDTH} height={HEIGHT} aria-hidden="true" />;
  const line = `M${points.join('L')}`;
  return (
    <svg
      width={WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={`up to ${top} spans a scrape, last ${values.at(-1)}`}
    >
      <path d={`${line}L${WIDTH} ${HEIGHT - 1}L0 ${HEIGHT - 1}Z`} fill={`var(--${tone}-weak)`} />
      <path d={line} fill="none" stroke={`var(--${tone})`} stroke-width="1.3" />
    </svg>
  );
}
