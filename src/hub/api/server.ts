/** The HTTP server: limits, errors, headers, pages, and the reference of the API. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import fastifyStatic from '@fastify/static';
import fastifySwagger from '@fastify/swagger';
import fastifySwaggerUi from '@fastify/swagger-ui';
import { fastify, type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type ErrorCode, isDefect, messageOf, MillwrightError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { ApiError } from '../../model/api.ts';
import { BATCHES_MEDIA_TYPE, FRAMES_MEDIA_TYPE } from '../../model/batch.ts';
import { BODY_BYTES_MAX } from '../ingest/request.ts';
import { faultKind } from '../store/connection.ts';
import { coded, CODED_BYTES_MIN, codingOf } from './negotiation.ts';
import { addRoutes, type RouteParts } from './routes.ts';

export interface ServerParts extends RouteParts {
  /** The folder of the built pages; null or missing: the API only. */
  readonly pagesFolder: string | null;
  readonly version: string;
  readonly log: Logger;
}

/** How long a request's head and body may take to come. */
const REQUEST_MS_MAX = 60_000;
/** Longer than an edge's pause between deliveries, so that its connections stay. */
const KEEP_ALIVE_MS = 75_000;

/** Of a name in an address, percent-encoded. */
const NAME_BYTES_MAX = 1_000;

/** The server, ready to listen. */
export async function createServer(parts: ServerParts): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: NAME_BYTES_MAX },
    logger: false,
    // What the router itself refuses never comes to the hooks and to the error handler below.
    frameworkErrors: (error, request, reply) => {
      reply.headers({ ...SECURITY_HEADERS, 'cache-control': 'no-store' });
      answerError(error, request, reply, parts.log);
    },
  });
  // The schemas describe; what comes in is checked in `parse.ts`, which answers with sentences.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  app.removeAllContentTypeParsers();
  const types = [BATCHES_MEDIA_TYPE, FRAMES_MEDIA_TYPE, 'application/octet-stream', 'application/json'];
  app.addContentTypeParser(types, { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  app.setErrorHandler((error, request, reply) => answerError(error as Error, request, reply, parts.log));
  app.addHook('onSend', async (_, reply) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) if (!reply.hasHeader(name)) reply.header(name, value);
    // Else the connection would stay open for the next request, and the stop would wait for it.
    if (parts.stopping.aborted) reply.header('connection', 'close');
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
  await addReference(app, parts.version);
  await app.register(async (scope) => {
    scope.addHook('onSend', packed);
    addRoutes(scope, parts);
  });
  await addPages(app, parts.pagesFolder);
  await app.ready();
  return app;
}

/** Packs an answer of the API as its client takes it. What is streamed is packed where it is sent. */
async function packed(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  if (typeof payload !== 'string' || payload.length < CODED_BYTES_MIN) return payload;
  reply.header('vary', 'accept-encoding');
  const coding = codingOf(request.headers['accept-encoding']);
  if (coding === 'identity' || request.method === 'HEAD') return payload;
  reply.header('content-encoding', coding);
  return coded(payload, coding);
}

/** Styles may stand in the page: the chart library sets them on its elements. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; " +
    "form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

const STATUS_OF: { readonly [code in ErrorCode]?: number } = {
  bad_request: 400,
  not_found: 404,
  limit_exceeded: 413,
  try_later: 503,
  database_unavailable: 503,
};

function answerError(error: Error, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  const { status, body, retryAfterMs } = describe(error, request);
  if (status >= 500 && retryAfterMs === undefined) {
    log.error('a request failed', { url: request.url, error, stack: error.stack });
  }
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)));
  // What is left of a body that is too long is not read.
  if (status === 413) reply.header('connection', 'close');
  return reply.code(status).type('application/json; charset=utf-8').send(body);
}

/** What a reader is told to wait when the database is away. */
const DATABASE_AWAY_MS = 2_000;

function describe(error: Error, request: FastifyRequest): { status: number; body: ApiError; retryAfterMs?: number } {
  const body = (code: ErrorCode, message: string): ApiError => ({ error: { code, message } });
  if (error instanceof MillwrightError) {
    const status = STATUS_OF[error.code] ?? 500;
    const wait = error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs };
    return { status, body: body(error.code, messageOf(error)), ...wait };
  }
  switch ((error as FastifyError).code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE': {
      const found = request.headers['content-length'];
      const length = found === undefined ? '' : `; found ${found}`;
      return { status: 413, body: body('limit_exceeded', `a body is at most ${BODY_BYTES_MAX} bytes${length}`) };
    }
    case 'FST_ERR_BAD_URL':
      return { status: 400, body: body('bad_request', 'the address is not valid percent-encoded UTF-8') };
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return { status: 414, body: body('bad_request', `a name in the address is at most ${NAME_BYTES_MAX} bytes`) };
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE': {
      const found = request.headers['content-type'] ?? 'nothing';
      const allowed = `${BATCHES_MEDIA_TYPE}, ${FRAMES_MEDIA_TYPE}, application/octet-stream and application/json`;
      return { status: 415, body: body('bad_request', `content-type is one of ${allowed}; found ${found}`) };
    }
  }
  const status = (error as FastifyError).statusCode;
  if (status !== undefined && status < 500) return { status, body: body('bad_request', error.message) };
  if (faultKind(error) === 'data')
    return { status: 400, body: body('bad_request', `the database refuses it: ${error.message}`) };
  if (isDefect(error))
    return { status: 500, body: body('internal', `the hub failed at this request: ${error.message}`) };
  return {
    status: 503,
    body: body('database_unavailable', `the database cannot be used: ${messageOf(error)}`),
    retryAfterMs: DATABASE_AWAY_MS,
  };
}

async function addReference(app: FastifyInstance, version: string): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Millwright hub',
        description: 'Readings of machines: stored once, served live and from the past.',
        version,
        license: { name: 'Apache-2.0' },
      },
    },
  });
  await app.register(fastifySwaggerUi, {
    routePrefix: '/api/docs',
    staticCSP: true,
    uiConfig: { tryItOutEnabled: true },
  });
  app.get('/api/v1/openapi.json', { schema: { hide: true } }, () => app.swagger());
}

/** Pages know their own addresses: whatever is neither a file nor of the API is answered with the page. */
async function addPages(app: FastifyInstance, folder: string | null): Promise<void> {
  const hasPages = folder !== null && existsSync(path.join(folder, 'index.html'));
  if (hasPages) {
    await app.register(fastifyStatic, {
      root: path.resolve(folder),
      cacheControl: false,
      setHeaders: (reply, file) => {
        // Names of built files carry a hash of their content, that of the page itself does not.
        const isHashed = path.basename(path.dirname(file)) === 'assets';
        reply.header('cache-control', isHashed ? 'public, max-age=31536000, immutable' : 'no-cache');
      },
    });
  }
  app.setNotFoundHandler((request, reply) => {
    const [address = ''] = request.url.split('?');
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    // A machine's name may hold a dot; any other address with one is a file that is missing.
    const isPage = /^\/(machine|cmm)\//.test(address) || path.extname(address) === '';
    if (hasPages && isRead && isPage && !address.startsWith('/api/')) return reply.sendFile('index.html');
    const message = `there is no ${request.method} ${request.url.slice(0, 200)}`;
    const error: ApiError = { error: { code: 'not_found', message } };
    return reply.code(404).send(error);
  });
}
