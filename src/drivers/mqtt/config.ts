/** The `mqtt` driver's part of a sensor in the configuration: from what a person writes to {@link MqttOptions}. */
import { z } from 'zod';
import { choice, duration, flag, integer, name, number, scalar, section, text } from '../../base/config.ts';
import { brokerKeys, brokerOf, isTopicFilter } from '../../base/mqtt-config.ts';
import { UNIT_SCALES } from '../../base/signal-units.ts';
import { isId } from '../../base/sparkplug/topics.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { MACHINE_STATES, SIGNAL_NAMES, signalNamed } from '../../model/signals.ts';
import type { MqttOptions, PlainOptions, SparkplugOptions, Target, TargetMap } from './options.ts';
import { TIME_FORMATS } from './options.ts';
import { overlaps, parsePath } from './paths.ts';

const TOPICS_MAX = 200;
const FACTOR = { min: -1e15, max: 1e15 };

const extraName = scalar('a name of your own; standard signals go under signal', (value) => {
  const own = String(value);
  const isOwn = isSignalKey(own) && signalNamed(own) === undefined && own !== '__proto__';
  return isOwn && own !== '' && own.length <= NAME_LENGTH_MAX && own.isWellFormed() ? own : undefined;
});

const targetSection = section({
  signal: choice(SIGNAL_NAMES).optional().describe('Standard signal that it fills'),
  extra: extraName.optional().describe('Or a name of your own under which it is kept'),
  event: choice(['message', 'condition', 'program', 'part'])
    .optional()
    .describe('Or it becomes an event of this type; a condition is a fault while it is neither empty, 0 nor false'),
  states: z
    .record(z.string(), choice(MACHINE_STATES))
    .optional()
    .describe(
      'Or it is the state of the machine: what each of its words means. Words that are states need not be here',
    ),
  type: choice(['number', 'integer', 'text']).optional().describe('Type of an extra; default: as it comes'),
  scale: number(FACTOR).optional().describe('A number is multiplied by this …'),
  offset: number(FACTOR).optional().describe('… and this is added'),
  unit: text().optional().describe('Unit in which a signal comes, such as W, in or °F: it is converted'),
});

const target = z.union([choice(SIGNAL_NAMES), targetSection], {
  error: (issue) => {
    if (typeof issue.input === 'string') return `allowed: ${SIGNAL_NAMES.join(', ')}, or {extra: name}`;
    const { error } = targetSection.safeParse(issue.input);
    return (error?.issues ?? []).map(({ path, message }) => [...path, message].join(' ')).join('; ');
  },
});

const targetMap = z.record(z.string().min(1).max(1_024), target, {
  error: () => 'allowed: a section of "name: signal"',
});
const extras = z.union([z.literal('all'), z.array(z.string())], { error: () => 'allowed: all, or a list of names' });
const path = scalar('a path such as data.values[0]', (value) => {
  return parsePath(String(value)) === undefined ? undefined : String(value);
});

const topicSection = section({
  filter: scalar('a topic filter, in which + stands for one level and # for all that follow', (value) => {
    return isTopicFilter(String(value)) ? String(value) : undefined;
  }).describe('Topics that are subscribed to'),
  machine: text()
    .optional()
    .describe(
      "Machine, in which {2} is the topic's second level and {last} its last; default: the sensor's machine_id",
    ),
  name: text()
    .optional()
    .describe(
      'Where each message is one value: its name, such as {last}. Left out: a message is a JSON object, or a list',
    ),
  value: path.optional().describe('Where the one value stands in a JSON object. Left out: the payload is the value'),
  map: targetMap.prefault({}).describe('Path in the JSON object, or name of the value → signal, or more of it'),
  extra: extras.prefault([]).describe('Further values that are kept under their own names'),
  timestamp: z
    .union(
      [
        path,
        section({
          path: path.describe('Where it stands'),
          format: choice(TIME_FORMATS).prefault('auto').describe('auto: text as ISO 8601, numbers by their size'),
        }),
      ],
      { error: () => `allowed: a path, or {path, format}, format one of ${TIME_FORMATS.join(', ')}` },
    )
    .optional()
    .describe('Where the time of the values stands. Left out: when the message came'),
});

const idText = scalar('text without /, + and #', (value) => (isId(String(value)) ? String(value) : undefined));

