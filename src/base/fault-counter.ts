/** Counts what could not be used and says so in the log, at most once a minute, with an example. */
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

/** Least time between two warnings; and without a fault for so long it is over. */
export const WARNING_INTERVAL_MS = 60_000;
/** Longest example in a warning, in UTF-16 units. */
const EXAMPLE_LENGTH_MAX = 200;
/** Faults, by their reasons, that are shown at a time. */
const REASONS_MAX = 20;

export interface FaultContext {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where there is one, it is told of each reason when it comes, and when it is over. */
  problem?(item: string, reason: string | null): void;
}

export class FaultCounter {
  readonly #what: string;
  #total = 0;
  #sinceWarning = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;
  /** When it was last found, by its reason. */
  readonly #standing = new Map<string, number>();

  /** The warning, e.g. `the adapter sent what cannot be used`. */
  constructor(what: string) {
    this.#what = what;
  }

  count(reason: string, example: string, context: FaultContext): void {
    this.#total += 1;
    this.#sinceWarning += 1;
    const nowMs = context.clock.monotonicMs();
    const shown = example.length > EXAMPLE_LENGTH_MAX ? `${example.slice(0, EXAMPLE_LENGTH_MAX)}…` : example;
    if (this.#standing.has(reason) || this.#standing.size < REASONS_MAX) {
      if (!this.#standing.has(reason)) context.problem?.(reason, `for example ${JSON.stringify(shown)}`);
      this.#standing.set(reason, nowMs);
    }
    if (nowMs - this.#warnedAtMs < WARNING_INTERVAL_MS) return;
    context.log.warn(this.#what, {
      reason,
      example: shown,
      since_last_warning: this.#sinceWarning,
      total: this.#total,
    });
    this.#warnedAtMs = nowMs;
    this.#sinceWarning = 0;
  }

  /** After what could be used: a reason that was not found for a minute is over. */
  calm(context: FaultContext): void {
    if (this.#standing.size === 0) return;
    const nowMs = context.clock.monotonicMs();
    for (const [reason, foundMs] of this.#standing) {
      if (nowMs - foundMs < WARNING_INTERVAL_MS) continue;
      this.#standing.delete(reason);
      context.problem?.(reason, null);
    }
  }

  /** With a new connection nothing stands. */
  begin(): void {
    this.#standing.clear();
  }
}
