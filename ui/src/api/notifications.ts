/** `GET api/v1/notifications`: what whoever looks should know now. */

import { getData } from './client';

export interface Notification {
  text: string;
  date: string;
}

export async function fetchNotifications(abort?: AbortSignal): Promise<Notification[]> {
  const data = await getData('cannot read the notifications', 'api/v1/notifications', {}, abort);
  const all = (data ?? []) as (Notification & { active?: boolean })[];
  return all.filter(({ active }) => active !== false);
}
