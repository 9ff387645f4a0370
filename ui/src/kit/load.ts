/** Data that is asked for again: old data stays while new is on its way, or does not come. */

import { type Signal, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';

export interface Loaded<T> {
  data: T | null;
  error: Error | null;
  loading: boolean;
  /** When `data` came, in this browser's milliseconds. */
  at: number;
}

export class Resource<T> {
  readonly state: Signal<Loaded<T>> = signal({ data: null, error: null, loading: true, at: 0 });
  private abort: AbortController | null = null;

  constructor(private readonly load: (abort: AbortSignal) => Promise<T>) {}

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

/** Loads once for each `key`. */
export function useResource<T>(key: string, load: (abort: AbortSignal) => Promise<T>): Resource<T> {
  // `key` names everything that `load` depends on.
  const resource = useMemo(() => new Resource(load), [key]);
  useEffect(() => {
    void resource.refresh();
    return () => resource.cancel();
  }, [resource]);
  return resource;
}
