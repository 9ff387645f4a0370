/** Data that is asked for again: old data stays while new is on its way, or does not come. */

import { type Signal, signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';

export interface Loaded<T> {
  data: T | null;
  error: Error | null;
  loading: boolean;
  /** When `data` came, in this browser's milliseconds; 0 if it is kept from an earlier question. */
  at: number;
}

export class Resource<T> {
  readonly state: Signal<Loaded<T>>;
  private abort: AbortController | null = null;

  /** `before` is shown until the first answer. */
  constructor(
    private readonly load: (abort: AbortSignal) => Promise<T>,
    before: T | null = null,
  ) {
    this.state = signal({ data: before, error: null, loading: true, at: 0 });
  }

  async refresh(): Promise<void> {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.state.value = { ...this.state.peek(), loading: true };
    try {
      const data = await this.load(abort.signal);
      if (!abort.signal.aborted) this.state.value = { data, error: null, loading: false, at: Date.now() };
    } catch (error) {
      if (!abort.signal.aborted)
        this.state.value = { ...this.state.peek(), error: error as Error, loading: false };
    }
  }

  cancel(): void {
    this.abort?.abort();
  }

  /** Refreshes now and every `everyMs`, but not while nobody looks. Returns how to stop. */
  poll(everyMs: number): () => void {
    let timer = 0;
    let stopped = false;
    const tick = async () => {
      window.clearTimeout(timer);
      if (document.hidden) return;
      await this.refresh();
      if (!stopped) timer = window.setTimeout(tick, everyMs);
    };
    const wake = () => {
      if (!document.hidden) void tick();
    };
    document.addEventListener('visibilitychange', wake);
    void tick();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
      document.removeEventListener('visibilitychange', wake);
      this.cancel();
    };
  }
}

/** As `useResource`, but what an earlier key loaded is shown, as old, until its successor is here. */
export function useKeptResource<T>(key: string, load: (abort: AbortSignal) => Promise<T>): Resource<T> {
  const before = useRef<Resource<T> | null>(null);
  // `key` names everything that `load` depends on.
  const resource = useMemo(() => new Resource(load, before.current?.state.peek().data), [key]);
  before.current = resource;
  useEffect(() => {
    void resource.refresh();
    return () => resource.cancel();
  }, [resource]);
  return resource;
}

/** Loads once for each `key`, and forgets what another key loaded. */
export function useResource<T>(key: string, load: (abort: AbortSignal) => Promise<T>): Resource<T> {
  // `key` names everything that `load` depends on.
  const resource = useMemo(() => new Resource(load), [key]);
  useEffect(() => {
    void resource.refresh();
    return () => resource.cancel();
  }, [resource]);
  return resource;
}
