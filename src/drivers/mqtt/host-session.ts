/**
 * The Sparkplug host application's side of a connection: its own STATE, and what it asks of nodes (Sparkplug 3.0, 5).
 *
 * While it is connected its retained STATE says `online`; the will says the opposite, with the same time. Edge nodes that
 * name it as their primary host keep what they have until it is online.
 */
import { type Clock, now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import type { IncomingMessage, MqttLink, OutgoingMessage, Subscription } from '../../base/mqtt.ts';
import { DATATYPES } from '../../base/sparkplug/metric.ts';
import {
  decodeHostState,
  encodeHostState,
  NAMESPACE,
  type NodeId,
  parseTopic,
  REBIRTH,
  stateTopicOf,
  topicOf,
} from '../../base/sparkplug/topics.ts';
import type { Reading } from '../../model/reading.ts';
import type { Timestamp } from '../../model/time.ts';
import { type HostParts, SparkplugHost } from './host.ts';

/** The codec, and with it the library, is loaded for Sparkplug only. */
export interface HostSessionParts extends HostParts {
  readonly codec: typeof import('../../base/sparkplug/payload.ts');
}

export class HostSession {
  readonly #parts: HostSessionParts;
  readonly #host: SparkplugHost;
  #clock: Clock | undefined;
  #bornAtMs = 0;
  #isOpen = false;
  #isLeaving = false;

  constructor(parts: HostSessionParts) {
    this.#parts = parts;
    this.#host = new SparkplugHost(parts);
  }

  static subscriptions({ groups, hostId }: HostParts['options']): Subscription[] {
    const filters = groups?.map((group) => `${NAMESPACE}/${group}/#`) ?? [`${NAMESPACE}/#`];
    // All groups have the states among them.
    if (groups !== null) filters.push(stateTopicOf(hostId));
    return filters.map((filter) => ({ filter, qos: 1 }));
  }

  /** Of the connection that is about to be made. */
  will(clock: Clock): OutgoingMessage {
    this.#clock = clock;
    this.#bornAtMs = nowMs(clock);
    this.#isLeaving = false;
    this.#isOpen = false;
    return this.#state(false, this.#bornAtMs);
  }

  async opened(link: MqttLink): Promise<void> {
    this.#isOpen = true;
    await link.publish(this.#state(true, this.#bornAtMs));
    if (this.#clock === undefined) return;
    for (const node of this.#host.unheard(this.#now(this.#clock))) this.#askRebirth(link, node);
  }

  /** That we go; to be published last. */
  farewell(clock: Clock): OutgoingMessage {
    this.#isLeaving = true;
    return this.#state(false, nowMs(clock));
  }

  hear({ topic, payload, isRetained }: IncomingMessage, link: MqttLink): readonly Reading[] {
    const { options, problem, codec } = this.#parts;
    const clock = this.#clock;
    if (clock === undefined) return [];
    if (topic === stateTopicOf(options.hostId)) {
      // A will of our own that was late, or somebody with our id: the nodes must not believe it. They compare the times.
      const state = decodeHostState(payload);
      if (state?.online !== false || isRetained || this.#isLeaving || !this.#isOpen) return [];
      const timestamp = state.timestamp <= this.#bornAtMs ? this.#bornAtMs : nowMs(clock);
      void link.publish(this.#state(true, timestamp)).catch(() => {});
      return [];
    }
    const parsed = parseTopic(topic);
    // Sparkplug retains nothing but STATE: what is retained is nobody's word of now.
    if (parsed === undefined || isRetained) return [];
    try {
      const decoded = parsed.type.endsWith('CMD') ? undefined : codec.decodePayload(payload);
      problem(topic, null);
      if (decoded === undefined) return [];
      const { readings, rebirth } = this.#host.hear(parsed, decoded, this.#now(clock));
      if (rebirth !== undefined) this.#askRebirth(link, rebirth);
      return readings;
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      problem(topic, error.message);
      return [];
    }
  }

  lose(timestamp: Timestamp, reason: string): Reading[] {
    return this.#host.lose(timestamp, reason);
  }

  #askRebirth(link: MqttLink, node: NodeId): void {
    const timestampMs = this.#clock === undefined ? 0 : nowMs(this.#clock);
    void link.publish(rebirthOrder(this.#parts.codec, node, timestampMs)).catch(() => {});
  }

  #state(online: boolean, timestamp: number): OutgoingMessage {
    const payload = encodeHostState({ online, timestamp });
    return { topic: stateTopicOf(this.#parts.options.hostId), payload, qos: 1, retain: true };
  }

  #now(clock: Clock): { readonly timestamp: Timestamp; readonly monotonicMs: number } {
    return { timestamp: now(clock), monotonicMs: clock.monotonicMs() };
  }
}

/** NCMD: the node is to tell all anew. */
export function rebirthOrder(codec: HostSessionParts['codec'], node: NodeId, timestampMs: number): OutgoingMessage {
  const command = { name: REBIRTH, timestampMs, datatype: DATATYPES.Boolean, value: true };
  const payload = codec.encodePayload({ timestampMs, metrics: [command] });
  return { topic: topicOf('NCMD', node), payload, qos: 0, retain: false };
}

function nowMs(clock: Clock): number {
  return Math.floor(clock.nowMicros() / 1000);
}
