/** The edge's YAML: its schema, and what becomes of it. Drivers and sinks bring the schemas of their own keys. */
import path from 'node:path';
import { z } from 'zod';
import {
  bytes,
  checkConfig,
  choice,
  type ConfigDocument,
  type ConfigSource,
  duration,
  flag,
  integer,
  itemWithEnvironment,
  name,
  number,
  parseConfig,
  pathText,
  port,
  scalar,
  section,
  sentenceAt,
  text,
  withEnvironment,
} from '../base/config.ts';
import { MillwrightError } from '../base/errors.ts';
import { LOG_LEVELS } from '../base/logger.ts';
import { DRIVERS } from '../drivers/registry.ts';
import { PROCESSORS } from '../processors/registry.ts';
import { natsSinkKeys, natsSinkOptionsOf } from '../sinks/nats/config.ts';
import { SINKS } from '../sinks/registry.ts';
import { DigestReader } from './reload/file-digests.ts';
import type { EdgeSettings, ProcessorSettings, SensorSettings, SinkSettings } from './settings.ts';

/** What the section `nats` is called among the sinks. */
const NATS_SINK = 'nats';

const DEFAULT_FOLDER = '/var/lib/millwright/log';

const samplingRate = duration({ minMs: 1, maxMs: 86_400_000 });

/** The keys that every sensor has; the driver's own stand beside them. */
const sensorKeys = z.looseObject(
  {
    name: name().describe('Name of the source, unique in this file'),
    type: choice(typeNames(DRIVERS)).describe('Driver'),
    enabled: flag().prefault(true).describe('false: as if it were not here'),
    machine_id: name().optional().describe('Machine it reads; default: agent.machine_id'),
    sampling_rate: samplingRate.optional().describe('Time between two samples; default: agent.sampling_rate'),
    silent_after: duration({ minMs: 1_000, maxMs: 31 * 86_400_000 })
      .optional()
      .describe(
        'How long it may give no sign of life before it is shown as silent; default: three of its sampling intervals or ' +
          'heartbeats, at least 10s, and for sources that have neither (files, adapters without a heartbeat) never',
      ),
    priority: number({ min: 0.01, max: 100 })
      .prefault(1)
      .describe('When sampling must be thinned: how much a lost sample counts against one of the other sensors'),
  },
  { error: () => 'allowed: a section of "key: value" lines' },
);

const processorKeys = z.looseObject(
  {
    type: choice(typeNames(PROCESSORS)).describe('Kind of processor'),
    enabled: flag().prefault(true).describe('false: as if it were not here'),
    machines: z
      .array(name(), { error: () => 'allowed: a list of machines' })
      .min(1, 'allowed: a list of machines')
      .optional()
      .describe('Machines whose readings it is for; default: all'),
  },
  { error: () => 'allowed: a section of "key: value" lines' },
);

const sinkKeys = z.looseObject(
  {
    name: name().optional().describe('Name of the sink and of its cursor, unique in this file; default: its type'),
    type: choice(typeNames(SINKS)).describe('Kind of sink'),
    enabled: flag().prefault(true).describe('false: as if it were not here'),
    from: startFrom()
      .prefault('oldest')
      .describe('Where it begins when the log has no cursor of its name; a number: the sequence of its first batch'),
    max_rate: integer({ min: 1, max: 1_000_000 })
      .optional()
      .describe('Readings in a second at which a backlog is delivered; fresh readings are not held. Default: no limit'),
  },
  { error: () => 'allowed: a section of "key: value" lines' },
);

const list = (what: string) => ({ error: () => `allowed: a list of ${what}` });

