/**
 * The sink `mqtt`: publishes readings at an MQTT broker, on plain topics or as a Sparkplug B edge node.
 *
 * On plain topics each message has quality of service 1, and a call is settled when the broker has acknowledged all of it:
 * at least once, since what was sent before a connection broke is sent again.
 */
import { MillwrightError } from '../../base/errors.ts';
import { connectMqtt, type MqttLink, type OutgoingMessage, PublishRefusal } from '../../base/mqtt.ts';
import { type Batch, readingsOfBatch } from '../../model/batch.ts';
import type { Reading } from '../../model/reading.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateSink, Refusal, Settlement, Sink, SinkContext, StatusReporter } from '../../ports/sink.ts';
import type { MqttSinkOptions, PlainTarget } from './config.ts';
import { Freshness } from './freshness.ts';
import { messagesOf } from './plain.ts';
import { hostOf, type Placed, SparkplugSession } from './sparkplug-session.ts';

export const create: CreateSink<MqttSinkOptions> = (options, context) => {
  const sink = new MqttSink(options, context);
  if (options.target.kind === 'plain') return sink;
  return Object.assign(sink, { report: sink.publishBacklog.bind(sink) } satisfies StatusReporter);
};

/** A reading becomes up to some twenty messages. */
export const CALL_LIMITS: Sink['limits'] = { batchesMax: 8, bytesMax: 128 * 1024 };
/** One for the backlog, and one for the newest. */
const CALLS_MAX = 2;
/** The broker will never take the message: no valid topic, too large, payload not as it wants it (MQTT 5, 2.4). */
const FOR_GOOD: readonly number[] = [144, 149, 153];
/** Readings of calls that failed for another reason, and will come again. */
const REFUSED_MAX = 10_000;

function nameOf({ sequence, index }: Placed): string {
  return `${sequence}/${index}`;
}

class MqttSink implements Sink, Checkable {
  readonly limits: Sink['limits'] = CALL_LIMITS;
  readonly window = CALLS_MAX;
  readonly #options: MqttSinkOptions;
  readonly #context: SinkContext;
  readonly #freshness: Freshness;
  readonly #closing = new AbortController();
  /** Refused for good, by their place in the log: some brokers end the connection as well, and with it the call. */
  readonly #refused = new Map<string, string>();
  #connecting: Promise<MqttLink> | undefined;
  #session: SparkplugSession | undefined;

  constructor(options: MqttSinkOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    this.#freshness = new Freshness({ clock: context.clock, backlogReadings: () => context.backlogReadings() });
  }

  async deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement> {
    const refused: Refusal[] = [];
    const placed: Placed[] = [];
    let readings = 0;
    for (const batch of batches) {
      readings += batch.readings;
      for (const one of readingsOfBatch(batch)) {
        const place = { sequence: batch.sequence, index: one.index };
        if ('fault' in one) refused.push({ ...place, reason: one.fault });
        else if (this.#isWanted(one.reading)) placed.push({ ...place, reading: one.reading });
      }
    }
    const { target } = this.#options;
    if (target.kind === 'plain') await this.#publish(placed, { target, readings, refused });
    else {
      const session = await this.#sparkplug();
      refused.push(...(await session.deliver(placed, this.#freshness.ofCall(readings), signal)));
    }
    return { refused };
  }

  async publishBacklog(): Promise<void> {
    await this.#session?.publishBacklog(this.#context.backlogReadings() ?? 0);
  }

  async check(signal: AbortSignal): Promise<string> {
    const { broker, target } = this.#options;
    const { clock, random } = this.#context;
    // Another name, and no will: the edge that runs is left alone.
    const link = await connectMqtt({ broker: { ...broker, clientId: null }, clock, random, signal });
    try {
      if (target.kind === 'plain' || target.primaryHost === null) return `${link.place} lets us in`;
      const isOnline = (await hostOf(link, target.primaryHost, clock))?.online === true;
      return `${link.place} lets us in; the primary host ${target.primaryHost} is ${isOnline ? 'online' : 'not online: nothing would be sent'}`;
    } finally {
      await link.close();
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#session?.close();
    const link = await this.#connecting?.catch(() => undefined);
    await link?.close();
  }

  #isWanted({ machine_id }: Reading): boolean {
    return this.#options.machines?.includes(machine_id) ?? true;
  }

  async #publish(
    placed: readonly Placed[],
    call: { readonly target: PlainTarget; readonly readings: number; readonly refused: Refusal[] },
  ): Promise<void> {
    const { gatewayId } = this.#context;
    const isLate = this.#freshness.ofCall(call.readings);
    const link = await this.#connected();
    const sent: { readonly place: Placed; readonly message: OutgoingMessage }[] = [];
    for (const place of placed) {
      if (this.#refused.has(nameOf(place))) continue;
      for (const message of messagesOf(place.reading, { target: call.target, gatewayId, isLate })) {
        sent.push({ place, message });
      }
    }
    const results = await Promise.allSettled(sent.map(({ message }) => link.publish(message)));
    let failure: unknown;
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') continue;
      const { reason } = result as { reason: unknown };
      const isForGood = reason instanceof PublishRefusal && FOR_GOOD.includes(reason.reasonCode);
      if (!isForGood) failure ??= reason;
      else if (this.#refused.size < REFUSED_MAX) this.#refused.set(nameOf(sent[index]!.place), reason.message);
    }
    if (failure !== undefined) throw failure as Error;
    for (const place of placed) {
      const reason = this.#refused.get(nameOf(place));
      if (reason !== undefined) call.refused.push({ sequence: place.sequence, index: place.index, reason });
      this.#refused.delete(nameOf(place));
    }
  }

  /** The connection, made anew where it has ended. */
  async #connected(): Promise<MqttLink> {
    const { clock, random } = this.#context;
    const known = this.#connecting;
    const link = await known?.catch(() => undefined);
    if (link !== undefined && !link.ended.aborted) return link;
    // Of two calls that find it ended one makes another.
    if (this.#connecting === known) {
      const { signal } = this.#closing;
      this.#connecting = connectMqtt({ broker: this.#options.broker, clock, random, signal });
    }
    return this.#connecting!;
  }

  async #sparkplug(): Promise<SparkplugSession> {
    const { target, broker } = this.#options;
    const { place, gatewayId } = this.#context;
    if (target.kind === 'plain') throw new TypeError('this sink has plain topics');
    if (place === undefined) {
      const message = 'an edge node is there once: what a Sparkplug B sink refused cannot be delivered beside the edge';
      throw new MillwrightError('bad_request', message);
    }
    const { EdgeNode } = await import('../../base/sparkplug/node.ts');
    const codec = await import('../../base/sparkplug/payload.ts');
    const id = { group: target.group, node: target.node ?? gatewayId.replaceAll(/[+#/\0]/g, '_') };
    this.#session ??= new SparkplugSession({
      broker,
      id,
      node: new EdgeNode(id),
      codec,
      primaryHost: target.primaryHost,
      place,
      context: this.#context,
    });
    return this.#session;
  }
}
