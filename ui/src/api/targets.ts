/** `GET api/v1/targets`: whom discovery found, and what each answered. */

import { type RawTargets, readTargets, type Targets } from '../targets/model';
import { getData } from './client';

/** The last scrapes of each target are most of the answer, so they come only to who looks at them. */
export async function fetchTargets(withScrapes: boolean, abort?: AbortSignal): Promise<Targets> {
  const parameters = { state: 'any', ...(withScrapes && { recent: '1' }) };
  const data = await getData('cannot list the targets', 'api/v1/targets', parameters, abort);
  return readTargets((data ?? {}) as RawTargets, Date.now());
}
