/** What whoever looks should know, whichever page it is: that the configuration is not the one on disk. */

import { useEffect, useMemo } from 'preact/hooks';
import { fetchNotifications } from '../api/notifications';
import { formatMoment } from '../kit/format';
import { Resource } from '../kit/load';

const EVERY_MS = 15_000;

export function Notifications() {
  const resource = useMemo(() => new Resource(fetchNotifications), []);
  useEffect(() => resource.poll(EVERY_MS), [resource]);
  // Whether the server answers at all is told by each page.
  return (
    <>
      {resource.state.value.data?.map(({ text, date }) => (
        <div key={text} class="stale" role="status">
          <i class="mark silent" />
          {text} <span class="muted">Since {formatMoment(new Date(date))}</span>
        </div>
      ))}
    </>
  );
}
