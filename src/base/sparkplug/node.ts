/**
 * A Sparkplug B edge node: what it must say, and in which order (Sparkplug 3.0, 5 and 6). Knows no broker and no clock: it
 * makes the messages, and whoever has the connection publishes them in the order in which they were made.
 *
 * A birth tells every metric with its name, alias, datatype and newest value; data then have the alias alone. Sequence
 * numbers count from the node's birth, from 0 to 255 and again. The number of the connection (`bdSeq`) stands in the birth
 * and in the death, so that the death of a connection that is gone is not taken for that of this one.
 */
import type { OutgoingMessage } from '../mqtt.ts';
import { DATATYPES, type Metric, type RawValue } from './metric.ts';
import { encodePayload } from './payload.ts';
import { BD_SEQ, type MessageType, type NodeId, REBIRTH, topicOf } from './topics.ts';

const SEQ_COUNT = 256;

export interface MetricDefinition {
  readonly name: string;
  readonly datatype: number;
  readonly unit?: string;
}

/** A value of a metric that is defined; null: not known. */
export interface MetricValue {
  readonly name: string;
  readonly value: RawValue | null;
  readonly timestampMs: number;
  readonly isHistorical?: boolean;
}

interface Known extends MetricDefinition {
  readonly alias: bigint;
  newest: { readonly value: RawValue | null; readonly timestampMs: number } | undefined;
}

interface Device {
  readonly metrics: Map<string, Known>;
  isBorn: boolean;
}

export class EdgeNode {
  readonly #id: NodeId;
  readonly #own: Device = { metrics: new Map(), isBorn: false };
  readonly #devices = new Map<string, Device>();
  #nextAlias = 0n;
  #seq = 0;
  #bdSeq = 0;

  constructor(id: NodeId) {
    this.#id = id;
  }

  /** The will of the connection with this number: publish it also before going on purpose. */
  death(bdSeq: number, nowMs: number): OutgoingMessage {
    const payload = encodePayload({ timestampMs: nowMs, metrics: [bdSeqMetric(bdSeq, nowMs)] });
    return { topic: topicOf('NDEATH', this.#id), payload, qos: 1, retain: false };
  }

  /** The node's birth on the connection with this number, and those of the devices that are there. */
  birth(bdSeq: number, nowMs: number): OutgoingMessage[] {
    this.#seq = 0;
    this.#bdSeq = bdSeq;
    this.#own.isBorn = true;
    const rebirth = { name: REBIRTH, timestampMs: nowMs, datatype: DATATYPES.Boolean, value: false };
    const metrics = [bdSeqMetric(bdSeq, nowMs), rebirth, ...bornMetrics(this.#own, nowMs)];
    const born = [...this.#devices].filter(([, device]) => device.isBorn);
    return [this.#message('NBIRTH', null, metrics, nowMs), ...born.map(([name]) => this.deviceBirth(name, nowMs))];
  }

  /** The same again, on the connection that stands. */
  rebirth(nowMs: number): OutgoingMessage[] {
    return this.birth(this.#bdSeq, nowMs);
  }

  /**
   * What may be said of a device, or of the node (null). A metric that changes its datatype is told anew.
   * @returns whether there is something new: a birth must come before the next data
   */
  define(name: string | null, definitions: Iterable<MetricDefinition>): boolean {
    const { metrics } = this.#place(name);
    let isNew = false;
    for (const definition of definitions) {
      const known = metrics.get(definition.name);
      if (known?.datatype === definition.datatype && known.unit === definition.unit) continue;
      const alias = known?.alias ?? this.#nextAlias++;
      metrics.set(definition.name, { ...definition, alias, newest: undefined });
      isNew = true;
    }
    return isNew;
  }

  /** How many metrics a device has. */
  metricsOf(name: string): number {
    return this.#devices.get(name)?.metrics.size ?? 0;
  }

  datatypeOf(name: string, metric: string): number | undefined {
    return this.#devices.get(name)?.metrics.get(metric)?.datatype;
  }

  isBorn(name: string): boolean {
    return this.#devices.get(name)?.isBorn ?? false;
  }

  deviceBirth(name: string, nowMs: number): OutgoingMessage {
    const device = this.#place(name);
    device.isBorn = true;
    return this.#message('DBIRTH', name, bornMetrics(device, nowMs), nowMs);
  }

  deviceDeath(name: string, nowMs: number): OutgoingMessage {
    this.#place(name).isBorn = false;
    return this.#message('DDEATH', name, [], nowMs);
  }

  /** Metrics must be defined, and the device or node (null) born. */
  data(name: string | null, values: readonly MetricValue[], nowMs: number): OutgoingMessage {
    const place = this.#place(name);
    const metrics = values.map(({ name: metric, value, timestampMs, isHistorical = false }): Metric => {
      const known = place.metrics.get(metric);
      if (known === undefined || !place.isBorn) throw new TypeError(`${metric} was told by no birth`);
      if (!isHistorical) known.newest = { value, timestampMs };
      const { alias, datatype } = known;
      return { alias, timestampMs, datatype, isTypeTold: true, isHistorical, ...valueKeys(value) };
    });
    return this.#message(name === null ? 'NDATA' : 'DDATA', name, metrics, nowMs);
  }

  #place(name: string | null): Device {
    if (name === null) return this.#own;
    let device = this.#devices.get(name);
    if (device === undefined) {
      device = { metrics: new Map(), isBorn: false };
      this.#devices.set(name, device);
    }
    return device;
  }

  #message(type: MessageType, device: string | null, metrics: readonly Metric[], timestampMs: number): OutgoingMessage {
    const payload = encodePayload({ timestampMs, metrics, seq: this.#seq });
    this.#seq = (this.#seq + 1) % SEQ_COUNT;
    return { topic: topicOf(type, this.#id, device), payload, qos: 0, retain: false };
  }
}

function bdSeqMetric(bdSeq: number, timestampMs: number): Metric {
  return { name: BD_SEQ, timestampMs, datatype: DATATYPES.Int64, value: BigInt(bdSeq) };
}

function bornMetrics({ metrics }: Device, nowMs: number): Metric[] {
  return [...metrics.values()].map(({ name, alias, datatype, unit, newest }) => ({
    name,
    alias,
    timestampMs: newest?.timestampMs ?? nowMs,
    datatype,
    ...(unit !== undefined && { unit }),
    ...valueKeys(newest?.value ?? null),
  }));
}

function valueKeys(value: RawValue | null): { readonly isNull: true } | { readonly value: RawValue } {
  return value === null ? { isNull: true } : { value };
}
