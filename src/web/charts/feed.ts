/**
 * The data behind a machine's charts: asked for once per window, then carried on by the live stream.
 *
 * Live samples are gathered and taken over once a second. While a window stands still they are only counted: the hub
 * has them, and going live asks it again.
 */
import { type Signal, signal } from '@preact/signals';
import type { LiveMessages, StateInterval } from '../../model/api.ts';
import { api } from '../api.ts';
import type { Store } from '../store.ts';
import type { TimeWindow } from '../view.ts';
import { SeriesBuffer } from './series-buffer.ts';

/** Samples kept between two takeovers at most; beyond it the window is asked for again. */
const PENDING_MAX = 20_000;

export interface Wanted {
  readonly machineId: string;
  readonly signals: readonly string[];
  readonly window: TimeWindow;
  /** Whether the window follows the time. */
  readonly live: boolean;
  /** How many buckets the chart can show. */
  readonly points: number;
}

export interface FeedData {
  readonly buffer: SeriesBuffer;
  readonly states: readonly StateInterval[];
}

export class ChartFeed {
  readonly data: Signal<FeedData | null> = signal(null);
  readonly failure: Signal<string | null> = signal(null);
  /** Counts the changes within {@link data}. */
  readonly revision: Signal<number> = signal(0);
  /** Samples that came since the window stands still. */
  readonly waiting: Signal<number> = signal(0);
  readonly #store: Store;
  #wanted: Wanted | null = null;
  #pending: LiveMessages['readings'][number][] = [];
  #request: AbortController | null = null;
  #unlisten: (() => void) | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  start(): void {
    this.#unlisten = this.#store.listen({
      samples: (samples) => this.#samples(samples),
      events: () => undefined,
      restarted: () => this.reload(),
    });
  }

  stop(): void {
    this.#unlisten?.();
    this.#request?.abort();
  }

  /** Asks for a window. What is on the page stays there until the answer is there. */
  want(wanted: Wanted): void {
    this.#wanted = wanted;
    this.waiting.value = 0;
    this.reload();
  }

  reload(): void {
    const wanted = this.#wanted;
    if (wanted === null) return;
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    this.#pending = [];
    void this.#load(wanted, request.signal);
  }

  /** Takes over what came in since the last call; `fromMs`: nothing before it is needed any more. */
  takeOver(fromMs: number): void {
    const data = this.data.peek();
    if (data === null || this.#pending.length === 0 || this.#wanted?.live !== true) return;
    for (const sample of this.#pending) data.buffer.add(sample);
    this.#pending = [];
    data.buffer.dropBefore(fromMs);
    this.revision.value++;
  }

  async #load({ machineId, signals, window, points }: Wanted, aborted: AbortSignal): Promise<void> {
    try {
      const [series, states] = await Promise.all([
        api.series(machineId, signals, { window, points }, aborted),
        api.states(machineId, window, aborted),
      ]);
      this.failure.value = null;
      this.data.value = { buffer: new SeriesBuffer(series), states };
      this.revision.value++;
    } catch (error) {
      if (aborted.aborted) return;
      this.failure.value = error instanceof Error ? error.message : String(error);
    }
  }

  #samples(samples: LiveMessages['readings']): void {
    const wanted = this.#wanted;
    if (wanted === null) return;
    const own = samples.filter((sample) => sample['machine_id'] === wanted.machineId);
    if (!wanted.live) {
      this.waiting.value += own.length;
      return;
    }
    this.#pending.push(...own);
    if (this.#pending.length > PENDING_MAX) this.reload();
  }
}