const schema = section({
  agent: section({
    machine_id: name().describe('Machine of every sensor that names no other, and the name of this gateway'),
    gateway_id: name().optional().describe('Name of this gateway, unique in the company; default: agent.machine_id'),
    location: text().optional().describe('Where it stands, for people'),
    sampling_rate: samplingRate.prefault('100ms').describe('Time between two samples of a polled source'),
    log_level: choice(LOG_LEVELS).prefault('info').describe('Least level that is logged'),
  }),
  sensors: z.array(sensorKeys, list('sensors')).prefault([]).describe('What is read'),
  processors: z
    .array(processorKeys, list('processors'))
    .prefault([])
    .describe('What readings go through on their way to the log, in this order'),
  sinks: z.array(sinkKeys, list('sinks')).prefault([]).describe('Where readings go; each has a cursor of its own'),
  buffering: section({
    folder: text('a folder')
      .optional()
      .describe(`Folder of the log; default: beside warm_buffer.path, or ${DEFAULT_FOLDER}`),
    segment_size: bytes({ min: 65_536, max: 2 ** 30 })
      .prefault('4MB')
      .describe('Size at which a file of the log is closed'),
    sync: choice(['batch', 'interval', 'never'])
      .prefault('batch')
      .describe(
        'When a batch counts as kept. batch: when it is on the disk. interval: at once, and it is on the disk at most ' +
          'sync_interval later, which is what a power cut loses; spares SD cards. never: for tests',
      ),
    sync_interval: duration({ minMs: 10, maxMs: 600_000 })
      .prefault('1s')
      .describe('For sync: interval, the time between two syncs'),
    hot_buffer: section({
      capacity: bytes({ min: 65_536, max: 2 ** 30 })
        .prefault('1MB')
        .describe('Newest batches kept in memory'),
    }).prefault({}),
    warm_buffer: section({
      path: text('a path').optional().describe('Its folder holds the log'),
      size: bytes({ min: 2 ** 18, max: 2 ** 50 })
        .prefault('10MB')
        .describe('Newest files of the log that are kept as they were written; older ones are compressed'),
    }).prefault({}),
    cold_buffer: section({
      path: text('a path').optional().describe('Not used: there is one log in one folder'),
      max_size: bytes({ min: 2 ** 18, max: 2 ** 50 })
        .prefault('512MB')
        .describe('Compressed files of the log; 512MB hold 60 hours at 100 readings a second'),
    }).prefault({}),
    max_age: duration({ minMs: 60_000, maxMs: 315_360_000_000 })
      .optional()
      .describe('Batches older than this are dropped, whoever still waits for them; default: never'),
    reserve_free: bytes({ min: 0, max: 2 ** 50 })
      .prefault('256MB')
      .describe('Left free on the disk: the log then makes room as if it were full, down to warm_buffer.size'),
    when_full: section({
      samples: choice(['thin', 'drop_oldest', 'drop_newest'])
        .prefault('thin')
        .describe('thin: old samples are merged into ever wider intervals. What is given up is told by a gap event'),
      measurements: choice(['drop_oldest', 'drop_newest'])
        .prefault('drop_oldest')
        .describe('When there is no sample left to give up'),
      events: choice(['drop_oldest', 'drop_newest']).prefault('drop_oldest').describe('As for measurements'),
    }).prefault({}),
    card_endurance: bytes({ min: 2 ** 30, max: 2 ** 60 })
      .prefault('10TB')
      .describe('What may be written to the SD card or disk in its life, for the estimate of how long that will be'),
    batching: section({
      size: integer({ min: 1, max: 10_000 }).prefault(100).describe('Readings in a batch at most'),
      timeout: duration({ minMs: 1, maxMs: 60_000 })
        .prefault('200ms')
        .describe('Longest wait of a reading for its batch'),
    }).prefault({}),
  }).prefault({}),
  control: section({
    enabled: flag().prefault(true).describe('Whether sampling is thinned when the edge is pressed'),
    interval: duration({ minMs: 100, maxMs: 60_000 }).prefault('5s').describe('Time between two decisions'),
    horizon: duration({ minMs: 1_000, maxMs: 86_400_000 })
      .prefault('10m')
      .describe('Sampling is thinned when the log or the disk would be too full after this time'),
    fidelity_weight: number({ min: 0.01, max: 100 })
      .prefault(1)
      .describe('What a sample is worth against room left: more thins later and less'),
    cpu_max_percent: number({ min: 1, max: 10_000 }).prefault(100).describe('Processor time it may use, of one core'),
    memory_max: bytes({ min: 2 ** 20, max: 2 ** 50 })
      .optional()
      .describe('Resident memory it may use; default: 256MB, with a sink of type opcua_server 512MB'),
  })
    .prefault({})
    .describe('Adaptive sampling'),
  nats: section({
    ...natsSinkKeys,
    max_reconnects: integer({ min: -1, max: 2 ** 31 })
      .optional()
      .describe('Not obeyed: an edge never gives up'),
  })
    .optional()
    .describe('A sink of type nats, named nats'),
  status: section({
    host: text('an address of this machine').prefault('127.0.0.1').describe('Address of the status page'),
    port: port().prefault(8082).describe('Port of /status (a page, and JSON), /healthz and /metrics'),
  }).prefault({}),
}).describe('millwright edge');

