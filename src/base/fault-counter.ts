/** Counts what could not be used and says so in the log, at most once a minute, with an example. */
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

/** Least time between two warnings. */
export const WARNING_INTERVAL_MS = 60_000;
/** Longest example in a warning, in UTF-16 units. */
const EXAMPLE_LENGTH_MAX = 200;

export class FaultCounter {
  readonly #what: string;
  #total = 0;
  #sinceWarning = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  /** The warning, e.g. `the adapter sent what cannot be used`. */
  constructor(what: string) {
    this.#what = what;
  }

  count(reason: string, example: string, { clock, log }: { readonly clock: Clock; readonly log: Logger }): void {
    this.#total += 1;
    this.#sinceWarning += 1;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#warnedAtMs < WARNING_INTERVAL_MS) return;
    log.warn(this.#what, {
      reason,
      example: example.length > EXAMPLE_LENGTH_MAX ? `${example.slice(0, EXAMPLE_LENGTH_MAX)}…` : example,
      since_last_warning: this.#sinceWarning,
      total: this.#total,
    });
    this.#warnedAtMs = nowMs;
    this.#sinceWarning = 0;
  }
}
