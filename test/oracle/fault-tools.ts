/** What every fault needs: waiting, killing, disturbing a line. */
import { systemClock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import type { Supervised } from './supervised.ts';
import type { Effect, Line } from './tcp-proxy.ts';

/** How long a fault waits until it can happen: for a backlog, for a connection, for a read. */
const OCCASION_MS_MAX = 25_000;
const OCCASION_CHECK_MS = 50;

/** The fault could not happen; it does not count. */
export class CameToNothing extends Error {}

/** One fault that is under way. */
export interface Act {
  readonly durationMs: number;
  readonly random: Random;
}

export class FaultTools {
  readonly signal: AbortSignal;

  /** The signal ends every wait early. */
  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  async killAndStart(killed: Supervised, durationMs: number): Promise<string> {
    await killed.end('SIGKILL');
    await this.sleep(durationMs);
    killed.start();
    return `down for ${durationMs} ms`;
  }

  async disturb(line: Line, effect: Effect, durationMs: number): Promise<string> {
    const end = await line.add(effect);
    await this.sleep(durationMs);
    await end();
    return `${durationMs} ms`;
  }

  /** Waits until the fault can happen. @throws CameToNothing */
  async occasion(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
    const endMs = performance.now() + OCCASION_MS_MAX;
    while (!(await look())) {
      if (performance.now() > endMs || this.signal.aborted) throw new CameToNothing(`waited in vain for ${what}`);
      await this.sleep(OCCASION_CHECK_MS);
    }
  }

  sleep(ms: number): Promise<void> {
    return systemClock.sleep(ms, this.signal);
  }
}
