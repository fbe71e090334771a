/**
 * Sparkplug B as a host application hears it: births say what there is, data refer to them, deaths take it back. Messages
 * in; readings out, and the nodes that must be asked to tell all anew. Knows no broker and no clock.
 *
 * A gap in a node's sequence numbers, an alias that no birth has told, and data before a birth all mean that something was
 * missed: the node is asked for a rebirth, at most once in an interval. What can be understood all the same is taken.
 */
import { datatypeName, type Metric, type Payload, valueOf } from '../../base/sparkplug/metric.ts';
import { BD_SEQ, type NodeId, type SparkplugTopic } from '../../base/sparkplug/topics.ts';
import { storableText } from '../../model/mtconnect/values.ts';
import { type JsonValue, type MachineEvent, NAME_LENGTH_MAX, type Reading } from '../../model/reading.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';
import type { Machines, Said } from './machines.ts';
import type { SparkplugOptions, Target } from './options.ts';
import { ownTarget } from './plain.ts';

/** Nodes, devices and metrics that are remembered; what is beyond is told as a problem. */
export const NODES_MAX = 1_000;
export const DEVICES_MAX = 2_000;
const SEQ_COUNT = 256;

/** Metrics by which a node is governed, and which say nothing of a machine. */
const IS_OF_CONTROL = /^(?:bdSeq$|Node Control\/|Device Control\/)/;

export interface HostParts {
  readonly options: SparkplugOptions;
  readonly machines: Machines;
  readonly problem: (item: string, reason: string | null) => void;
}

/** What a birth has said of a metric. */
interface Definition {
  readonly name: string;
  readonly datatype: number | undefined;
  readonly target: Target | undefined;
  /** The newest that was taken: a rebirth says it again. */
  atMs: number;
  value: JsonValue | undefined;
}

class Place {
  readonly byName = new Map<string, Definition>();
  readonly byAlias = new Map<bigint, Definition>();
  isAlive = false;
  /** It has died, or our connection has: what is known of it was taken back. */
  isLost = false;
}

class Node extends Place {
  readonly devices = new Map<string, Place>();
  /** They were there, and have to be born again now that the node was. */
  readonly unborn = new Set<string>();
  bdSeq: number | undefined;
  /** Of the message that is to come; undefined: no birth was heard. */
  nextSeq: number | undefined;
  askedAtMs = Number.NEGATIVE_INFINITY;
}

export interface Heard {
  readonly readings: readonly Reading[];
  /** The node is to be asked for a rebirth. */
  readonly rebirth?: NodeId;
}

/** The two times of now. */
export interface Instant {
  readonly timestamp: Timestamp;
  readonly monotonicMs: number;
}

export class SparkplugHost {
  readonly #parts: HostParts;
  readonly #nodes = new Map<string, Node>();

  constructor(parts: HostParts) {
    this.#parts = parts;
  }

  hear(topic: SparkplugTopic, payload: Payload, now: Instant): Heard {
    const place = `${topic.group}/${topic.node}`;
    let node = this.#nodes.get(place);
    if (node === undefined) {
      if (this.#nodes.size >= NODES_MAX) {
        this.#parts.problem(place, `there are more than ${NODES_MAX} nodes`);
        return { readings: [] };
      }
      node = new Node();
      this.#nodes.set(place, node);
    }
    switch (topic.type) {
      case 'NBIRTH':
        return this.#born(topic, node, payload, now);
      case 'NDEATH':
        return this.#died(topic, node, payload, now);
      case 'NCMD':
      case 'DCMD':
        return { readings: [] };
      default: {
        const gone = this.#notBornAgain(topic, node, now);
        const heard = this.#told(topic, node, payload, now);
        return { ...heard, readings: [...gone, ...heard.readings] };
      }
    }
  }

