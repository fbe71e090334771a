/** Opens the connections of a run: one publisher for each gateway. */
import type { Clock } from '../base/clock.ts';
import { connectNats, type NatsConnection } from '../base/nats.ts';
import type { Random } from '../base/random.ts';
import type { Batch } from '../model/batch.ts';
import { EDGE_SUBJECT_PREFIX, natsMessageId, subjectToken } from '../model/nats-wire.ts';
import { HubClient } from './http-client.ts';
import { HttpPublisher } from './http-publisher.ts';
import { type NatsPublisher, startNatsPublisher, WINDOW_BYTES, WINDOW_MESSAGES } from './nats-publisher.ts';
import type { PlannedGateway } from './plan.ts';
import type { Publisher, PublisherFigures } from './publisher.ts';
import type { Target } from './target.ts';

export interface OpenedGateway {
  readonly gateway: PlannedGateway;
  readonly publisher: Publisher;
}

export interface OpenParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly onAcknowledged: (latencyMs: number) => void;
}

/** @throws connection_failed when one cannot be opened; then none is left open */
export async function openGateways(
  gateways: readonly PlannedGateway[],
  target: Target,
  parts: OpenParts,
): Promise<readonly OpenedGateway[]> {
  const opened = await Promise.allSettled(
    gateways.map(async (gateway) => ({ gateway, publisher: await open(gateway, target, parts, gateways.length) })),
  );
  const failed = opened.find((one) => one.status === 'rejected');
  const whole = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (failed === undefined) return whole;
  await Promise.all(whole.map(({ publisher }) => publisher.close()));
  throw failed.reason;
}

/** All gateways together await as much as the one window of {@link startNatsPublisher}. */
async function open(
  { id }: PlannedGateway,
  target: Target,
  { clock, random, onAcknowledged }: OpenParts,
  gateways: number,
): Promise<Publisher> {
  if (target.kind === 'http') {
    const client = new HubClient(target.hub, 1);
    return new HttpPublisher({ client, clock, random, onAcknowledged: (_, latencyMs) => onAcknowledged(latencyMs) });
  }
  const connection = await connectNats(target.connection, { name: id, random });
  const publisher = startNatsPublisher({
    connection,
    clock,
    random,
    windowMessages: Math.ceil(WINDOW_MESSAGES / gateways),
    windowBytes: Math.ceil(WINDOW_BYTES / gateways),
    onAcknowledged: (_, latencyMs) => onAcknowledged(latencyMs),
  });
  return new NatsGateway(connection, publisher, `${EDGE_SUBJECT_PREFIX}.${subjectToken(id)}`);
}

/** Batches on the subject of their gateway, over a connection of its own. */
class NatsGateway implements Publisher {
  readonly #connection: NatsConnection;
  readonly #publisher: NatsPublisher;
  readonly #subject: string;

  constructor(connection: NatsConnection, publisher: NatsPublisher, subject: string) {
    this.#connection = connection;
    this.#publisher = publisher;
    this.#subject = subject;
  }

  get figures(): PublisherFigures {
    return this.#publisher.figures;
  }

  get hasRoom(): boolean {
    return this.#publisher.hasRoom;
  }

  room(signal: AbortSignal): Promise<void> {
    return this.#publisher.room(signal);
  }

  settled(signal: AbortSignal): Promise<void> {
    return this.#publisher.settled(signal);
  }

  publish(batch: Batch): void {
    this.#publisher.publish(this.#subject, batch.payload, natsMessageId(batch));
  }

  async close(): Promise<void> {
    await this.#publisher.close();
    await this.#connection.close();
  }
}