/** For the reference in the docs. */
export const edgeSchema: z.ZodType = schema;

type EdgeYaml = z.output<typeof schema>;

export interface EdgeConfig {
  readonly settings: EdgeSettings;
  readonly warnings: readonly string[];
  /** Files it names that cannot be used now, each with file, line and key: no reason not to start, but one not to reload. */
  readonly unusableFiles: readonly string[];
}

/** @throws MillwrightError config_invalid with every problem, one a line */
export async function readEdgeConfig(source: ConfigSource): Promise<EdgeConfig> {
  const document = withEnvironment(parseConfig(source), schema, source.environment);
  const config = checkConfig(document, schema);
  const problems: string[] = [];
  const collect = async <Item>(work: Promise<Item>): Promise<Item[]> => {
    try {
      return [await work];
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      problems.push(error.message);
      return [];
    }
  };
  const files = new DigestReader();
  const sensors: SensorSettings[] = [];
  const owners = new Map<string, string>();
  for (const [index, sensor] of config.sensors.entries()) {
    const [settings] = sensor.enabled ? await collect(sensorSettings(document, config, { index, files })) : [];
    if (settings === undefined) continue;
    sensors.push(settings);
    problems.push(...(await claimedTwice(document, { settings, index, owners })));
  }
  const processors: ProcessorSettings[] = [];
  for (const [index, processor] of config.processors.entries()) {
    if (processor.enabled) processors.push(...(await collect(processorSettings(document, config, index))));
  }
  const sinks: SinkSettings[] = [];
  for (const [index, sink] of config.sinks.entries()) {
    if (sink.enabled)
      sinks.push(...(await collect(sinkSettings(document, config, { index, environment: source.environment, files }))));
  }
  problems.push(
    ...repeatedNames(
      document,
      'sensors',
      config.sensors.map((sensor) => sensor.name),
    ),
  );
  problems.push(
    ...repeatedNames(
      document,
      'sinks',
      config.sinks.map((sink) => sink.name ?? sink.type),
    ),
  );
  problems.push(...repeatedWork(document, config));
  const fromSection = natsSection(document, config, files);
  if (typeof fromSection === 'string') problems.push(fromSection);
  else sinks.push(...fromSection);
  if (problems.length > 0) throw new MillwrightError('config_invalid', problems.join('\n'));
  const { agent, buffering, control } = config;
  const settings: EdgeSettings = {
    gatewayId: agent.gateway_id ?? agent.machine_id,
    location: agent.location ?? null,
    logLevel: agent.log_level,
    sensors,
    processors,
    sinks,
    log: {
      folder: logFolder(config),
      segmentBytesMax: buffering.segment_size,
      hotBytesMax: buffering.hot_buffer.capacity,
      sync: { kind: buffering.sync, intervalMs: buffering.sync_interval },
      limits: {
        warmBytesMax: buffering.warm_buffer.size,
        bytesMax: buffering.warm_buffer.size + buffering.cold_buffer.max_size,
        ageMsMax: buffering.max_age ?? null,
        reserveBytes: buffering.reserve_free,
        whenFull: buffering.when_full,
      },
    },
    cardEnduranceBytes: buffering.card_endurance,
    batching: { readingsMax: buffering.batching.size, delayMs: buffering.batching.timeout },
    control: {
      enabled: control.enabled,
      intervalMs: control.interval,
      horizonMs: control.horizon,
      fidelityWeight: control.fidelity_weight,
      cpuPercentMax: control.cpu_max_percent,
      memoryBytesMax: control.memory_max ?? memoryBytesMaxFor(sinks),
    },
    status: config.status,
  };
  return { settings, warnings: warningsOf(config, sinks), unusableFiles: files.unusable };
}

