/**
 * The data behind a machine's charts: asked for once per window, then carried on by the live stream.
 *
 * Live samples and states are gathered and taken over once a second; while an answer is awaited they wait for it, because
 * it may not know them yet. While a window stands still samples are only counted: the hub has them, and going live asks
 * it again.
 */
import { type Signal, signal } from '@preact/signals';
import type { LiveMessages, MachineEventRow, StateInterval } from '../../model/api.ts';
import { api } from '../api.ts';
import type { Store } from '../store.ts';
import type { TimeWindow } from '../view.ts';
import { SeriesBuffer } from './series-buffer.ts';
import { withState } from './state-band.ts';

/** Samples and states kept between two takeovers at most; beyond it the window is asked for again. */
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
  #pendingStates: MachineEventRow[] = [];
  /** Under way. */
  #request: AbortController | null = null;
  #unlisten: (() => void) | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  start(): void {
    this.#unlisten = this.#store.listen({
      samples: (samples) => this.#samples(samples),
      events: (events) => this.#events(events),
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
    this.#pendingStates = [];
    void this.#load(wanted, request.signal);
  }

  /** Takes over what came in since the last call; `fromMs`: nothing before it is needed any more. */
  takeOver(fromMs: number): void {
    const data = this.data.peek();
    if (data === null || this.#request !== null || this.#wanted?.live !== true) return;
    if (this.#pending.length + this.#pendingStates.length === 0) return;
    for (const sample of this.#pending) data.buffer.add(sample);
    this.#pending = [];
    data.buffer.dropBefore(fromMs);
    if (this.#pendingStates.length > 0) {
      let states: readonly StateInterval[] = data.states;
      for (const { time, state, text } of this.#pendingStates) {
        if (state !== null) states = withState(states, { time, state, reason: text });
      }
      states = states.filter(({ end_time: end }) => end === null || Date.parse(end) >= fromMs);
      this.data.value = { buffer: data.buffer, states };
      this.#pendingStates = [];
    }
    this.revision.value++;
  }

  async #load(wanted: Wanted, aborted: AbortSignal): Promise<void> {
    const { machineId, signals, points, live } = wanted;
    const window = live ? this.#upToNow(wanted.window) : wanted.window;
    try {
      const [series, states] = await Promise.all([
        api.series(machineId, signals, { window, points }, aborted),
        api.states(machineId, { fromMs: window.fromMs, toMs: live ? null : window.toMs, points }, aborted),
      ]);
      if (aborted.aborted) return;
      this.failure.value = null;
      this.data.value = { buffer: new SeriesBuffer(series), states };
      this.revision.value++;
    } catch (error) {
      if (aborted.aborted) return;
      this.failure.value = error instanceof Error ? error.message : String(error);
    }
    this.#request = null;
  }

  /** A window that follows the time has moved on since it was asked for the first time. */
  #upToNow({ fromMs, toMs }: TimeWindow): TimeWindow {
    const nowMs = this.#store.hubTimeMs();
    return { fromMs: nowMs - (toMs - fromMs), toMs: nowMs };
  }

  #events(events: LiveMessages['events']): void {
    const wanted = this.#wanted;
    if (wanted?.live !== true) return;
    const own = events.filter((row) => row.event_type === 'state' && row.machine_id === wanted.machineId);
    this.#pendingStates.push(...own);
    if (this.#pendingStates.length > PENDING_MAX) this.reload();
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
