/** Owns what is known of the server's clock: its newest time, and whether its times may be used. Loads the library. */
import { AttributeIds } from 'node-opcua';
import type { Run } from './run.ts';
import { clockTrouble } from './times.ts';

/** The node of the server's own time. */
export const SERVER_TIME = 'i=2258';
/** Of it in messages of the server; the nodes are counted from 1. */
export const SERVER_TIME_HANDLE = 0;

export class ServerClock {
  readonly #run: Run;
  /** It differs too much from the gateway's. */
  isBad = false;
  /** As it was told last, in microseconds since 1970 of its own time; null: never. */
  micros: number | null = null;

  constructor(run: Run) {
    this.#run = run;
  }

  /** Asks the server now. What it says is not judged yet. @throws what the library throws */
  async ask(): Promise<unknown> {
    const { value } = await this.#run.connection.session.read({ nodeId: SERVER_TIME, attributeId: AttributeIds.Value });
    return value.value;
  }

  /** @param gatewayMicros when it was told so */
  judge(serverTime: unknown, gatewayMicros: number): void {
    const { options, context } = this.#run;
    if (!(serverTime instanceof Date)) return;
    this.micros = serverTime.getTime() * 1000;
    const trouble = clockTrouble(this.micros, gatewayMicros, options.clockDifferenceMsMax * 1000);
    this.isBad = trouble !== null;
    context.problem("the server's clock", trouble);
  }
}
