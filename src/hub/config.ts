/** The hub's YAML: its schema, and what becomes of it. */
import type { z } from 'zod';
import {
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
import type { HubSettings, ReplicaSettings } from './settings.ts';

const timeZone = text('an IANA time zone such as Europe/Berlin').refine(isTimeZone, {
  error: 'allowed: an IANA time zone such as Europe/Berlin',
});

const READ_URL_ALLOWED = 'a URL such as postgresql://user:password@host:5432/name, or hosts such as host1,host2:5433';

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
    read_connections: integer({ min: 1, max: 100 })
      .prefault(8)
      .describe('Connections for the API; writing has its own'),
    read_url: text(READ_URL_ALLOWED)
      .refine((url) => replicasOf(url, NO_DEFAULTS) !== undefined, { error: `allowed: ${READ_URL_ALLOWED}` })
      .optional()
      .describe('Read replicas for charts, states and exports; what is not said here is as above'),
  }).prefault({}),
  nats: section({
    url: text('a URL such as nats://host:4222').describe('NATS server'),
    stream_name: text().prefault('CNC_DATA').describe('JetStream stream'),
    consumer_name: text().prefault('PROCESSOR').describe('Durable consumer'),
    ack_wait: duration({ minMs: 1000, maxMs: 3_600_000 }).prefault('30s').describe('Time until a message comes again'),
  })
    .optional()
    .describe('Readings by way of NATS JetStream (not in this version; edges deliver by HTTP)'),
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

type ReplicaDefaults = Pick<ReplicaSettings, 'dbname' | 'user' | 'password'>;
const NO_DEFAULTS: ReplicaDefaults = { dbname: '', user: '', password: '' };
const POSTGRES_PORT = 5432;

/** In the form of libpq: several hosts stand in one URL, divided by commas. undefined for what is no such thing. */
function replicasOf(url: string, defaults: ReplicaDefaults): readonly ReplicaSettings[] | undefined {
  const match = /^(?:postgres(?:ql)?:\/\/)?(?:([^@/]*)@)?([^@/?#]+)(?:\/([^/?#]*))?$/.exec(url.trim());
  if (match === null) return undefined;
  const [, login = '', hosts = '', dbname = ''] = match;
  const replicas = hosts.split(',').map((host) => {
    const parsed = URL.parse(`postgresql://${login === '' ? '' : `${login}@`}${host.trim()}/${dbname}`);
    if (parsed === null || parsed.hostname === '') return undefined;
    return {
      host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: parsed.port === '' ? POSTGRES_PORT : Number(parsed.port),
      dbname: decoded(parsed.pathname.slice(1)) || defaults.dbname,
      user: decoded(parsed.username) || defaults.user,
      password: decoded(parsed.password) || defaults.password,
    };
  });
  return replicas.every((replica) => replica !== undefined) ? replicas : undefined;
}

/** What is no percent-encoding is taken as it stands. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
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
    timeZone: config.plant.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    logLevel: config.log_level,
    pagesFolder: null,
  };
  const warnings: string[] = [];
  if (config.nats !== undefined) {
    warnings.push('nats: this version does not read from NATS JetStream yet; edges deliver by HTTP (sink type hub)');
  }
  return { settings, warnings };
}
