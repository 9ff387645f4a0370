/** `GET api/v1/targets`: whom discovery found, and what each answered. */

import { type RawTargets, readTargets, type Targets } from '../targets/model';
import { getData } from './client';

export async function fetchTargets(abort?: AbortSignal): Promise<Targets> {
  const data = await getData('cannot list the targets', 'api/v1/targets', { state: 'any' }, abort);
  return readTargets((data ?? {}) as RawTargets, Date.now());
}
