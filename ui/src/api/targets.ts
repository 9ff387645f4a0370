/** `GET api/v1/targets`: whom discovery found, and what each answered. */

import { type RawTargets, readTargets, type Targets } from '../targets/model';
import { getData } from './client';

/** Beyond this the address would be too long. */
const RECENT_MAX = 16;

/** The last scrapes of all targets are most of what there is to tell, so they come only of those with these URLs. */
export async function fetchTargets(recentOf: readonly string[], abort?: AbortSignal): Promise<Targets> {
  const parameters = { state: 'any', recent: recentOf.length > RECENT_MAX ? '1' : recentOf };
  const data = await getData('cannot list the targets', 'api/v1/targets', parameters, abort);
  return readTargets((data ?? {}) as RawTargets, Date.now());
}
