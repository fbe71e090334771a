/**
 * The rules of Sparkplug 3.0 for what an edge node and its devices publish, by the ids of the specification, written from
 * its text and judged through a codec of other hands (`sparkplug-payload`): what a broker has seen goes in, in its order.
 */
import { createRequire } from 'node:module';
import type { IncomingMessage } from '../../src/base/mqtt.ts';

/** As the foreign codec gives it: keys are own properties only where they stand in the bytes. */
export interface ForeignMetric {
  readonly name?: string;
  readonly alias?: unknown;
  readonly timestamp?: unknown;
  readonly datatype?: number;
  readonly isHistorical?: boolean;
  readonly isNull?: boolean;
  readonly value?: string;
  readonly [field: string]: unknown;
}

export interface ForeignPayload {
  readonly timestamp?: unknown;
  readonly seq?: unknown;
  readonly metrics: readonly ForeignMetric[];
}

interface ForeignCodec {
  readonly Payload: {
    decode(bytes: Uint8Array): ForeignPayload;
    encode(payload: object): { finish(): Uint8Array };
    verify(payload: object): string | null;
  };
}

export const foreign: ForeignCodec = (
  createRequire(import.meta.url)('sparkplug-payload/lib/sparkplugPayloadProto.js') as {
    org: { eclipse: { tahu: { protobuf: ForeignCodec } } };
  }
).org.eclipse.tahu.protobuf;

/** Its longs are objects. */
export function numberOf(value: unknown): number {
  return Number(String(value));
}

const TYPES = ['NBIRTH', 'NDEATH', 'DBIRTH', 'DDEATH', 'NDATA', 'DDATA'];
/** Connections in a row on which a node was not born; each has a number all the same. */
const UNBORN_MAX = 16;
const YEAR_MS = 366 * 86_400_000;

interface NodeSeen {
  isAlive: boolean;
  bdSeq: number;
  seq: number;
  /** Of the node and of its devices: alias → place and name. */
  readonly aliases: Map<string, string>;
  readonly devices: Map<string, { isAlive: boolean; readonly aliases: Set<string> }>;
  readonly own: Set<string>;
}

