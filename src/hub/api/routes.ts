/** The routes of `/api/v1`. */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify';
import type { Registry } from 'prom-client';
import { type Clock, now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { BATCHES_MEDIA_TYPE, FRAMES_MEDIA_TYPE } from '../../model/batch.ts';
import type { Ingestor } from '../ingest/ingestor.ts';
import { messagesOf } from '../ingest/request.ts';
import { type LiveParts, LiveStream } from '../live/live-stream.ts';
import type { HubHealth } from '../status.ts';
import type { DataStreams } from '../store/data-stream.ts';
import type { Reader } from '../store/reader.ts';
import { SERIES_POINTS_MAX, SERIES_SIGNALS_MAX, type SeriesRequest } from '../store/series.ts';
import { saveEdgeStatus } from './edge-status.ts';
import {
  checkedName,
  countParameter,
  namesParameter,
  parameter,
  parseMachine,
  type Query,
  timeParameter,
  timeRange,
  timeWindow,
} from './parse.ts';
import * as schemas from './schemas.ts';

export interface RouteParts {
  readonly ingestor: Ingestor;
  readonly reader: Reader;
  readonly dataStreams: DataStreams;
  readonly readSeries: (request: SeriesRequest) => Promise<object>;
  readonly health: HubHealth;
  readonly metrics: Registry;
  readonly live: LiveParts;
  readonly clock: Clock;
  /** Aborted when the hub stops: live streams end. */
  readonly stopping: AbortSignal;
}

const EVENTS_STANDARD = 100;
const EVENTS_MAX = 1_000;
const DEAD_LETTERS_STANDARD = 50;
const DEAD_LETTERS_MAX = 500;
const POINTS_STANDARD = 1_000;
const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;

type Request = FastifyRequest<{ Querystring: Query; Params: { id: string } }>;

export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  addIngest(app, parts);
  addMachines(app, parts);
  addHistory(app, parts);
  addPipeline(app, parts);
  addLive(app, parts);
}

