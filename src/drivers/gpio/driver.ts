/**
 * Reads inputs of a GPIO chip: switches, the lamps of a stack light, a signal for each part. It reports on change, at the
 * instant of the edge by the kernel's clock.
 *
 * Levels are read first, then edges are watched; what changes between the two, some ten milliseconds, is not told by an
 * edge. So now and then watching is interrupted and the levels are read again: what was missed is then found.
 */
import { MillwrightError } from '../../base/errors.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateDriver, Driver, DriverContext } from '../../ports/driver.ts';
import { openGpioTools } from './gpio-tools.ts';
import { Lines, type Now } from './lines.ts';
import type { GpioOptions } from './options.ts';
import type { Edge, OpenPins, Pins, Watch } from './port.ts';

/** So often a source that has nothing to say is said to be alive: `gpiomon` runs, and would tell. */
const ALIVE_MS = 2_000;
/** Edges that wait to be looked at; a line that changes faster is none of ours. */
export const EDGES_MAX = 100_000;

export const create: CreateDriver<GpioOptions> = (options) => new GpioDriver(options, openGpioTools);

export class GpioDriver implements Driver, Checkable {
  readonly #options: GpioOptions;
  readonly #open: OpenPins;
  /** Parts by name, since the edge has started. */
  readonly #counts = new Map<string, number>();

  constructor(options: GpioOptions, open: OpenPins) {
    this.#options = options;
    this.#open = open;
  }

  /** Reads the levels once: a source may have nothing to say for hours. */
  async check(signal: AbortSignal): Promise<string> {
    const pins = await this.#open(this.#options, signal);
    const levels = await pins.levels(signal);
    const active = this.#options.lines.filter(({ isActiveLow }, index) => levels[index] !== isActiveLow);
    const names = active.map(({ name }) => name).join(', ');
    return `${levels.length} lines of ${this.#options.chip}; active: ${names === '' ? 'none' : names}`;
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    const lines = new Lines(this.#options, context, this.#counts);
    const watching = new Watching({ lines, context, signal, checkMs: this.#options.checkMs });
    try {
      const pins = await this.#open(this.#options, signal);
      await watching.run(pins);
    } catch (error) {
      if (signal.aborted) return;
      lines.lose(nowOf(context));
      throw error;
    }
  }
}

interface WatchingParts {
  readonly lines: Lines;
  readonly context: DriverContext;
  readonly signal: AbortSignal;
  readonly checkMs: number;
}

interface Told extends Edge {
  /** By the monotonic clock. */
  readonly atMs: number;
}

class Watching {
  readonly #parts: WatchingParts;
  #edges: Told[] = [];
  #failure: MillwrightError | undefined;
  #nap = new AbortController();

  constructor(parts: WatchingParts) {
    this.#parts = parts;
  }

  /** Resolves when aborted; rejects when nobody watches any more. */
  async run(pins: Pins): Promise<void> {
    const { lines, context, signal } = this.#parts;
    const { clock } = context;
    const wake = (): void => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    try {
      for (let isFirst = true; !signal.aborted; isFirst = false) {
        const askedMs = clock.monotonicMs();
        const levels = await pins.levels(signal);
        context.answered(clock.monotonicMs() - askedMs);
        if (isFirst) lines.start(levels, nowOf(context));
        else this.#check(levels);
        const watch = await this.#watch(pins);
        if (isFirst) context.connected();
        await this.#follow(watch);
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  #check(levels: readonly boolean[]): void {
    const { lines, context } = this.#parts;
    const missed = lines.check(levels, nowOf(context));
    if (missed.length > 0) context.log.warn('an edge was missed; the level was read', { lines: missed.join(', ') });
  }

  #watch(pins: Pins): Promise<Watch> {
    const { context, signal } = this.#parts;
    const taker = {
      edge: (edge: Edge): void => {
        if (this.#edges.length < EDGES_MAX) {
          this.#edges.push({ ...edge, atMs: context.clock.monotonicMs() - edge.agoMs });
        } else {
          this.#failure ??= new MillwrightError('limit_exceeded', `more than ${EDGES_MAX} edges wait: a line flutters`);
        }
        this.#wake();
      },
      ended: (error: MillwrightError): void => {
        this.#failure ??= error;
        this.#wake();
      },
    };
    return pins.watch(taker, signal);
  }

  /** Until the levels are to be read again. */
  async #follow(watch: Watch): Promise<void> {
    const { lines, context, signal, checkMs } = this.#parts;
    const { clock } = context;
    const checkAtMs = clock.monotonicMs() + checkMs;
    try {
      for (;;) {
        this.#nap = new AbortController();
        this.#take();
        if (signal.aborted) return;
        if (this.#failure !== undefined) throw this.#failure;
        const nowMs = clock.monotonicMs();
        if (nowMs >= checkAtMs && !lines.isBouncing) return;
        context.alive(ALIVE_MS);
        const untilMs = Math.min(lines.dueMs, Math.max(checkAtMs, nowMs + 1), nowMs + ALIVE_MS);
        await clock.sleep(Math.max(1, Math.ceil(untilMs - nowMs)), this.#nap.signal);
      }
    } finally {
      await watch.stop();
      this.#take();
    }
  }

  /** For each edge of a line that flutters: an abort makes an error with its stack, also when it is not the first. */
  #wake(): void {
    if (!this.#nap.signal.aborted) this.#nap.abort();
  }

  #take(): void {
    const { lines, context } = this.#parts;
    const edges = this.#edges;
    this.#edges = [];
    const now = nowOf(context);
    for (const { index, isHigh, atMs } of edges) lines.edge(index, isHigh, atMs, now);
    lines.settle(now);
  }
}

function nowOf({ clock }: DriverContext): Now {
  return { monotonicMs: clock.monotonicMs(), micros: clock.nowMicros() };
}
