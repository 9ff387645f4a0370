/** The targets as the pages know them, out of Prometheus' answer with Sigyn's object in each. Pure. */

export type Labels = Record<string, string>;

export const STATES = ['up', 'down', 'silent', 'context lost', 'lossy', 'not traced', 'unknown'] as const;
export type State = (typeof STATES)[number];

export interface ScrapeRecord {
  at: string;
  tookSeconds: number;
  status: string;
  bytes: number;
  spans: number;
  cursor: string | null;
  /** It was between two instants of the target's own. */
  early?: boolean;
  error: string | null;
}

export interface LastFailure {
  atMs: number;
  reason: string;
  error: string;
}

/** How full a target's log is, and in how much time it fills. */
export interface Log {
  bytes: number;
  maxBytes: number;
  lastsSeconds: number | null;
}

/** What a target leaves out for its budget. */
export interface Sampled {
  share: number;
  tracesLeftOut: number;
}

export type LongPoll = 'no' | 'open' | 'between' | 'not_kept' | 'refused';

export interface LossWindow {
  from: string;
  to: string;
  spans: number;
  reason: string;
}

export interface Target {
  key: string;
  pool: string;
  url: string;
  labels: Labels;
  discoveredLabels: Labels;
  state: State;
  lastError: string;
  /** Unix milliseconds, or null before the first scrape. */
  lastScrapeMs: number | null;
  tookSeconds: number;
  interval: string;
  timeout: string;
  spansPerSecond: number;
  /** Spans per scrape, newest last. */
  history: number[];
  received: number;
  lost: number;
  lostByReason: Record<string, number>;
  restarts: number;
  cursor: string | null;
  clockOffsetNs: number | null;
  lastSpanMs: number | null;
  failuresInARow: number;
  failingSinceMs: number | null;
  /** Also after scrapes that did not fail. */
  lastFailure: LastFailure | null;
  scrapes: number;
  failedByReason: Record<string, number>;
  nextScrapeMs: number | null;
  /** Before that, because its log fills. */
  nextPullMs: number | null;
  longPoll: LongPoll;
  earlyPulls: number;
  log: Log | null;
  /** Spans a second that its job wants of it. */
  spanBudget: number | null;
  sampled: Sampled | null;
  recent: ScrapeRecord[];
  lossWindows: LossWindow[];
}

export interface Pool {
  job: string;
  active: number;
  dropped: number;
  errors: string[];
  failing: Failing[];
}

/** A mechanism that fails to find targets. */
export interface Failing {
  mechanism: string;
  /** Whom it asks, or where it looks. */
  server: string;
  error: string;
  since: string;
  failures: number;
  /** How many of its files, names or services fail. */
  parts: number;
  keptTargets: number;
}

export interface DroppedTarget {
  pool: string;
  discoveredLabels: Labels;
}

export interface Targets {
  targets: Target[];
  dropped: DroppedTarget[];
  droppedCount: number;
  pools: Pool[];
  /** The server's clock minus this browser's, in milliseconds: ages are told by the server's. */
  clockSkewMs: number;
}

interface RawTarget {
  discoveredLabels?: Labels;
  labels?: Labels;
  scrapePool?: string;
  scrapeUrl?: string;
  lastError?: string;
  lastScrape?: string;
  lastScrapeDuration?: number;
  health?: string;
  scrapeInterval?: string;
  scrapeTimeout?: string;
  sigyn?: Partial<{
    state: string;
    note: string | null;
    spansPerSecond: number;
    history: number[];
    received: number;
    lost: number;
    lostByReason: Record<string, number>;
    restarts: number;
    cursor: string | null;
    clockOffsetNs: number | null;
    lastSpanAt: string | null;
    failuresInARow: number;
    failingSince: string | null;
    lastFailure: { at: string; reason: string; error: string } | null;
    scrapes: number;
    failedByReason: Record<string, number>;
    nextScrape: string | null;
    nextPull: string | null;
    longPoll: LongPoll;
    earlyPulls: number;
    log: Log | null;
    spanBudget: number | null;
    sampled: Sampled | null;
    recent: ScrapeRecord[];
    lossWindows: LossWindow[];
  }>;
}

export interface RawTargets {
  activeTargets?: RawTarget[];
  droppedTargets?: { discoveredLabels?: Labels; scrapePool?: string }[];
  droppedTargetCounts?: Record<string, number>;
  sigyn?: { pools?: (Omit<Pool, 'failing'> & Partial<Pool>)[]; now?: string };
}

export function readTargets(data: RawTargets, nowMs: number): Targets {
  const serverNow = time(data.sigyn?.now);
  const counts = Object.values(data.droppedTargetCounts ?? {});
  const dropped = data.droppedTargets ?? [];
  return {
    targets: (data.activeTargets ?? []).map(readTarget),
    dropped: dropped.map((raw) => ({
      pool: raw.scrapePool ?? '',
      discoveredLabels: raw.discoveredLabels ?? {},
    })),
    droppedCount: counts.length ? counts.reduce((sum, n) => sum + n, 0) : dropped.length,
    pools: (data.sigyn?.pools ?? []).map((pool) => ({ ...pool, failing: pool.failing ?? [] })),
    clockSkewMs: serverNow === null ? 0 : serverNow - nowMs,
  };
}

function readTarget(raw: RawTarget, index: number): Target {
  const own = raw.sigyn ?? {};
  const pool = raw.scrapePool ?? '';
  const url = raw.scrapeUrl ?? '';
  return {
    // Two targets of a pool may share a URL, so their place tells them apart.
    key: `${pool}|${url}|${index}`,
    pool,
    url,
    labels: raw.labels ?? {},
    discoveredLabels: raw.discoveredLabels ?? {},
    state: readState(own.state ?? raw.health),
    lastError: raw.lastError || own.note || '',
    lastScrapeMs: time(raw.lastScrape),
    tookSeconds: raw.lastScrapeDuration ?? 0,
    interval: raw.scrapeInterval ?? '',
    timeout: raw.scrapeTimeout ?? '',
    spansPerSecond: own.spansPerSecond ?? 0,
    history: own.history ?? [],
    received: own.received ?? 0,
    lost: own.lost ?? 0,
    lostByReason: own.lostByReason ?? {},
    restarts: own.restarts ?? 0,
    cursor: own.cursor ?? null,
    clockOffsetNs: own.clockOffsetNs ?? null,
    lastSpanMs: time(own.lastSpanAt),
    failuresInARow: own.failuresInARow ?? 0,
    failingSinceMs: time(own.failingSince),
    lastFailure: own.lastFailure ? { ...own.lastFailure, atMs: Date.parse(own.lastFailure.at) } : null,
    scrapes: own.scrapes ?? 0,
    failedByReason: own.failedByReason ?? {},
    nextScrapeMs: time(own.nextScrape),
    nextPullMs: time(own.nextPull),
    longPoll: own.longPoll ?? 'no',
    earlyPulls: own.earlyPulls ?? 0,
    log: own.log ?? null,
    spanBudget: own.spanBudget ?? null,
    sampled: own.sampled ?? null,
    recent: own.recent ?? [],
    lossWindows: own.lossWindows ?? [],
  };
}

function readState(word: string | undefined): State {
  return STATES.find((state) => state === word) ?? 'unknown';
}

/** Go's zero time, which Prometheus writes for "never", is long before any trace. */
function time(text: string | null | undefined): number | null {
  const ms = text ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) || ms <= 0 ? null : ms;
}
