/** What `millwright probe mqtt` tells of a broker: the topics that were heard, and a configuration that takes them. */
import { stringify } from 'yaml';
import type { IncomingMessage } from '../../base/mqtt.ts';
import { datatypeName, type Metric, valueOf } from '../../base/sparkplug/metric.ts';
import { decodePayload } from '../../base/sparkplug/payload.ts';
import { type NodeId, parseTopic } from '../../base/sparkplug/topics.ts';
import { jsonText, type JsonValue } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import { leavesOf, timeOf } from './paths.ts';

/** Topics and values that are shown. */
const TOPICS_MAX = 50;
const SHOWN_MAX = 60;
const SHOWN_LENGTH = 100;

/** Names that are the time of an object. */
const IS_TIME = /^(?:timestamp|time|ts|at|datetime)$/i;
/** What the last part of a value's name suggests. */
const SIGNALS: readonly (readonly [RegExp, string])[] = [
  [/^(?:temp|temperature)(?:_c)?$/i, 'temperature'],
  [/^(?:spindle_?(?:speed|rpm)|rpm|s1speed)$/i, 'spindle_speed'],
  [/^(?:spindle_?load)(?:_percent)?$/i, 'spindle_load_percent'],
  [/^(?:feed_?rate|feed)(?:_actual)?$/i, 'feed_rate_actual'],
  [/^(?:x|x_?pos)(?:_mm)?$/i, 'x_pos_mm'],
  [/^(?:y|y_?pos)(?:_mm)?$/i, 'y_pos_mm'],
  [/^(?:z|z_?pos)(?:_mm)?$/i, 'z_pos_mm'],
  [/^(?:power|total_power)_kw$/i, 'total_power_kw'],
  [/^(?:power|total_power)_w$/i, 'total_power_w'],
  [/^(?:program_?line|line)$/i, 'active_program_line'],
  [/^(?:machine_?)?state$/i, 'machine_state'],
];

export interface Probed {
  readonly url: string;
  readonly filter: string;
  readonly seconds: number;
  readonly messages: readonly IncomingMessage[];
}

/** Nodes that were heard, and not their births. */
export function unbornNodes(messages: readonly IncomingMessage[]): NodeId[] {
  const nodes = new Map<string, NodeId & { isBorn: boolean }>();
  for (const { topic } of messages) {
    const parsed = parseTopic(topic);
    if (parsed === undefined || parsed.type.endsWith('CMD')) continue;
    const { group, node, type } = parsed;
    const isBorn = nodes.get(`${group}/${node}`)?.isBorn === true || type === 'NBIRTH';
    nodes.set(`${group}/${node}`, { group, node, isBorn });
  }
  return [...nodes.values()].filter(({ isBorn }) => !isBorn);
}

/** As it is printed. Never throws for what was heard. */
export function describeBroker({ url, filter, seconds, messages }: Probed): string {
  const byTopic = Map.groupBy(messages, ({ topic }) => topic);
  const lines = [`${url}: ${messages.length} messages on ${byTopic.size} topics below ${filter} in ${seconds} s`, ''];
  const objects: [string, [string, JsonValue][]][] = [];
  const bare: string[] = [];
  const metrics = new Map<string, Metric>();
  for (const [topic, all] of [...byTopic].slice(0, TOPICS_MAX)) {
    const newest = all.at(-1)!;
    lines.push(`${topic}  (${all.length}${newest.isRetained ? ', retained' : ''})`);
    if (parseTopic(topic) !== undefined) lines.push(...describeSparkplug(all, metrics));
    else {
      const value = jsonOf(newest.payload);
      lines.push(`    ${shown(value ?? newest.payload)}`);
      if (typeof value === 'object' && value !== null) objects.push([topic, leavesOf(value)]);
      else if (!topic.startsWith('spBv1.0/')) bare.push(topic);
    }
  }
  if (byTopic.size > TOPICS_MAX) lines.push(`and ${byTopic.size - TOPICS_MAX} topics more`);
  if (messages.length === 0) lines.push('nothing was heard: a longer --time, or another --topic, may help');
  const sensors = [...plainSensor(url, objects, bare), ...sparkplugSensor(url, metrics)];
  if (sensors.length > 0) lines.push('', 'a configuration that takes them:', '', stringify({ sensors }).trimEnd());
  return `${lines.join('\n')}\n`;
}