function addIngest(app: FastifyInstance, { ingestor }: RouteParts): void {
  const description =
    'Batches, a message of frames, or JSON (one reading or an array). The answer comes when all is committed; what could ' +
    'not be understood is in the dead letters. 503: nothing is lost, send the same again. An Idempotency-Key ' +
    '(gateway/epoch/sequence, or any text of up to 200 characters) makes a message be stored once.';
  const schema = {
    summary: 'Store readings',
    description,
    tags: ['ingest'],
    consumes: [BATCHES_MEDIA_TYPE, FRAMES_MEDIA_TYPE, 'application/octet-stream', 'application/json'],
    headers: { type: 'object', properties: { 'idempotency-key': { type: 'string', maxLength: 200 } } },
    body: {},
    response: { 200: schemas.ingestAnswer, ...failures(400, 413, 415, 503) },
  };
  app.post('/api/v1/ingest', { schema, onRequest: refuseCoded }, async (request) => {
    const key = request.headers['idempotency-key'];
    const messages = messagesOf({
      mediaType: (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '',
      idempotencyKey: Array.isArray(key) ? key.join(',') : key,
      body: request.body as Buffer,
    });
    return ingestor.submit(messages);
  });
}

/** Packed bytes would be taken for frames, and end in the dead letters. */
async function refuseCoded(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const coding = request.headers['content-encoding'] ?? 'identity';
  if (coding.toLowerCase() === 'identity') return;
  const message = `content-encoding is identity, or absent; found ${coding}`;
  await reply.code(415).send({ error: { code: 'bad_request', message } });
}

function addMachines(app: FastifyInstance, { reader, clock }: RouteParts): void {
  app.get('/api/v1/machines', { schema: answers('All machines', schemas.listOf(schemas.machine)) }, () => {
    return reader.machines();
  });
  const schema = {
    summary: 'Create a machine, or replace what is known of it',
    tags: ['machines'],
    body: schemas.machineBody,
    response: { 200: schemas.machine, 201: schemas.machine, ...failures(400, 503) },
  };
  app.post('/api/v1/machines', { schema }, async (request, reply) => {
    const { machine, created } = await reader.saveMachine(parseMachine(jsonBody(request)));
    return reply.code(created ? 201 : 200).send(machine);
  });
  app.get('/api/v1/fleet', { schema: answers('Every machine now', schemas.listOf(schemas.machineNow)) }, () => {
    return reader.fleet(now(clock));
  });
  const signalsSchema = answers('What can be charted', schemas.listOf(schemas.signal), 'machine');
  app.get('/api/v1/machines/:id/signals', { schema: signalsSchema }, (request: Request) => {
    return reader.signals(machineOf(request));
  });
}

function addHistory(app: FastifyInstance, parts: RouteParts): void {
  const { reader, clock } = parts;
  const dataSchema = answers('Samples in time order, streamed', schemas.listOf(schemas.sample), 'machine', 'window');
  app.get('/api/v1/machines/:id/data', { schema: dataSchema }, async (request: Request, reply) => {
    const pieces = await parts.dataStreams.open({ machineId: machineOf(request), ...timeRange(request.query) });
    reply.hijack();
    reply.raw.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    await sendPieces(reply.raw, pieces);
  });
  const seriesSchema = answers(
    'Minimum, maximum and last value per bucket of time',
    schemas.series,
    'machine',
    'window',
    'series',
  );
  app.get('/api/v1/machines/:id/series', { schema: seriesSchema }, (request: Request) => {
    const { start, end } = timeWindow(request.query, clock.nowMicros(), HOUR_SECONDS);
    return parts.readSeries({
      machineId: machineOf(request),
      signals: namesParameter(request.query, 'signals', SERIES_SIGNALS_MAX),
      points: countParameter(request.query, 'points', { standard: POINTS_STANDARD, max: SERIES_POINTS_MAX }),
      start,
      end,
    });
  });
  const statesSchema = answers('States as intervals', schemas.listOf(schemas.stateInterval), 'machine', 'window');
  app.get('/api/v1/machines/:id/states', { schema: statesSchema }, (request: Request) => {
    const { start, end, openEnd } = timeWindow(request.query, clock.nowMicros(), DAY_SECONDS);
    return reader.states(machineOf(request), { start, end }, openEnd);
  });
  const eventsSchema = answers('Events, newest first', schemas.listOf(schemas.event), 'machine', 'limit', 'before');
  app.get('/api/v1/machines/:id/events', { schema: eventsSchema }, (request: Request) => {
    const limit = countParameter(request.query, 'limit', { standard: EVENTS_STANDARD, max: EVENTS_MAX });
    return reader.events(machineOf(request), limit, timeParameter(request.query, 'before'));
  });
}

function addPipeline(app: FastifyInstance, { reader, health, metrics, clock }: RouteParts): void {
  app.get('/api/v1/edges', { schema: answers('The edges’ own words', schemas.listOf(schemas.edgeReport)) }, () => {
    return reader.edges();
  });
  const schema = {
    summary: 'An edge tells how it fares',
    tags: ['pipeline'],
    params: { type: 'object', properties: { id: { type: 'string' } } },
    body: schemas.edgeStatus,
    response: { 204: { type: 'null' }, ...failures(400, 503) },
  };
  app.put('/api/v1/edges/:id/status', { schema }, async (request: Request, reply) => {
    await saveEdgeStatus({ reader, clock }, jsonBody(request), request.params.id);
    return reply.code(204).send();
  });
  const letters = answers('What was refused, newest first', schemas.listOf(schemas.deadLetter), 'limit');
  app.get('/api/v1/dead-letters', { schema: letters }, (request: Request) => {
    return reader.deadLetters(
      countParameter(request.query, 'limit', { standard: DEAD_LETTERS_STANDARD, max: DEAD_LETTERS_MAX }),
    );
  });
  app.get('/api/v1/status', { schema: answers('What the hub says of itself', schemas.hubStatus) }, () =>
    health.status(),
  );
  const healthSchema: FastifySchema = {
    summary: 'Whether readings can be stored',
    tags: ['pipeline'],
    response: { 200: { type: 'object', properties: { status: { const: 'ok' } } }, ...failures(503) },
  };
  for (const url of ['/api/v1/healthz', '/healthz']) {
    app.get(url, { schema: healthSchema }, async (_, reply) => {
      const error = await health.fault();
      return error === null ? { status: 'ok' } : reply.code(503).send({ error });
    });
  }
  const metricsSchema = { summary: 'Metrics in Prometheus format', tags: ['pipeline'], produces: ['text/plain'] };
  for (const url of ['/api/v1/metrics', '/metrics']) {
    app.get(url, { schema: metricsSchema }, async (_, reply) => {
      return reply.type(metrics.contentType).send(await metrics.metrics());
    });
  }
}

/** Of live streams at once: a browser that is left to reconnect for ever must not use up the hub. */
const LIVE_STREAMS_MAX = 200;

function addLive(app: FastifyInstance, { live, stopping }: RouteParts): void {
  const schema = {
    summary: 'What happens, as server-sent events',
    description: 'Events: hello, machines, readings (with ?machine=), events, edges, status (every 2 s).',
    tags: ['live'],
    querystring: { type: 'object', properties: { machine: { type: 'string' } } },
    produces: ['text/event-stream'],
  };
  // HEAD would be an answer that never ends.
  app.get('/api/v1/live', { schema, exposeHeadRoute: false }, (request: Request, reply: FastifyReply) => {
    const machine = parameter(request.query, 'machine');
    if (live.bus.subscribers >= LIVE_STREAMS_MAX) {
      const message = `${LIVE_STREAMS_MAX} live streams are open already`;
      return reply.code(503).send({ error: { code: 'limit_exceeded', message } });
    }
    reply.hijack();
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-accel-buffering': 'no',
    });
    return new LiveStream(live, reply.raw, machine).run(stopping);
  });
}