/** @returns every breach, with the rule's id */
export function breaches(
  messages: readonly Pick<IncomingMessage, 'topic' | 'payload' | 'qos' | 'isRetained'>[],
): string[] {
  const found: string[] = [];
  const nodes = new Map<string, NodeSeen>();
  const bdSeqs = new Map<string, number>();
  for (const [index, { topic, payload: bytes, qos, isRetained }] of messages.entries()) {
    const breach = (rule: string, what: string): void => void found.push(`${index} ${topic} ${rule}: ${what}`);
    const [namespace, group = '', type = '', name = '', device, ...rest] = topic.split('/');
    if (group === 'STATE' || type === 'NCMD' || type === 'DCMD') continue;
    if (namespace !== 'spBv1.0' || rest.length > 0 || group === '' || name === '') {
      breach('tck-id-topic-structure-namespace-a', 'is no topic of Sparkplug B');
    }
    if (!TYPES.includes(type)) {
      breach('tck-id-topic-structure-namespace-a', `has no message type ${type}`);
      continue;
    }
    const isDevice = type.startsWith('D');
    if (isDevice !== (device !== undefined)) breach(`tck-id-topics-${type.toLowerCase()}-topic`, 'device id');
    if (isRetained) breach(`tck-id-topics-${type.toLowerCase()}-mqtt`, 'is retained');
    if (type !== 'NDEATH' && qos !== 0) breach(`tck-id-topics-${type.toLowerCase()}-mqtt`, `has quality ${qos}`);
    if (type === 'NDEATH' && qos !== 1) breach('tck-id-payloads-ndeath-will-message-qos', `has quality ${qos}`);
    const payload = foreign.Payload.decode(bytes);
    const has = (thing: object, key: string): boolean => Object.hasOwn(thing, key);
    const key = `${group}/${name}`;
    const node = nodes.get(key);
    if (type !== 'NDEATH') {
      const ms = numberOf(payload.timestamp);
      if (!has(payload, 'timestamp')) breach(`tck-id-topics-${type.toLowerCase()}-timestamp`, 'has none');
      else if (Math.abs(ms - Date.now()) > YEAR_MS) breach('tck-id-payloads-timestamp-in-UTC', `says ${ms}`);
      if (!has(payload, 'seq')) breach('tck-id-payloads-sequence-num-always-included', 'has none');
    }
    const bdSeqMetric = payload.metrics.find((metric) => metric.name === 'bdSeq');
    const bdSeq = bdSeqMetric === undefined ? Number.NaN : numberOf(bdSeqMetric['longValue']);
    if (type === 'NDEATH') {
      if (has(payload, 'seq')) breach('tck-id-topics-ndeath-seq', 'has a sequence number');
      if (payload.metrics.length !== 1 || bdSeqMetric === undefined)
        breach('tck-id-topics-ndeath-payload', 'not bdSeq alone');
      if (node?.isAlive === true && bdSeq !== node.bdSeq) {
        breach('tck-id-payloads-ndeath-bdseq', `bdSeq ${bdSeq} is not that of the birth, ${node.bdSeq}`);
      }
      if (node !== undefined) node.isAlive = false;
      continue;
    }
    const seq = numberOf(payload.seq);
    if (type === 'NBIRTH') {
      if (seq !== 0) breach('tck-id-topics-nbirth-seq-num', `is ${seq}`);
      if (!(bdSeq >= 0 && bdSeq <= 255)) breach('tck-id-topics-nbirth-bdseq-included', `is ${bdSeq}`);
      const before = bdSeqs.get(key);
      const steps = before === undefined ? undefined : (bdSeq - before + 256) % 256;
      const isRebirth = node?.isAlive === true;
      if (steps !== undefined && (isRebirth ? steps !== 0 : steps < 1 || steps > UNBORN_MAX)) {
        breach('tck-id-topics-nbirth-bdseq-increment', `${bdSeq} follows ${before}`);
      }
      bdSeqs.set(key, bdSeq);
      const rebirth = payload.metrics.find((metric) => metric.name === 'Node Control/Rebirth');
      if (rebirth === undefined || rebirth.datatype !== 11 || rebirth['booleanValue'] !== false) {
        breach('tck-id-topics-nbirth-rebirth-metric', 'Node Control/Rebirth is no Boolean that is false');
      }
      if (rebirth !== undefined && has(rebirth, 'alias')) {
        breach('tck-id-operational-behavior-data-commands-rebirth-name-aliases', 'it has an alias');
      }
      nodes.set(key, { isAlive: true, bdSeq, seq, aliases: new Map(), devices: new Map(), own: new Set() });
    } else if (node?.isAlive !== true) {
      const rule = isDevice ? 'tck-id-message-flow-device-birth-publish-nbirth-wait' : 'tck-id-topics-ndata-payload';
      breach(rule, 'comes before the birth of the node');
      continue;
    } else {
      const expected = (node.seq + 1) % 256;
      if (seq !== expected) breach('tck-id-payloads-sequence-num-incrementing', `is ${seq}, not ${expected}`);
      node.seq = seq;
    }
    const seen = nodes.get(key)!;
    const isBirth = type.endsWith('BIRTH');
    if (type === 'DBIRTH') seen.devices.set(device!, { isAlive: true, aliases: new Set() });
    const place = isDevice ? seen.devices.get(device!) : { isAlive: true, aliases: seen.own };
    if (place?.isAlive !== true) {
      breach(`tck-id-topics-${type.toLowerCase()}-payload`, 'comes before the birth of the device');
      continue;
    }
    if (type === 'DDEATH') place.isAlive = false;
    for (const metric of payload.metrics) {
      const what = metric.name ?? `alias ${String(metric.alias)}`;
      if (!has(metric, 'timestamp')) breach('tck-id-payloads-name-birth-data-requirement', `${what} has no timestamp`);
      const isOfControl = metric.name === 'bdSeq' || metric.name === 'Node Control/Rebirth';
      if (isBirth) {
        if (!has(metric, 'name') || metric.name === '') breach('tck-id-payloads-name-requirement', what);
        if (!isOfControl && !has(metric, 'alias')) breach('tck-id-payloads-alias-birth-requirement', what);
        if (!has(metric, 'datatype')) breach('tck-id-payloads-metric-datatype-req', what);
        if (!((metric.datatype ?? 0) >= 1 && (metric.datatype ?? 0) <= 34))
          breach('tck-id-payloads-metric-datatype-value', what);
        if (metric.isNull !== true && !hasValue(metric))
          breach(`tck-id-topics-${type.toLowerCase()}-metrics`, `${what} has no value`);
        if (!has(metric, 'alias')) continue;
        const alias = String(metric.alias);
        const owner = `${device ?? ''}/${metric.name}`;
        const other = seen.aliases.get(alias);
        if (other !== undefined && other !== owner) breach('tck-id-payloads-alias-uniqueness', `${owner} and ${other}`);
        seen.aliases.set(alias, owner);
        place.aliases.add(alias);
      } else {
        if (has(metric, 'name')) breach('tck-id-payloads-alias-data-cmd-requirement', `${what} is named`);
        if (metric.isNull !== true && !hasValue(metric)) breach('tck-id-topics-ddata-payload', `${what} has no value`);
        if (!place.aliases.has(String(metric.alias))) {
          breach(
            isDevice ? 'tck-id-topics-dbirth-metric-reqs' : 'tck-id-topics-nbirth-metric-reqs',
            `${what} is in no birth`,
          );
        }
      }
    }
  }
  return found;
}

const VALUES = ['intValue', 'longValue', 'floatValue', 'doubleValue', 'booleanValue', 'stringValue', 'bytesValue'];

function hasValue(metric: ForeignMetric): boolean {
  return VALUES.some((field) => Object.hasOwn(metric, field));
}
