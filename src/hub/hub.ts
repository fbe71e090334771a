/** The hub's composition root: puts the parts together, runs them, and takes them down in order. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { hasCode, messageOf, MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import { saveEdgeStatus } from './api/edge-status.ts';
import { createServer } from './api/server.ts';
import { EdgeReports } from './ingest/edge-reports.ts';
import { Ingestor } from './ingest/ingestor.ts';
import { JetStreamReader } from './ingest/jetstream.ts';
import { SettledAnswers } from './ingest/settled-answers.ts';
import { LiveBus } from './live/bus.ts';
import type { DatabaseSettings, HubSettings } from './settings.ts';
import { createMetrics, HubHealth } from './status.ts';
import { createAnswerPool, createClient, createReadPool, withConnection } from './store/connection.ts';
import { DATA_STREAMS_MAX, DataStreams } from './store/data-stream.ts';
import { maintainStore, prepareStore } from './store/maintenance.ts';
import { Measurements } from './store/measurements.ts';
import { ReadPools } from './store/read-pools.ts';
import { Reader } from './store/reader.ts';
import { readSeries } from './store/series.ts';
import { readStates } from './store/states.ts';
import { compactSettled } from './store/settled.ts';

export interface HubParts {
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called once, when the hub listens and its database is ready. */
  readonly serving?: (address: { readonly host: string; readonly port: number }) => void;
}

const COMPACTION_INTERVAL_MS = 60_000;
const DATABASE_BACKOFF = { firstMs: 200, maxMs: 5_000 };
/** Requests under way are given so long to finish; what is not answered then, its sender sends again. */
export const STOP_MS_MAX = 8_000;

/**
 * Runs until the signal is aborted; resolves when everything is closed, within ten seconds.
 * @throws `port_unavailable`; `database_version` when the database was set up by a newer version
 */
export async function runHub(settings: HubSettings, parts: HubParts, signal: AbortSignal): Promise<void> {
  const hub = await composeHub(settings, parts);
  const storing = new AbortController();
  let stored: Promise<void> = Promise.resolve();
  let read: Promise<void> | undefined;
  try {
    // Listening comes before the database: the health check then says what is waited for.
    const port = await listen(hub.app, settings.server);
    await prepareDatabase(settings, parts, signal);
    if (signal.aborted) return;
    stored = hub.ingestor.run(storing.signal);
    read = hub.stream?.run(signal);
    parts.serving?.({ host: settings.server.host, port });
    await Promise.all([
      compactPeriodically(settings, parts, signal),
      maintainStore(settings, { clock: parts.clock, log: parts.log, isPressed: () => hub.ingestor.isPressed }, signal),
    ]);
  } finally {
    const closed = hub.close();
    storing.abort();
    await Promise.all([closed, stored, read]);
  }
}

interface ComposedHub {
  readonly app: FastifyInstance;
  readonly ingestor: Ingestor;
  /** Null where NATS is not configured. */
  readonly stream: JetStreamReader | null;
  /** Ends live streams, finishes the requests under way, closes the connections. */
  close(): Promise<void>;
}

/** All parts, joined and at rest. */
export async function composeHub(settings: HubSettings, parts: HubParts): Promise<ComposedHub> {
  const { version, clock, random, log } = parts;
  const stopping = new AbortController();
  const primary = createReadPool(settings.database, log);
  const pools = createReadPools(settings.database, primary, { clock, log });
  // What is now, and what is written, is the primary's; what was is read from a replica where there is one.
  const reader = new Reader(primary);
  const bus = new LiveBus();
  const ingestor = new Ingestor({
    connection: (onLost) => createClient(settings.database, 'write', onLost),
    isWatched: (machineId) => bus.isWatched(machineId),
    committed: (committed) => bus.publish(committed),
    clock,
    random,
    log,
  });
  const edgeReports = new EdgeReports({ save: (body, id) => saveEdgeStatus({ reader, clock }, body, id), log });
  const answerPool = createAnswerPool(settings.database, log);
  const settledAnswers = new SettledAnswers(answerPool);
  const streamParts = { ingestor, edgeReports, settledAnswers, clock, random, log };
  const stream = settings.nats === null ? null : new JetStreamReader(settings.nats, streamParts);
  // Charts and exports may have taken all connections for reading: that is no fault of the database.
  const checked = new Reader(answerPool);
  const statusParts = { version, timeZone: settings.timeZone, ingestor, reader: checked, bus, stream, clock };
  const health = new HubHealth(statusParts);
  const app = await createServer({
    ingestor,
    reader,
    dataStreams: new DataStreams(pools, Math.min(DATA_STREAMS_MAX, settings.database.readConnectionsMax - 1)),
    measurements: new Measurements(pools),
    readSeries: (request) => readSeries(pools, request),
    readStates: (request) => readStates(pools, request),
    health,
    metrics: createMetrics(statusParts),
    live: { bus, reader, hubStatus: () => health.status(), clock },
    clock,
    stopping: stopping.signal,
    pagesFolder: settings.pagesFolder,
    version,
    log,
  });
  const close = async (): Promise<void> => {
    stopping.abort();
    const impatience = setTimeout(() => app.server.closeAllConnections(), STOP_MS_MAX);
    await app.close();
    clearTimeout(impatience);
    await Promise.all([pools.end(), answerPool.end()]);
  };
  return { app, ingestor, stream, close };
}

function createReadPools(
  database: DatabaseSettings,
  primary: Pool,
  { clock, log }: Pick<HubParts, 'clock' | 'log'>,
): ReadPools {
  const replicas = (database.readReplicas ?? []).map((settings) => ({
    name: `${settings.host}:${settings.port}/${settings.dbname}`,
    pool: createReadPool({ ...database, ...settings }, log),
  }));
  return new ReadPools({ primary, replicas, clock, log });
}

async function listen(app: FastifyInstance, { host, port }: HubSettings['server']): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const reason = code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${messageOf(cause)})`;
    throw new MillwrightError('port_unavailable', `port ${port} on ${host} ${reason}; choose another`);
  }
  const address = app.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

/** Waits for the database, saying so, and brings its schema up to date. */
async function prepareDatabase(
  settings: HubSettings,
  { clock, random, log }: HubParts,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(DATABASE_BACKOFF, random);
  while (!signal.aborted) {
    try {
      return await withConnection(settings.database, 'migrate', signal, (client) => {
        return prepareStore(client, settings.store, log);
      });
    } catch (error) {
      if (hasCode(error, 'database_version')) throw error;
      if (signal.aborted) return;
      const { host, port, dbname } = settings.database;
      log.warn('waiting for the database', { database: `${host}:${port}/${dbname}`, error });
      await clock.sleep(backoff.nextMs(), signal);
    }
  }
}

async function compactPeriodically(
  settings: HubSettings,
  { clock, log }: HubParts,
  signal: AbortSignal,
): Promise<void> {
  for (; !signal.aborted; await clock.sleep(COMPACTION_INTERVAL_MS, signal)) {
    try {
      log.debug('identities compacted', {
        ...(await withConnection(settings.database, 'compact', signal, compactSettled)),
      });
    } catch (error) {
      if (!signal.aborted) log.warn('identities were not compacted; trying again in a minute', { error });
    }
  }
}
