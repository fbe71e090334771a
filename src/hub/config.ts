/** The hub's YAML: its schema, and what becomes of it. */
import type { z } from 'zod';
import {
  bytes,
  checkConfig,
  choice,
  type ConfigSource,
  duration,
  integer,
  parseConfig,
  port,
  section,
  text,
  withEnvironment,
} from '../base/config.ts';
import { LOG_LEVELS } from '../base/logger.ts';
import { natsConnectionKeys, natsConnectionOf } from '../base/nats-config.ts';
import { DATA_STREAM } from '../model/nats-wire.ts';
import { READ_URL_ALLOWED, replicasOf } from './read-url.ts';
import { type HubSettings, type NatsSettings, PERSIST_MODES } from './settings.ts';

const timeZone = text('an IANA time zone such as Europe/Berlin').refine(isTimeZone, {
  error: 'allowed: an IANA time zone such as Europe/Berlin',
});

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const RETENTION_MS_MAX = 100 * 365 * DAY_MS;

function retained(): z.ZodOptional<ReturnType<typeof duration>> {
  return duration({ minMs: HOUR_MS, maxMs: RETENTION_MS_MAX }).optional();
}

function streamName(): ReturnType<typeof text> {
  const allowed = 'a name without blanks, dots, slashes, * and >';
  return text(allowed).refine((name) => /^[^\s.*>/\\]+$/.test(name), { error: `allowed: ${allowed}` });
}

const schema = section({
  server: section({
    host: text('an address of this machine')
      .prefault('0.0.0.0')
      .describe('Address to listen on; 127.0.0.1 for this machine only'),
    port: port().prefault(8081).describe('Port of the API and the pages'),
  }).prefault({}),
  database: section({
    host: text('a host name or address').prefault('127.0.0.1').describe('PostgreSQL or TimescaleDB server'),
    port: port().prefault(5432).describe('Its port'),
    dbname: text().prefault('cnc_monitor').describe('Name of the database; it must exist'),
    user: text().prefault('millwright').describe('User; must be allowed to create tables'),
    password: text().prefault('millwright').describe('Password; better given as DATABASE_PASSWORD'),
    read_connections: integer({ min: 2, max: 100 })
      .prefault(8)
      .describe('Connections for the API, one of them never for exports; writing has its own'),
    chunk_interval: duration({ minMs: HOUR_MS, maxMs: 365 * DAY_MS })
      .prefault('1d')
      .describe('With TimescaleDB: length of a chunk of readings; a change counts for new ones'),
    compress_after: duration({ minMs: HOUR_MS, maxMs: RETENTION_MS_MAX })
      .prefault('7d')
      .describe('With the community edition of TimescaleDB: age at which chunks are compressed'),
    read_url: text(READ_URL_ALLOWED)
      .refine((url) => replicasOf(url) !== undefined, { error: `allowed: ${READ_URL_ALLOWED}` })
      .optional()
      .describe('Read replicas for charts, states and exports; what is not said here is as above'),
  }).prefault({}),
  retention: section({
    raw: retained().describe('Samples, each as it came; default: for ever'),
    events: retained().describe('Events; default: for ever'),
    measurements: retained().describe('Measurements; default: for ever'),
    rollup_minutes: retained().describe('Values and states by the minute; default: for ever'),
    rollup_hours: retained().describe('Values and states by the hour; default: for ever'),
  })
    .prefault({})
    .describe('How long readings are kept, by their own time; docs/storage.md'),
  nats: section({
    ...natsConnectionKeys,
    stream_name: streamName()
      .prefault(DATA_STREAM)
      .describe('JetStream stream; created when it is missing, used as it is when it is there'),
    stream_subjects: text('subjects divided by commas, such as CNC_DATA.>')
      .optional()
      .describe('Subjects of a stream that is created, divided by commas; default: its name and .>'),
    stream_max_bytes: bytes({ min: 2 ** 20, max: 2 ** 50 })
      .prefault('8GB')
      .describe('How large a stream that is created may become; when it is full, edges keep their readings'),
    stream_replicas: integer({ min: 1, max: 5 })
      .prefault(1)
      .describe('Copies of a stream that is created, in a cluster of servers: 3 outlive the loss of one server'),
    stream_persist_mode: choice(PERSIST_MODES)
      .prefault('default')
      .describe(
        'Of a stream that is created: async acknowledges before the operating system has a message (nats-server 2.12, one copy)',
      ),
    consumer_name: streamName()
      .prefault('PROCESSOR')
      .describe('Durable pull consumer, which all hubs share; created when it is missing'),
    ack_wait: duration({ minMs: 1000, maxMs: 3_600_000 })
      .prefault('30s')
      .describe('Of a consumer that is created: after how long without a word of a hub its messages come again'),
  })
    .optional()
    .describe('Readings by way of NATS JetStream, besides those that come by HTTP'),
  plant: section({
    time_zone: timeZone.optional().describe('Time zone of the pages; default: that of this machine'),
  }).prefault({}),
  log_level: choice(LOG_LEVELS).prefault('info').describe('Least level that is logged'),
}).describe('millwright hub');

/** For the reference in the docs. */
export const hubSchema: z.ZodType = schema;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export interface HubConfig {
  readonly settings: HubSettings;
  readonly warnings: readonly string[];
}

/** @throws MillwrightError config_invalid with every problem, one a line */
export function readHubConfig(source: ConfigSource): HubConfig {
  const document = withEnvironment(parseConfig(source), schema, source.environment);
  const config = checkConfig(document, schema);
  const readReplicas = replicasOf(config.database.read_url ?? '', config.database);
  const settings: HubSettings = {
    server: config.server,
    database: {
      host: config.database.host,
      port: config.database.port,
      dbname: config.database.dbname,
      user: config.database.user,
      password: config.database.password,
      readConnectionsMax: config.database.read_connections,
      ...(readReplicas === undefined ? {} : { readReplicas }),
    },
    store: {
      chunkIntervalMs: config.database.chunk_interval,
      compressAfterMs: config.database.compress_after,
      retention: {
        rawMs: config.retention.raw ?? null,
        eventsMs: config.retention.events ?? null,
        measurementsMs: config.retention.measurements ?? null,
        rollupMinutesMs: config.retention.rollup_minutes ?? null,
        rollupHoursMs: config.retention.rollup_hours ?? null,
      },
    },
    nats: config.nats === undefined ? null : natsSettings(config.nats),
    timeZone: config.plant.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    logLevel: config.log_level,
    pagesFolder: null,
  };
  return { settings, warnings: [] };
}

function natsSettings(keys: NonNullable<z.output<typeof schema>['nats']>): NatsSettings {
  const subjects = (keys.stream_subjects ?? `${keys.stream_name}.>`).split(',').map((subject) => subject.trim());
  return {
    connection: natsConnectionOf(keys),
    streamName: keys.stream_name,
    consumerName: keys.consumer_name,
    subjects,
    streamBytesMax: keys.stream_max_bytes,
    replicas: keys.stream_replicas,
    persistMode: keys.stream_persist_mode,
    ackWaitMs: keys.ack_wait,
  };
}
