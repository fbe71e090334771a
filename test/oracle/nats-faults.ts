/** The faults that need NATS between edge and hubs. */
import { nanos } from '@nats-io/transport-node';
import { DATA_STREAM } from '../../src/model/nats-wire.ts';
import type { NatsServer } from '../support/nats-server.ts';
import type { Act, FaultTools } from './fault-tools.ts';
import type { NatsReceiver } from './nats-receiver.ts';
import type { NatsFaultKind } from './plan.ts';
import type { Effect, Line } from './tcp-proxy.ts';

const CONSUMER = 'PROCESSOR';
const STORM_ACK_WAIT_MS = 1_000;
const DEFAULT_ACK_WAIT_MS = 30_000;
/** In so many of the cases it is seen to that something is lost with the stream; in the others chance decides. */
const DELETED_UNSTORED = 0.7;
const UNSTORED_MIN = 3;

export function natsInjections(
  receiver: NatsReceiver,
  databaseLine: Line,
  tools: FaultTools,
): Record<NatsFaultKind, (act: Act) => Promise<string>> {
  const { nodes } = receiver;
  const faults = new NatsFaults(receiver, databaseLine, tools);
  return {
    'kill second hub': ({ durationMs }) => tools.killAndStart(receiver.hubs[1]!, durationMs),
    'kill NATS node 1': ({ durationMs }) => faults.killNodes(nodes.slice(0, 1), durationMs),
    'kill NATS node 2': ({ durationMs }) => faults.killNodes(nodes.slice(1, 2), durationMs),
    'kill NATS node 3': ({ durationMs }) => faults.killNodes(nodes.slice(2, 3), durationMs),
    'kill all of NATS': ({ durationMs }) => faults.killNodes(nodes, durationMs),
    'hub partition': (act) => faults.partition(act),
    'full stream': ({ durationMs }) => faults.fillStream(durationMs),
    'stream deleted': (act) => faults.deleteStream(act),
    'consumer deleted': (act) => faults.deleteConsumer(act),
    'redelivery storm': (act) => faults.storm(act),
  };
}

class NatsFaults {
  readonly #receiver: NatsReceiver;
  readonly #databaseLine: Line;
  readonly #tools: FaultTools;

  constructor(receiver: NatsReceiver, databaseLine: Line, tools: FaultTools) {
    this.#receiver = receiver;
    this.#databaseLine = databaseLine;
    this.#tools = tools;
  }

  async killNodes(killed: readonly NatsServer[], durationMs: number): Promise<string> {
    await Promise.all(killed.map((node) => node.kill('SIGKILL')));
    await this.#tools.sleep(durationMs);
    for (const node of killed) node.launch();
    return `down for ${durationMs} ms`;
  }

  async partition({ durationMs, random }: Act): Promise<string> {
    const index = Math.floor(random() * this.#receiver.hubNetworks.length);
    const line = this.#receiver.hubNetworks[index]!;
    const effect: Effect = random() < 0.5 ? { kind: 'cut' } : { kind: 'hold' };
    return `hub ${index + 1}, ${effect.kind}, ${await this.#tools.disturb(line, effect, durationMs)}`;
  }

  /** What is in it stays; the limit is lowered instead of waiting until it is reached. */
  async fillStream(durationMs: number): Promise<string> {
    const { operator } = this.#receiver;
    const before = await operator.does('the stream', ({ streams }) => streams.info(DATA_STREAM));
    const limit = (bytes: number): Promise<unknown> =>
      operator.does('a limit for the stream', ({ streams }) => streams.update(DATA_STREAM, { max_bytes: bytes }));
    await limit(1);
    await this.#tools.sleep(durationMs);
    await limit(before.config.max_bytes);
    return `${durationMs} ms`;
  }

  /** What was in it, no hub has stored. */
  async deleteStream({ durationMs, random }: Act): Promise<string> {
    const { operator } = this.#receiver;
    const join = random() < DELETED_UNSTORED ? await this.#databaseLine.add({ kind: 'hold' }) : undefined;
    try {
      if (join !== undefined) {
        await this.#tools.occasion('a message that is not stored', () =>
          this.#waits(({ pending, held }) => pending + held >= UNSTORED_MIN),
        );
        await this.#tools.sleep(durationMs);
      }
      const messages = await operator.does('the stream to be deleted', async ({ streams }) => {
        const { state } = await streams.info(DATA_STREAM);
        await streams.delete(DATA_STREAM);
        return state.messages;
      });
      return `${messages} messages were in it`;
    } finally {
      await join?.();
    }
  }

  async deleteConsumer({ durationMs }: Act): Promise<string> {
    const join = await this.#databaseLine.add({ kind: 'hold' });
    try {
      await this.#tools.occasion('a message that a hub holds', () => this.#waits(({ held }) => held > 0));
      await this.#tools.sleep(durationMs);
      const held = await this.#receiver.operator.does('the consumer to be deleted', async ({ consumers }) => {
        const info = await consumers.info(DATA_STREAM, CONSUMER);
        await consumers.delete(DATA_STREAM, CONSUMER);
        return info.num_ack_pending;
      });
      return `hubs held ${held} messages`;
    } finally {
      await join();
    }
  }

  /** The time counts from the first message that is delivered again. */
  async storm({ durationMs, random }: Act): Promise<string> {
    const { operator } = this.#receiver;
    const before = await operator.does('the consumer', ({ consumers }) => consumers.info(DATA_STREAM, CONSUMER));
    const setAckWait = (ack_wait: number): Promise<unknown> =>
      operator.does('an ack wait', ({ consumers }) => consumers.update(DATA_STREAM, CONSUMER, { ack_wait }));
    await setAckWait(nanos(STORM_ACK_WAIT_MS));
    const calm = await this.#databaseLine.add({ kind: 'delay', delayMs: () => 400 + random() * 1_100 });
    try {
      await this.#tools.occasion('a redelivery', () => this.#waits(({ redelivered }) => redelivered > 0));
      await this.#tools.sleep(durationMs);
    } finally {
      await calm();
      await setAckWait(before.config.ack_wait ?? nanos(DEFAULT_ACK_WAIT_MS));
    }
    return `${durationMs} ms from the first redelivery on`;
  }

  /** False also while nobody can tell. */
  async #waits(isSo: (seen: { pending: number; held: number; redelivered: number }) => boolean): Promise<boolean> {
    try {
      const info = await this.#receiver.operator.sees(({ consumers }) => consumers.info(DATA_STREAM, CONSUMER));
      return isSo({ pending: info.num_pending, held: info.num_ack_pending, redelivered: info.num_redelivered });
    } catch {
      return false;
    }
  }
}