async function sensorSettings(
  document: ConfigDocument,
  config: EdgeYaml,
  { index, files }: { readonly index: number; readonly files: DigestReader },
): Promise<SensorSettings> {
  const sensor = config.sensors[index]!;
  const { name, type, enabled: _enabled, machine_id, sampling_rate, silent_after, priority, ...own } = sensor;
  const { schema: ownSchema } = await DRIVERS[type]!.schema();
  const part = { value: own, at: ['sensors', index] };
  const options = checkConfig(document, ownSchema, part);
  return {
    name,
    type,
    machineId: machine_id ?? config.agent.machine_id,
    samplingIntervalMs: sampling_rate ?? config.agent.sampling_rate,
    ...(silent_after !== undefined && { silentAfterMs: silent_after }),
    priority,
    options,
    ...files.of(document, ownSchema, part),
  };
}

interface Claimant {
  readonly settings: SensorSettings;
  readonly index: number;
  /** Of the sensors before it: what each has to itself, and its name. */
  readonly owners: Map<string, string>;
}

/** What two sensors would read that only one of them can. */
async function claimedTwice(document: ConfigDocument, { settings, index, owners }: Claimant): Promise<string[]> {
  const { name, type, options } = settings;
  const module = await DRIVERS[type]!.schema();
  return (module.claims?.(options) ?? []).flatMap(({ path: own, what }) => {
    const owner = owners.get(what);
    owners.set(what, owner ?? name);
    if (owner === undefined) return [];
    const trouble = `"${name}" would read ${what}, which "${owner}" reads; allowed: one sensor`;
    return [sentenceAt(document, ['sensors', index, ...own], trouble)];
  });
}

async function processorSettings(
  document: ConfigDocument,
  config: EdgeYaml,
  index: number,
): Promise<ProcessorSettings> {
  const { type, enabled: _enabled, machines, ...own } = config.processors[index]!;
  const { schema: ownSchema } = await PROCESSORS[type]!.schema();
  const options = checkConfig(document, ownSchema, { value: own, at: ['processors', index] });
  return { type, machines: machines ?? null, options };
}

/** Two processors of one type that would do to a machine's readings what must be done to them once. */
function repeatedWork(document: ConfigDocument, config: EdgeYaml): string[] {
  const problems: string[] = [];
  const { processors } = config;
  for (const [index, { type, enabled, machines }] of processors.entries()) {
    if (!enabled || PROCESSORS[type]?.onceForMachine !== true) continue;
    const earlier = processors.findIndex((other, place) => {
      const isShared = machines === undefined || other.machines === undefined;
      const meet = isShared || machines.some((machine) => other.machines?.includes(machine));
      return place < index && other.enabled && other.type === type && meet;
    });
    if (earlier < 0) continue;
    const place = ['processors', index];
    problems.push(
      `${document.file}:${document.lineOf(place)}: ${pathText(place)}: is for a machine that processors[${earlier}] ` +
        `of type ${type} is for already; allowed: one for each machine, by their machines`,
    );
  }
  return problems;
}

async function sinkSettings(
  document: ConfigDocument,
  config: EdgeYaml,
  {
    index,
    environment,
    files,
  }: { readonly index: number; readonly environment: ConfigSource['environment']; readonly files: DigestReader },
): Promise<SinkSettings> {
  const { name, type, enabled: _enabled, from, max_rate, ...written } = config.sinks[index]!;
  const { schema: ownSchema } = await SINKS[type]!.schema();
  const at = ['sinks', index];
  const item = { value: written, at, prefix: ['sinks', name ?? type] };
  const { document: whole, value } = itemWithEnvironment(document, ownSchema, item, environment);
  const options = checkConfig(whole, ownSchema, { value, at });
  const named = files.of(whole, ownSchema, { value, at });
  return { name: name ?? type, type, from, maxRate: max_rate ?? null, options, ...named };
}

/** The sink that the section `nats` of older files means; or the sentence that says why it cannot be. */
function natsSection(document: ConfigDocument, config: EdgeYaml, files: DigestReader): SinkSettings[] | string {
  if (config.nats === undefined) return [];
  const twin = config.sinks.findIndex((sink) => (sink.name ?? sink.type) === NATS_SINK);
  if (twin >= 0) {
    const place = `${document.file}:${document.lineOf(['nats'])}: nats`;
    return (
      `${place}: means a sink named "${NATS_SINK}", and so does sinks[${twin}]; ` +
      'allowed: one of the two, or another name for that in sinks'
    );
  }
  const options = natsSinkOptionsOf(config.nats);
  const { nats } = document.value as { readonly nats: unknown };
  const named = files.of(document, schema.shape.nats, { value: nats, at: ['nats'] });
  return [{ name: NATS_SINK, type: 'nats', from: 'oldest', maxRate: null, options, ...named }];
}

