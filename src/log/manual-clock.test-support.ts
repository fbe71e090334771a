import type { Clock } from '../base/clock.ts';

/** Time moves by a microsecond at each look, and sleepers are woken on demand. */
export class ManualClock implements Clock {
  #micros = 1_700_000_000_000_000;
  #sleepers: (() => void)[] = [];

  nowMicros(): number {
    this.#micros += 1;
    return this.#micros;
  }

  monotonicMs(): number {
    return this.#micros / 1000;
  }

  sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#sleepers.push(resolve);
      signal?.addEventListener('abort', () => resolve());
    });
  }

  /** Lets a second pass, and what waits for it happen. */
  async advance(): Promise<void> {
    for (const wake of this.#sleepers.splice(0)) wake();
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
}
