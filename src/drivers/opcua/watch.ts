/**
 * Owns the times at which something was last heard, and gives the session up when nothing comes any more.
 *
 * Subscriptions are known to freeze without an error. So the server's own time is monitored beside the nodes: when that
 * stands still, it is read once more, and if it has gone on, or cannot be read, the run is ended.
 */
import { MillwrightError } from '../../base/errors.ts';
import { within } from './connection.ts';
import { statusOf } from './faults.ts';
import type { Run } from './run.ts';
import type { ServerClock } from './server-clock.ts';
import type { Subscription } from './subscription.ts';

/** Between two looks whether the subscription is silent. */
const WATCH_MS = 500;

export class Watch {
  readonly #run: Run;
  readonly #clock: ServerClock;
  readonly #subscription: Subscription;
  #heardMs = 0;
  #timeHeardMs = 0;

  constructor(run: Run, clock: ServerClock, subscription: Subscription) {
    this.#run = run;
    this.#clock = clock;
    this.#subscription = subscription;
  }

  /** A message of the subscription has come. */
  heard(): void {
    const { context, ended } = this.#run;
    this.#heardMs = context.clock.monotonicMs();
    if (!ended.aborted) context.alive(this.#subscription.signMs);
  }

  /** A message has told the server's time. */
  timeTold(serverTime: unknown, gatewayMicros: number): void {
    this.#timeHeardMs = this.#run.context.clock.monotonicMs();
    this.#clock.judge(serverTime, gatewayMicros);
  }

  /**
   * Looks until the run is over.
   * @param isTimeMonitored some servers do not allow it: then only the messages themselves are signs of life
   */
  async keep(isTimeMonitored: boolean): Promise<void> {
    const { context, ended, fail } = this.#run;
    this.heard();
    this.#timeHeardMs = context.clock.monotonicMs();
    for (;;) {
      await context.clock.sleep(WATCH_MS, ended);
      if (ended.aborted) return;
      const silence = this.#silence(isTimeMonitored);
      if (silence === null) continue;
      const error = await this.#lookAgain(silence);
      if (error !== undefined) return fail(error);
      this.heard();
      this.#timeHeardMs = context.clock.monotonicMs();
    }
  }

  /** Since when nothing was told that should have been, in milliseconds; null: all is well. */
  #silence(isTimeMonitored: boolean): number | null {
    const { silenceMsMax, timeSilenceMsMax } = this.#subscription;
    const nowMs = this.#run.context.clock.monotonicMs();
    const silentMs = nowMs - this.#heardMs;
    if (silentMs > silenceMsMax) return silentMs;
    const timeSilentMs = nowMs - this.#timeHeardMs;
    return isTimeMonitored && timeSilentMs > timeSilenceMsMax ? timeSilentMs : null;
  }

  /** Undefined when the silence has a good reason: the server's clock stands still. */
  async #lookAgain(silentMs: number): Promise<MillwrightError | undefined> {
    const { options, context } = this.#run;
    const before = this.#clock.micros;
    const what = `${options.url} has told nothing for ${Math.round(silentMs / 1000)} s`;
    let after: unknown;
    const asking = this.#clock.ask().then((time) => {
      after = time;
    });
    const isAnswered = await within(asking, options.timeoutMs, context.clock);
    try {
      if (isAnswered) await asking;
    } catch (error) {
      const name = statusOf(error);
      const code = name === '' ? '' : ` (${name})`;
      return new MillwrightError('connection_failed', `${what}, and does not answer${code}`);
    }
    if (!isAnswered) return new MillwrightError('connection_failed', `${what}, and does not answer`);
    const isStanding = after instanceof Date && after.getTime() * 1000 === before;
    const isHeard = context.clock.monotonicMs() - this.#heardMs < this.#subscription.silenceMsMax;
    if (isStanding && isHeard) return undefined;
    return new MillwrightError('connection_failed', `${what}, though it answers: its subscription is frozen`);
  }
}