/** A client that takes nothing for so long is let go: it holds a connection to the database. */
const STALLED_MS_MAX = 60_000;

/** Writes each piece when the one before has left this process. What fails on the way ends the answer unfinished. */
async function sendPieces(response: ServerResponse, pieces: AsyncGenerator<Uint8Array, void>): Promise<void> {
  response.setTimeout(STALLED_MS_MAX, () => response.destroy());
  try {
    for await (const piece of pieces) {
      await new Promise<void>((resolve, reject) => {
        response.write(piece, (error) => (error instanceof Error ? reject(error) : resolve()));
      });
    }
    response.end();
  } catch {
    response.destroy();
  }
}

function machineOf(request: Request): string {
  return checkedName(request.params.id, 'machine');
}

/** Bodies are read as bytes, since those of readings must not be touched. */
function jsonBody(request: FastifyRequest): unknown {
  const { body } = request;
  return Buffer.isBuffer(body) ? parseJson(body) : undefined;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new MillwrightError('bad_request', 'the body is not valid JSON', { cause });
  }
}

const WINDOW = {
  start_time: { type: 'string', format: 'date-time', description: 'Inclusive' },
  end_time: { type: 'string', format: 'date-time', description: 'Exclusive' },
};
const PARAMETERS = {
  window: WINDOW,
  limit: { limit: { type: 'integer', minimum: 1 } },
  before: { before: { type: 'string', format: 'date-time' } },
  series: {
    signals: { type: 'string', description: `Up to ${SERIES_SIGNALS_MAX}, separated by commas` },
    points: { type: 'integer', minimum: 1, maximum: SERIES_POINTS_MAX, default: POINTS_STANDARD },
  },
};

/** The schema of a GET route. */
function answers(
  summary: string,
  response: object,
  ...takes: readonly ('machine' | keyof typeof PARAMETERS)[]
): { [key: string]: unknown } {
  const query = takes.filter((name) => name !== 'machine').map((name) => PARAMETERS[name]);
  return {
    summary,
    tags: [takes.includes('machine') ? 'machines' : 'pipeline'],
    ...(takes.includes('machine') ? { params: { type: 'object', properties: { id: { type: 'string' } } } } : {}),
    ...(query.length > 0 ? { querystring: { type: 'object', properties: Object.assign({}, ...query) as object } } : {}),
    response: { 200: response, ...failures(400, 503) },
  };
}

function failures(...statuses: readonly number[]): { [status: number]: unknown } {
  return Object.fromEntries(statuses.map((status) => [status, schemas.apiError]));
}