const sparkplugSection = section({
  host_id: idText.describe('Name of this host application, unique at the broker; edge nodes may wait for it'),
  groups: z
    .array(idText, { error: () => 'allowed: a list of group ids' })
    .min(1)
    .optional()
    .describe('Groups that are read; default: all'),
  machine: text().prefault('{group}-{node}-{device}').describe('Machine that a device is'),
  node_machine: text().prefault('{group}-{node}').describe('Machine that a node itself is, where it has values'),
  machines: z
    .record(z.string(), name())
    .prefault({})
    .describe('Machines by name: group/node/device, or group/node → machine'),
  map: targetMap.prefault({}).describe('Name of a metric → signal, or more of it'),
  extra: extras.prefault('all').describe('Further metrics that are kept under their own names'),
  rebirth_interval: duration({ minMs: 1_000, maxMs: 3_600_000 })
    .prefault('10s')
    .describe('A node is asked for a rebirth at most once in this time'),
});

const written = section({
  ...brokerKeys,
  topics: z
    .array(topicSection, { error: () => 'allowed: a list of topics' })
    .min(1)
    .max(TOPICS_MAX)
    .optional()
    .describe('Plain topics'),
  qos: integer({ min: 0, max: 1 }).prefault(1).describe('Quality of service that is asked for'),
  session: section({
    keep: flag()
      .prefault(false)
      .describe('Whether the broker keeps what comes while the edge is away; needs client_id'),
    expiry: duration({ minMs: 1_000, maxMs: 30 * 86_400_000 })
      .prefault('7d')
      .describe('For how long (MQTT 5; with 3.1.1 the broker decides)'),
  }).prefault({}),
  retained: choice(['timed', 'all', 'none'])
    .prefault('timed')
    .describe('Retained messages, which are older than the connection. timed: those that say their own time'),
  sparkplug: sparkplugSection.optional().describe('Sparkplug B, instead of topics'),
}).superRefine((keys, context) => {
  for (const fault of faultsOf(keys)) context.addIssue({ code: 'custom', ...fault });
});

type Written = z.output<typeof written>;
type WrittenTarget = z.output<typeof target>;

/** Output: {@link MqttOptions}. */
export const schema: z.ZodType<MqttOptions, unknown> = written.transform((keys): MqttOptions => {
  const { sparkplug } = keys;
  const source = sparkplug === undefined ? plainOf(keys) : sparkplugOf(sparkplug);
  return { broker: brokerOf(keys), source };
});

function plainOf({ topics = [], qos, session, retained }: Written): PlainOptions {
  return {
    kind: 'plain',
    topics: topics.map((topic) => ({
      filter: topic.filter,
      machine: topic.machine ?? null,
      name: topic.name ?? null,
      value: topic.value ?? null,
      map: mapOf(topic.map),
      extra: topic.extra,
      timestamp:
        topic.timestamp === undefined
          ? null
          : typeof topic.timestamp === 'string'
            ? { path: topic.timestamp, format: 'auto' }
            : topic.timestamp,
    })),
    qos: qos === 0 ? 0 : 1,
    sessionExpiryMs: session.keep ? session.expiry : 0,
    retained,
  };
}

function sparkplugOf(keys: z.output<typeof sparkplugSection>): SparkplugOptions {
  return {
    kind: 'sparkplug',
    hostId: keys.host_id,
    groups: keys.groups ?? null,
    machine: keys.machine,
    nodeMachine: keys.node_machine,
    machines: keys.machines,
    map: mapOf(keys.map),
    extra: keys.extra,
    rebirthIntervalMs: keys.rebirth_interval,
  };
}

function mapOf(map: { readonly [name: string]: WrittenTarget }): TargetMap {
  return Object.fromEntries(Object.entries(map).map(([name, entry]) => [name, targetOf(entry)]));
}

function targetOf(entry: WrittenTarget): Target {
  if (entry === 'machine_state') return { kind: 'state', states: {} };
  const whole = typeof entry === 'string' ? { signal: entry } : entry;
  if (whole.states !== undefined || whole.signal === 'machine_state') {
    const words = Object.entries(whole.states ?? {}).map(
      ([word, state]) => [word.trim().toLowerCase(), state] as const,
    );
    return { kind: 'state', states: Object.fromEntries(words) };
  }
  if (whole.event !== undefined) return { kind: 'event', eventType: whole.event };
  const signal = whole.signal === undefined ? undefined : signalNamed(whole.signal);
  const unit = UNIT_SCALES[whole.signal ?? '']?.[whole.unit ?? ''];
  return {
    kind: 'field',
    name: whole.signal ?? whole.extra ?? '',
    type: signal?.type ?? whole.type ?? 'auto',
    scale: whole.scale ?? unit?.scale ?? 1,
    offset: whole.offset ?? unit?.offset ?? 0,
  };
}

