/** `GET api/v1/targets/relabel_steps`: what each rule of a job makes of labels. */

import { type RawStep, readSteps, type Step } from '../discovery/model';
import type { Labels } from '../targets/model';
import { getData } from './client';

export async function fetchSteps(pool: string, labels: Labels, abort?: AbortSignal): Promise<Step[]> {
  const parameters = { scrapePool: pool, labels: JSON.stringify(labels) };
  const attempt = `cannot relabel with the rules of ${pool}`;
  const data = await getData(attempt, 'api/v1/targets/relabel_steps', parameters, abort);
  return readSteps(labels, ((data ?? {}) as { steps?: RawStep[] }).steps ?? []);
}