  /** After the connection was lost: all that have not spoken since are to tell all anew, whenever they were asked last. */
  unheard({ monotonicMs }: Instant): NodeId[] {
    return [...this.#nodes].flatMap(([place, node]) => {
      if (node.isAlive) return [];
      const slash = place.indexOf('/');
      node.askedAtMs = monotonicMs;
      return { group: place.slice(0, slash), node: place.slice(slash + 1) };
    });
  }

  /** Our own connection is lost: of nobody anything is known. */
  lose(timestamp: Timestamp, reason: string): Reading[] {
    for (const node of this.#nodes.values()) loseAll(node);
    const { machines } = this.#parts;
    return machines.ids.flatMap((machineId) => machines.lose(machineId, timestamp, reason));
  }

  #born(topic: SparkplugTopic, node: Node, payload: Payload, now: Instant): Heard {
    const bdSeq = payload.metrics.find(({ name }) => name === BD_SEQ);
    const number = bdSeq === undefined ? undefined : valueOf(bdSeq, bdSeq.datatype);
    const isSame = node.bdSeq === number;
    // Of a node that comes on another connection the death was missed.
    const lost = node.isAlive && !isSame ? this.#loseNode(topic, node, now, 'another NBIRTH') : [];
    node.bdSeq = typeof number === 'number' ? number : undefined;
    node.nextSeq = ((payload.seq ?? 0) + 1) % SEQ_COUNT;
    // Devices are born after their node: those of the birth before are not there until they are.
    for (const [name, device] of node.devices) {
      if (device.isAlive) node.unborn.add(name);
      device.isAlive = false;
    }
    this.#parts.problem(`${topic.group}/${topic.node}`, null);
    const { readings } = this.#define({ ...topic, device: null }, node, payload, now);
    return { readings: [...lost, ...readings] };
  }

  #died(topic: SparkplugTopic, node: Node, payload: Payload, now: Instant): Heard {
    const metric = payload.metrics.find(({ name }) => name === BD_SEQ);
    const bdSeq = metric === undefined ? undefined : valueOf(metric, metric.datatype);
    // The will of a connection that was long replaced says nothing of this one.
    if (node.bdSeq !== undefined && bdSeq !== undefined && bdSeq !== node.bdSeq) return { readings: [] };
    // The will was written when the node connected, and so was its time.
    return { readings: this.#loseNode(topic, node, now, 'NDEATH') };
  }

  /** The births of devices follow that of their node. Of a device whose birth is not among them the death was missed. */
  #notBornAgain(topic: SparkplugTopic, node: Node, { timestamp }: Instant): Reading[] {
    if (topic.type === 'DBIRTH') {
      node.unborn.delete(topic.device ?? '');
      return [];
    }
    const names = [...node.unborn];
    node.unborn.clear();
    return names.flatMap((device) => {
      const place = node.devices.get(device);
      if (place !== undefined) place.isLost = true;
      const text = `no DBIRTH of ${topic.group}/${topic.node}/${device} after the NBIRTH`;
      return this.#parts.machines.lose(this.#machineOf({ ...topic, device }), timestamp, text);
    });
  }

  #loseNode(topic: SparkplugTopic, node: Node, { timestamp }: Instant, what: string): Reading[] {
    const { machines } = this.#parts;
    const text = `${what} of ${topic.group}/${topic.node}`;
    loseAll(node);
    const devices = [...node.devices.keys(), null];
    return devices.flatMap((device) => machines.lose(this.#machineOf({ ...topic, device }), timestamp, text));
  }

  #told(topic: SparkplugTopic, node: Node, payload: Payload, now: Instant): Heard {
    const gap = this.#follow(topic, node, payload, now);
    const ask = (): Heard => {
      const rebirth = this.#ask(topic, node, now);
      return { readings: gap, ...(rebirth !== undefined && { rebirth }) };
    };
    if (!node.isAlive) return ask();
    if (topic.device === null) return this.#data(topic, node, node, { payload, gap, now });
    let device = node.devices.get(topic.device);
    if (topic.type === 'DBIRTH') {
      if (device === undefined) {
        if (node.devices.size >= DEVICES_MAX) {
          this.#parts.problem(`${topic.group}/${topic.node}`, `has more than ${DEVICES_MAX} devices`);
          return { readings: gap };
        }
        device = new Place();
        node.devices.set(topic.device, device);
      }
      const heard = this.#define(topic, device, payload, now);
      const rebirth = gap.length > 0 ? this.#ask(topic, node, now) : undefined;
      return { readings: [...gap, ...heard.readings], ...(rebirth !== undefined && { rebirth }) };
    }
    if (device === undefined || !device.isAlive) return ask();
    if (topic.type === 'DDEATH') {
      device.isAlive = false;
      device.isLost = true;
      const text = `DDEATH of ${topic.group}/${topic.node}/${topic.device}`;
      const readings = this.#parts.machines.lose(this.#machineOf(topic), timeOf(payload.timestampMs, now), text);
      return { readings: [...gap, ...readings] };
    }
    return this.#data(topic, node, device, { payload, gap, now });
  }

  /** @returns what to tell when messages are missing */
  #follow(topic: SparkplugTopic, node: Node, { seq }: Payload, { timestamp }: Instant): Reading[] {
    const expected = node.nextSeq;
    if (seq === undefined) return [];
    node.nextSeq = node.isAlive ? (seq + 1) % SEQ_COUNT : undefined;
    if (!node.isAlive || expected === undefined || seq === expected) return [];
    const missing = (((seq - expected) % SEQ_COUNT) + SEQ_COUNT) % SEQ_COUNT;
    const gap: MachineEvent = {
      machine_id: this.#machineOf(topic),
      timestamp,
      kind: 'event',
      event_type: 'gap',
      item: storableText(`${topic.group}/${topic.node}`),
      details: {
        reason: 'sequence',
        expected,
        found: seq,
        messages: missing,
        start_time: timestamp,
        end_time: timestamp,
      },
    };
    return [gap];
  }

  /** Undefined when it was asked within the interval. */
  #ask({ group, node: name }: NodeId, node: Node, { monotonicMs }: Instant): NodeId | undefined {
    if (monotonicMs - node.askedAtMs < this.#parts.options.rebirthIntervalMs) return undefined;
    node.askedAtMs = monotonicMs;
    return { group, node: name };
  }

  #define(topic: SparkplugTopic, place: Place, payload: Payload, now: Instant): Heard {
    const before = new Map(place.byName);
    place.byName.clear();
    place.byAlias.clear();
    place.isAlive = true;
    const wasLost = place.isLost;
    place.isLost = false;
    const known: Known[] = [];
    for (const metric of payload.metrics) {
      const { name, alias, datatype } = metric;
      if (name === undefined || name === '') continue;
      const previous = before.get(name);
      const target = IS_OF_CONTROL.test(name) ? undefined : this.#targetOf(name);
      const definition: Definition = {
        name,
        datatype,
        target,
        atMs: previous?.atMs ?? Number.NEGATIVE_INFINITY,
        value: previous?.value,
      };
      place.byName.set(name, definition);
      if (alias !== undefined) place.byAlias.set(alias, definition);
      if (target !== undefined) known.push({ metric, definition });
    }
    const machineId = this.#machineOf(topic);
    // A node without values of its own is no machine, but what carries machines.
    if (topic.device === null && known.length === 0) return { readings: [] };
    const { machines } = this.#parts;
    const readings = this.#readings(machineId, known, { payload, now, isBirth: true, wasLost });
    const tellsState = [...place.byName.values()].some(({ target }) => target?.kind === 'state');
    const text = `${topic.type} of ${topic.group}/${topic.node}${topic.device === null ? '' : `/${topic.device}`}`;
    if (!tellsState) readings.push(...machines.there(machineId, timeOf(payload.timestampMs, now), text));
    return { readings };
  }

  #data(
    topic: SparkplugTopic,
    node: Node,
    place: Place,
    { payload, gap, now }: { readonly payload: Payload; readonly gap: readonly Reading[]; readonly now: Instant },
  ): Heard {
    const known: Known[] = [];
    let isMissing = gap.length > 0;
    for (const metric of payload.metrics) {
      const { name, alias } = metric;
      const definition = alias === undefined ? place.byName.get(name ?? '') : place.byAlias.get(alias);
      if (definition === undefined) isMissing = true;
      else if (definition.target !== undefined) known.push({ metric, definition });
    }
    const readings = [
      ...gap,
      ...this.#readings(this.#machineOf(topic), known, { payload, now, isBirth: false, wasLost: false }),
    ];
    const rebirth = isMissing ? this.#ask(topic, node, now) : undefined;
    return { readings, ...(rebirth !== undefined && { rebirth }) };
  }

  /** One sample for each instant; what is told late apart from what is new. */
  #readings(machineId: string, known: readonly Known[], { payload, now, isBirth, wasLost }: Sent): Reading[] {
    const moments = new Map<string, { atMs: number; isHistorical: boolean; timestamp: Timestamp; said: Said[] }>();
    for (const { metric, definition } of known) {
      const { name, target } = definition;
      if (target === undefined) continue;
      const value = valueOf(metric, metric.datatype ?? definition.datatype);
      const item = `${machineId} ${name}`;
      if (value === undefined) {
        const datatype = datatypeName(metric.datatype ?? definition.datatype);
        this.#parts.problem(item, `is passed over: ${datatype} is no single value`);
        continue;
      }
      const sentMs = metric.timestampMs ?? payload.timestampMs;
      const isHistorical = metric.isHistorical === true;
      const isSame = isBirth && sentMs !== undefined && definition.atMs === sentMs && definition.value === value;
      if (isSame && !wasLost) continue;
      const timestamp = timeOf(isSame ? payload.timestampMs : sentMs, now);
      if (!isHistorical && sentMs !== undefined) {
        definition.atMs = sentMs;
        definition.value = value;
      }
      const key = `${timestamp}${isHistorical ? ' late' : ''}`;
      const moment = moments.get(key) ?? { atMs: sentMs ?? Infinity, isHistorical, timestamp, said: [] };
      moment.said.push({ item: name, target, value });
      moments.set(key, moment);
    }
    const inOrder = [...moments.values()].sort((a, b) => a.atMs - b.atMs);
    return inOrder.flatMap(({ timestamp, isHistorical, said }) => {
      return this.#parts.machines.take({ machineId, timestamp, isHistorical, said });
    });
  }

  #targetOf(name: string): Target | undefined {
    const { map, extra } = this.#parts.options;
    return Object.hasOwn(map, name) ? map[name] : ownTarget(name, extra);
  }

  #machineOf({ group, node, device }: Pick<SparkplugTopic, 'group' | 'node' | 'device'>): string {
    const { machine, nodeMachine, machines } = this.#parts.options;
    const place = device === null ? `${group}/${node}` : `${group}/${node}/${device}`;
    const named = Object.hasOwn(machines, place) ? machines[place] : undefined;
    if (named !== undefined) return named;
    const words: { readonly [word: string]: string } = { group, node, device: device ?? '' };
    const template = device === null ? nodeMachine : machine;
    return template
      .replaceAll(/\{(group|node|device)\}/g, (_, word: string) => words[word] ?? '')
      .replaceAll('\0', '_')
      .slice(0, NAME_LENGTH_MAX)
      .toWellFormed();
  }
}

function loseAll(node: Node): void {
  node.nextSeq = undefined;
  node.unborn.clear();
  for (const place of [node, ...node.devices.values()]) {
    place.isAlive = false;
    place.isLost = true;
  }
}

interface Known {
  readonly metric: Metric;
  readonly definition: Definition;
}

interface Sent {
  readonly payload: Payload;
  readonly now: Instant;
  readonly isBirth: boolean;
  /** What was known was taken back: a birth that says the same says that it holds again. */
  readonly wasLost: boolean;
}

function timeOf(atMs: number | undefined, now: Instant): Timestamp {
  return atMs === undefined ? now.timestamp : timestampOf(atMs * 1000);
}
