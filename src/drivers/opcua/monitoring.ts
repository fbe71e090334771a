/**
 * Owns which nodes are monitored: finds those that a person named (`nodes.ts`), has the subscription monitor them, tells
 * why one cannot be, and tries those again that are missing.
 */
import { MillwrightError } from '../../base/errors.ts';
import { NodeFinder } from './nodes.ts';
import { type Item, type Run, tellFault } from './run.ts';
import { SERVER_TIME, SERVER_TIME_HANDLE, type ServerClock } from './server-clock.ts';
import { type MonitorRequest, SIGN_MS, type Subscription } from './subscription.ts';

/** What cannot be read is tried again so often. */
const RETRY_MS = 60_000;

export interface MonitoringParts {
  readonly items: readonly Item[];
  readonly subscription: Subscription;
  readonly clock: ServerClock;
  /** Of this session; it may be other in the next. */
  readonly namespaces: readonly string[];
}

export class Monitoring {
  readonly #run: Run;
  readonly #parts: MonitoringParts;
  readonly #finder: NodeFinder;

  constructor(run: Run, parts: MonitoringParts) {
    this.#run = run;
    this.#parts = parts;
    this.#finder = new NodeFinder(run.connection.session, parts.namespaces);
  }

  /**
   * Begins with the server's time and all nodes.
   * @returns whether the server lets its time be monitored
   * @throws config_invalid when there is no node that can be read; what the library throws
   */
  async begin(): Promise<{ isTimeMonitored: boolean }> {
    const { items, subscription } = this.#parts;
    const [time] = await subscription.monitor([
      { nodeId: SERVER_TIME, handle: SERVER_TIME_HANDLE, samplingIntervalMs: SIGN_MS, queueSize: 1 },
    ]);
    const faults = await this.#monitor(items);
    const [first] = faults;
    if (first !== undefined && faults.length === items.length) {
      const more = faults.length > 1 ? `; and ${faults.length - 1} more` : '';
      throw new MillwrightError('config_invalid', `${this.#run.options.url}: ${first}${more}`);
    }
    return { isTimeMonitored: time !== undefined && !('fault' in time) };
  }

  /** Tries what is missing again and again, until the run is over. */
  async keep(): Promise<void> {
    const { context, ended, fail } = this.#run;
    for (;;) {
      await context.clock.sleep(RETRY_MS, ended);
      if (ended.aborted) return;
      const missing = this.#parts.items.filter(({ monitoredItemId }) => monitoredItemId === null);
      if (missing.length === 0) continue;
      this.#finder.forget();
      try {
        await this.#monitor(missing);
      } catch (error) {
        return fail(error);
      }
    }
  }

  /** @returns why those cannot be monitored that cannot */
  async #monitor(items: readonly Item[]): Promise<string[]> {
    const { options, context } = this.#run;
    const faults: string[] = [];
    const tell = (item: Item, fault: string): void => {
      faults.push(`${item.settings.node}: ${fault}`);
      tellFault(item, fault, context);
    };
    const found: { item: Item; request: MonitorRequest }[] = [];
    for (const item of items) {
      const { node, samplingIntervalMs } = item.settings;
      const one = await this.#finder.find(node);
      item.hasTold = false;
      item.sinceMicros = this.#parts.clock.micros;
      if ('fault' in one) tell(item, one.fault);
      else {
        const { handle } = item;
        found.push({ item, request: { nodeId: one.nodeId, handle, samplingIntervalMs, queueSize: options.queueSize } });
      }
    }
    const results = await this.#parts.subscription.monitor(found.map(({ request }) => request));
    for (const [index, { item }] of found.entries()) {
      const result = results[index];
      if (result === undefined || 'fault' in result) tell(item, result?.fault ?? 'the server did not answer');
      else item.monitoredItemId = result.id;
    }
    return faults;
  }
}