function describeSparkplug(all: readonly IncomingMessage[], metrics: Map<string, Metric>): string[] {
  const [first] = all;
  try {
    const payload = decodePayload(first!.payload);
    const isBirth = first!.topic.includes('BIRTH/');
    return payload.metrics.slice(0, SHOWN_MAX).map((metric) => {
      const { name, alias, datatype, unit } = metric;
      if (isBirth && name !== undefined && !/^(?:bdSeq$|Node Control\/|Device Control\/)/.test(name))
        metrics.set(name, metric);
      const value = valueOf(metric, datatype);
      const what = `${name ?? `alias ${alias}`}${datatype === undefined ? '' : ` ${datatypeName(datatype)}`}`;
      return `    ${what} = ${value === undefined ? rawShown(metric) : shown(value)}${unit === undefined ? '' : ` ${unit}`}`;
    });
  } catch {
    return ['    no payload of Sparkplug B'];
  }
}

/** Of data, whose datatype a birth has told that was not heard. */
function rawShown({ value }: Metric): string {
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'object' || value === undefined ? '…' : shown(value);
}

function plainSensor(
  url: string,
  objects: readonly [string, [string, JsonValue][]][],
  bare: readonly string[],
): object[] {
  const [first] = objects;
  const topics: object[] = [];
  if (first !== undefined) {
    const [topic, leaves] = first;
    const time = leaves.find(([path, value]) => IS_TIME.test(path) && timeOf(value, 'auto') !== undefined);
    topics.push({
      ...filterOf(
        topic,
        objects.map(([one]) => one),
      ),
      ...(time !== undefined && { timestamp: time[0] }),
      map: mapOf(leaves.filter(([path]) => path !== time?.[0]).slice(0, SHOWN_MAX)),
    });
  } else if (bare[0] !== undefined) topics.push({ ...filterOf(bare[0], bare), name: '{last}', extra: 'all' });
  return topics.length === 0 ? [] : [{ name: 'broker', type: 'mqtt', machine_id: 'M-1', url, topics }];
}

/** The levels in which the topics differ are any; the machine is the first of them, but for the last level. */
function filterOf(topic: string, all: readonly string[]): { filter: string; machine?: string } {
  const levels = topic.split('/');
  const alike = all.map((one) => one.split('/')).filter((one) => one.length === levels.length);
  const differs = levels.map((level, index) => alike.some((one) => one[index] !== level));
  const machine = differs.findIndex((isOther, index) => isOther && index < levels.length - 1);
  const filter = levels.map((level, index) => (differs[index] === true ? '+' : level)).join('/');
  return { filter, ...(machine >= 0 && { machine: `{${machine + 1}}` }) };
}

function sparkplugSensor(url: string, metrics: ReadonlyMap<string, Metric>): object[] {
  if (metrics.size === 0) return [];
  const leaves = [...metrics].slice(0, SHOWN_MAX).map(([name, metric]): [string, JsonValue] => {
    return [name, valueOf(metric, metric.datatype) ?? null];
  });
  const map = Object.fromEntries(Object.entries(mapOf(leaves)).filter(([, target]) => !isExtra(target)));
  return [{ name: 'sparkplug', type: 'mqtt', url, sparkplug: { host_id: 'millwright', map } }];
}

function isExtra(target: unknown): boolean {
  return typeof target === 'object' && target !== null && 'extra' in target;
}

function mapOf(leaves: readonly (readonly [string, JsonValue])[]): { [path: string]: unknown } {
  const taken = new Set<string>();
  return Object.fromEntries(
    leaves.map(([path]) => {
      const last = path.split(/[./]/).at(-1) ?? path;
      const signal = SIGNALS.find(([pattern]) => pattern.test(last))?.[1];
      if (signal !== undefined && !taken.has(signal)) {
        taken.add(signal);
        return [path, signal === 'total_power_w' ? { signal: 'total_power_kw', unit: 'W' } : signal];
      }
      const name = path.replaceAll(/[^A-Za-z0-9_]+/g, '_').replaceAll(/^_+|_+$/g, '');
      return [path, { extra: signalNamed(name) === undefined && name !== '' ? name : `item_${name}` }];
    }),
  );
}

function jsonOf(payload: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8')) as JsonValue;
  } catch {
    return undefined;
  }
}

function shown(value: JsonValue | Uint8Array): string {
  const text =
    value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : (jsonText(value) ?? 'nests too deep');
  const plain = text.replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, '.').replaceAll('\ufffd', '.');
  return plain.length > SHOWN_LENGTH ? `${plain.slice(0, SHOWN_LENGTH)}…` : plain;
}
