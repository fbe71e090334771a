/** An operator of NATS: changes stream and consumer straight on the servers, whatever is going on there. */
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connectNats, type NatsConnection } from '../../src/base/nats.ts';
import { natsConnectionOf } from '../../src/base/nats-config.ts';
import { seededRandom } from '../../src/base/random.ts';
import { waitUntil } from '../support/system.ts';

/** How long it tries, while nodes are down and leaders are elected. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 200;

export class Operator {
  readonly #url: string;
  #connecting: Promise<NatsConnection> | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Tried until it succeeds: whatever is done must be right to do twice. */
  async does<Result>(what: string, act: (manager: JetStreamManager) => Promise<Result>): Promise<Result> {
    const once = async (): Promise<{ result: Result }> => ({ result: await act(await this.#manager()) });
    return (await waitUntil(what, once, { timeoutMs: PATIENCE_MS, pollMs: PAUSE_MS })).result;
  }

  /** Rejects while nobody can tell. */
  async sees<Result>(look: (manager: JetStreamManager) => Promise<Result>): Promise<Result> {
    return look(await this.#manager());
  }

  async stop(): Promise<void> {
    const connection = await this.#connecting?.catch(() => undefined);
    await connection?.close();
  }

  async #manager(): Promise<JetStreamManager> {
    this.#connecting ??= connectNats(natsConnectionOf({ url: this.#url }), {
      name: 'the oracle',
      random: seededRandom(1),
    }).catch((error: unknown) => {
      this.#connecting = undefined;
      throw error;
    });
    return jetstreamManager(await this.#connecting, { checkAPI: false });
  }
}
