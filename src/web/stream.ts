/**
 * The page's one live stream from the hub.
 *
 * The browser's own reconnecting is not used: it does not notice a connection that went silent, and does not tell how
 * often it has tried. A page nobody sees gives its stream back, because a browser allows a hub six connections in all.
 */
import { type Signal, signal } from '@preact/signals';
import type { LiveMessages } from '../model/api.ts';
import type { Store } from './store.ts';

/** The hub speaks every 2 s; after this long without a word the stream is late. */
const LATE_AFTER_MS = 3000;
/** And after this long it is taken for dead, so that the banner stands within 5 s. */
const DEAD_AFTER_MS = 4500;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 5000;
/** A first failure is often over in a moment; until then nothing is called disconnected. */
const DISCONNECTED_AFTER_MS = 15_000;
const HIDDEN_CLOSE_MS = 30_000;

const MESSAGES = ['hello', 'machines', 'readings', 'events', 'edges', 'status'] as const;

export type Connection =
  | { readonly state: 'connecting' | 'live' | 'late' }
  /** `sinceMs`: when the hub was last heard, by the hub's clock; null if never. `attempt` counts from 1. */
  | { readonly state: 'reconnecting' | 'disconnected'; readonly attempt: number; readonly sinceMs: number | null };

export class LiveStream {
  readonly connection: Signal<Connection> = signal({ state: 'connecting' });
  readonly #store: Store;
  readonly #random: () => number;
  #source: EventSource | null = null;
  #machineId: string | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #hide: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #heardAtMs: number | null = null;
  /** By the page's monotonic clock. */
  #lastWordMs = 0;
  #lostAtMs = 0;

  constructor(store: Store, random: () => number) {
    this.#store = store;
    this.#random = random;
  }

  /** Starts, and watches until the page is closed. */
  start(): void {
    this.#open();
    setInterval(() => this.#watch(), 500);
    window.addEventListener('online', () => this.retryNow());
    document.addEventListener('visibilitychange', () => this.#visibility());
  }

  /** Asks for every reading of that machine too, or of none. */
  follow(machineId: string | null): void {
    if (machineId === this.#machineId) return;
    this.#machineId = machineId;
    if (this.#source !== null) this.#open();
  }

  retryNow(): void {
    if (this.#source === null && this.#retry !== undefined) this.#open();
  }

  #open(): void {
    this.#close();
    const query = this.#machineId === null ? '' : `?machine=${encodeURIComponent(this.#machineId)}`;
    const source = new EventSource(`/api/v1/live${query}`);
    this.#source = source;
    this.#lastWordMs = performance.now();
    for (const name of MESSAGES) source.addEventListener(name, (event) => this.#message(name, event.data));
    source.onerror = () => this.#lost();
  }

  #message(name: keyof LiveMessages, text: string): void {
    this.#lastWordMs = performance.now();
    this.#store.apply(name, JSON.parse(text));
    this.#heardAtMs = this.#store.hubTimeMs();
    this.#attempt = 0;
    if (this.connection.peek().state !== 'live') this.connection.value = { state: 'live' };
  }

  #watch(): void {
    if (this.#source === null) return;
    const silentMs = performance.now() - this.#lastWordMs;
    if (silentMs > DEAD_AFTER_MS) this.#lost();
    else if (silentMs > LATE_AFTER_MS && this.connection.peek().state === 'live')
      this.connection.value = { state: 'late' };
  }

  #lost(): void {
    this.#close();
    const nowMs = performance.now();
    if (this.#attempt === 0) this.#lostAtMs = nowMs;
    this.#attempt++;
    const state = nowMs - this.#lostAtMs > DISCONNECTED_AFTER_MS ? 'disconnected' : 'reconnecting';
    this.connection.value = { state, attempt: this.#attempt, sinceMs: this.#heardAtMs };
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (this.#attempt - 1));
    this.#retry = setTimeout(() => this.#open(), delayMs * (0.75 + this.#random() / 2));
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#source?.close();
    this.#source = null;
  }

  #visibility(): void {
    clearTimeout(this.#hide);
    if (document.visibilityState === 'hidden') this.#hide = setTimeout(() => this.#close(), HIDDEN_CLOSE_MS);
    else if (this.#source === null) this.#open();
  }
}