interface Fault {
  readonly path: (string | number)[];
  readonly message: string;
}

function faultsOf(keys: Written): Fault[] {
  const faults: Fault[] = [];
  const { topics, sparkplug, session, client_id } = keys;
  if ((topics === undefined) === (sparkplug === undefined)) {
    faults.push({ path: [], message: 'allowed: either topics or sparkplug' });
  }
  if (session.keep && sparkplug !== undefined) {
    faults.push({ path: ['session', 'keep'], message: 'allowed with topics: Sparkplug B begins each session anew' });
  }
  if (session.keep && client_id === undefined) {
    faults.push({
      path: ['session', 'keep'],
      message: 'needs client_id: the broker keeps the session under that name',
    });
  }
  if (session.keep && keys.qos === 0) {
    faults.push({ path: ['session', 'keep'], message: 'needs qos: 1; messages of quality 0 are not kept' });
  }
  for (const [index, topic] of (topics ?? []).entries()) {
    const at = ['topics', index];
    const filter = topic.filter.split('/');
    const other = (topics ?? []).findIndex((one, place) => place < index && overlaps(one.filter.split('/'), filter));
    if (other >= 0) {
      const message = `means topics that topics[${other}] means too: a broker may send such a message twice`;
      faults.push({ path: [...at, 'filter'], message });
    }
    if (topic.value !== undefined && topic.name === undefined) {
      faults.push({ path: [...at, 'value'], message: 'goes with name' });
    }
    if (topic.name === undefined && Object.keys(topic.map).length === 0 && topic.extra.length === 0) {
      faults.push({ path: at, message: 'takes nothing; allowed: map, extra, or name' });
    }
    if (topic.name === undefined) {
      for (const key of Object.keys(topic.map)) {
        if (parsePath(key) === undefined) faults.push({ path: [...at, 'map', key], message: 'is no path' });
      }
    }
    faults.push(...mapFaults(topic.map, [...at, 'map'], topic.name === undefined));
  }
  if (sparkplug !== undefined) faults.push(...mapFaults(sparkplug.map, ['sparkplug', 'map'], true));
  return faults;
}

/** @param isOnce two entries of one map would fill the same field of a sample */
function mapFaults(map: { readonly [name: string]: WrittenTarget }, at: (string | number)[], isOnce: boolean): Fault[] {
  const faults: Fault[] = [];
  const owners = new Map<string, string>();
  for (const [name, entry] of Object.entries(map)) {
    const fault = typeof entry === 'string' ? undefined : entryFault(entry);
    if (fault !== undefined) faults.push({ path: [...at, name], message: fault });
    const made = targetOf(entry);
    const field = made.kind === 'field' ? made.name : made.kind === 'state' ? 'machine_state' : undefined;
    const owner = field === undefined ? undefined : owners.get(field);
    if (owner !== undefined && isOnce)
      faults.push({ path: [...at, name], message: `fills ${field}, as ${owner} does` });
    if (field !== undefined) owners.set(field, name);
  }
  return faults;
}

function entryFault(entry: Exclude<WrittenTarget, string>): string | undefined {
  const { signal, extra, event, states, unit } = entry;
  const kinds = [signal, extra, event].filter((one) => one !== undefined).length;
  const isState = states !== undefined && (signal ?? 'machine_state') === 'machine_state';
  if (isState ? extra !== undefined || event !== undefined : kinds !== 1 || states !== undefined) {
    return 'has exactly one of signal, extra, event, states';
  }
  if (entry.type !== undefined && extra === undefined) return 'type goes with extra: a signal has its own type';
  const isNumber =
    event === undefined && !isState && (extra !== undefined || signalNamed(signal ?? '')?.type !== 'text');
  if (!isNumber && [entry.scale, entry.offset, unit].some((one) => one !== undefined)) {
    return 'scale, offset and unit go with numbers';
  }
  if (unit === undefined || signal === undefined) return undefined;
  if (entry.scale !== undefined || entry.offset !== undefined) return 'has either unit or scale and offset';
  const units = Object.keys(UNIT_SCALES[signal] ?? {});
  return units.includes(unit)
    ? undefined
    : `unit: allowed for ${signal}: ${units.length > 0 ? units.join(', ') : 'none'}`;
}