/** A server in the edge takes more by itself: it must not look like pressure. */
function memoryBytesMaxFor(sinks: readonly SinkSettings[]): number {
  return (sinks.some(({ type }) => SINKS[type]?.isServing === true) ? 512 : 256) * 2 ** 20;
}

function repeatedNames(document: ConfigDocument, key: string, names: readonly string[]): string[] {
  const problems: string[] = [];
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) === index) continue;
    const place = [key, index, 'name'];
    problems.push(
      `${document.file}:${document.lineOf(place)}: ${pathText(place)}: found "${name}" twice; allowed: a name of its own`,
    );
  }
  return problems;
}

function logFolder({ buffering }: EdgeYaml): string {
  if (buffering.folder !== undefined) return path.resolve(buffering.folder);
  if (buffering.warm_buffer.path !== undefined)
    return path.join(path.dirname(path.resolve(buffering.warm_buffer.path)), 'log');
  return DEFAULT_FOLDER;
}

/** One sentence for each thing that is written in the file and does not happen. */
function warningsOf(config: EdgeYaml, sinks: readonly SinkSettings[]): string[] {
  const { nats, buffering } = config;
  const warnings: string[] = [];
  if (nats?.max_reconnects !== undefined) {
    warnings.push('nats.max_reconnects: is not obeyed; an edge tries again for ever, with growing waits');
  }
  if (sinks.length === 0) {
    warnings.push('sinks: there is none; readings are kept in the log until one is configured');
  }
  const read = new Set(config.sensors.map((sensor) => sensor.machine_id ?? config.agent.machine_id));
  for (const [index, { enabled, machines = [] }] of config.processors.entries()) {
    const unread = machines.filter((machine) => enabled && !read.has(machine));
    if (unread.length > 0) warnings.push(`processors[${index}].machines: no sensor is of ${unread.join(', ')}`);
  }
  warnings.push(...airSensorWarnings(config));
  if (buffering.cold_buffer.path !== undefined) {
    warnings.push(`buffering.cold_buffer.path: is not used; there is one log, in ${logFolder(config)}`);
  }
  return warnings;
}

/** A sensor of the air's temperature where the processor `thermal` wants that of a part or a scale. */
function airSensorWarnings({ agent, sensors, processors }: EdgeYaml): string[] {
  const ofAir = sensors.flatMap(({ enabled, type, chip, names, machine_id = agent.machine_id }) => {
    if (!enabled || type !== 'i2c' || chip !== 'BME280') return [];
    return [{ machine: machine_id, signal: textAt(names, 'temperature_c') ?? 'temperature_c' }];
  });
  return processors.flatMap((processor, index) => {
    if (!processor.enabled || processor.type !== 'thermal') return [];
    return ['part_temperature', 'scale_temperature'].flatMap((key) => {
      const [machine, signal] = ['machine_id', 'signal'].map((inner) => textAt(processor[key], inner));
      const isOfAir = ofAir.some((one) => one.machine === machine && one.signal === signal);
      return isOfAir
        ? [
            `processors[${index}].${key}: is that of a BME280, which measures the air; a TMP117 or MCP9808 is fit for it`,
          ]
        : [];
    });
  });
}

function textAt(section: unknown, key: string): string | undefined {
  const value = (section as { readonly [key: string]: unknown } | null | undefined)?.[key];
  return typeof value === 'string' ? value : undefined;
}

function startFrom(): ReturnType<typeof scalar<'oldest' | 'now' | number>> {
  return scalar('oldest, now, or a sequence from 1 on', (value) => {
    if (value === 'oldest' || value === 'now') return value;
    const sequence = value === '' ? Number.NaN : Number(value);
    return Number.isSafeInteger(sequence) && sequence >= 1 ? sequence : undefined;
  });
}

function typeNames(registry: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.keys(registry);
}
