/** The routes of `/api/v1`. */
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify';
import type { Registry } from 'prom-client';
import { now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { BATCHES_MEDIA_TYPE, FRAMES_MEDIA_TYPE } from '../../model/batch.ts';
import type { Ingestor } from '../ingest/ingestor.ts';
import { messagesOf } from '../ingest/request.ts';
import { type LiveParts, LiveStream } from '../live/live-stream.ts';
import type { HubHealth } from '../status.ts';
import type { Measurements } from '../store/measurements.ts';
import { clientGone } from './client-gone.ts';
import { answers, failures } from './describe.ts';
import { saveEdgeStatus } from './edge-status.ts';
import { addHistory, type HistoryParts, machineOf, type MachineRequest } from './history.ts';
import { addMeasurements } from './measurements.ts';
import { countParameter, parameter, parseMachine } from './parse.ts';
import * as schemas from './schemas.ts';

export interface RouteParts extends HistoryParts {
  readonly ingestor: Ingestor;
  readonly measurements: Measurements;
  readonly health: HubHealth;
  readonly metrics: Registry;
  readonly live: LiveParts;
  /** Aborted when the hub stops: live streams end. */
  readonly stopping: AbortSignal;
}

const DEAD_LETTERS_STANDARD = 50;
const DEAD_LETTERS_MAX = 500;

export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  addIngest(app, parts);
  addMachines(app, parts);
  addHistory(app, parts);
  addMeasurements(app, parts.measurements);
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
  app.get('/api/v1/machines/:id/signals', { schema: signalsSchema }, (request: MachineRequest) => {
    return reader.signals(machineOf(request));
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
  app.put('/api/v1/edges/:id/status', { schema }, async (request: MachineRequest, reply) => {
    await saveEdgeStatus({ reader, clock }, jsonBody(request), request.params.id);
    return reply.code(204).send();
  });
  const letters = answers('What was refused, newest first', schemas.listOf(schemas.deadLetter), 'limit');
  app.get('/api/v1/dead-letters', { schema: letters }, (request: MachineRequest) => {
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
  app.get('/api/v1/live', { schema, exposeHeadRoute: false }, (request: MachineRequest, reply: FastifyReply) => {
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
    return new LiveStream(live, reply.raw, machine).run(AbortSignal.any([stopping, clientGone(request, reply.raw)]));
  });
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
