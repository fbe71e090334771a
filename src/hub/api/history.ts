/** What a machine has said: samples as they are, charts, states, events. */
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import type { Timestamp } from '../../model/time.ts';
import { DATA_FORMATS, type DataFormat, type DataStreams } from '../store/data-stream.ts';
import type { Reader } from '../store/reader.ts';
import { SERIES_POINTS_MAX, SERIES_SIGNALS_MAX, type SeriesRequest } from '../store/series.ts';
import { STATE_POINTS_MAX, type StatesRequest } from '../store/states.ts';
import { clientGone } from './client-gone.ts';
import { answers, DATA_LIMIT_MAX, POINTS_STANDARD } from './describe.ts';
import { codingOf, compressor, preferred } from './negotiation.ts';
import {
  checkedName,
  choiceParameter,
  countParameter,
  namesParameter,
  optionalCount,
  type Query,
  timeParameter,
  timeRange,
  timeWindow,
} from './parse.ts';
import * as schemas from './schemas.ts';

export interface HistoryParts {
  readonly reader: Reader;
  readonly dataStreams: DataStreams;
  readonly readSeries: (request: SeriesRequest) => Promise<object>;
  readonly readStates: (request: StatesRequest) => Promise<object>;
  readonly clock: Clock;
}

export type MachineRequest = FastifyRequest<{ Querystring: Query; Params: { id: string } }>;

const EVENTS_STANDARD = 100;
const EVENTS_MAX = 1_000;
const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;

export function addHistory(app: FastifyInstance, parts: HistoryParts): void {
  const { reader, clock } = parts;
  // HEAD would read everything only to throw it away.
  app.get('/api/v1/machines/:id/data', { schema: dataSchema(), exposeHeadRoute: false }, (request, reply) => {
    return sendData(parts.dataStreams, request as MachineRequest, reply);
  });
  const seriesSchema = answers(
    'Minimum, maximum and last value per bucket of time',
    schemas.series,
    'machine',
    'window',
    'series',
  );
  app.get('/api/v1/machines/:id/series', { schema: seriesSchema }, (request: MachineRequest) => {
    const { start, end } = timeWindow(request.query, clock.nowMicros(), HOUR_SECONDS);
    return parts.readSeries({
      machineId: machineOf(request),
      signals: namesParameter(request.query, 'signals', SERIES_SIGNALS_MAX),
      points: countParameter(request.query, 'points', { standard: POINTS_STANDARD, max: SERIES_POINTS_MAX }),
      start,
      end,
    });
  });
  const statesSchema = answers(
    'States as intervals',
    schemas.listOf(schemas.stateInterval),
    'machine',
    'window',
    'states',
  );
  app.get('/api/v1/machines/:id/states', { schema: statesSchema }, (request: MachineRequest) => {
    const { query } = request;
    const points = optionalCount(query, 'points', STATE_POINTS_MAX);
    return parts.readStates({
      machineId: machineOf(request),
      ...timeWindow(query, clock.nowMicros(), DAY_SECONDS),
      ...(points === undefined ? {} : { points }),
    });
  });
  const eventsSchema = answers('Events, newest first', schemas.listOf(schemas.event), 'machine', 'limit', 'before');
  app.get('/api/v1/machines/:id/events', { schema: eventsSchema }, (request: MachineRequest) => {
    const limit = countParameter(request.query, 'limit', { standard: EVENTS_STANDARD, max: EVENTS_MAX });
    return reader.events(machineOf(request), limit, timeParameter(request.query, 'before'));
  });
}

export function machineOf(request: MachineRequest): string {
  return checkedName(request.params.id, 'machine');
}

export const MEDIA_TYPES: { readonly [format in DataFormat]: string } = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
};

function dataSchema(): { [key: string]: unknown } {
  const schema = answers(
    'Samples in time order, streamed',
    schemas.listOf(schemas.sample),
    'machine',
    'window',
    'page',
  );
  const description =
    'An array of JSON, a JSON object a line (NDJSON), or CSV with a header line, by `format` or by the header accept. ' +
    'With `limit`, the header link (RFC 8288) has the address of the next page while there is one; following it gives ' +
    'every row once, whatever is stored meanwhile. Packed with zstd or gzip where the client takes it.';
  return { ...schema, description, produces: Object.values(MEDIA_TYPES) };
}

async function sendData(streams: DataStreams, request: MachineRequest, reply: FastifyReply): Promise<void> {
  const { query } = request;
  const format = choiceParameter(query, 'format', DATA_FORMATS) ?? formatOf(request.headers.accept);
  const after = timeParameter(query, 'cursor');
  const limit = optionalCount(query, 'limit', DATA_LIMIT_MAX);
  const { pieces, next } = await streams.open({
    machineId: machineOf(request),
    format,
    ...timeRange(query),
    ...(after === undefined ? {} : { after }),
    ...(limit === undefined ? {} : { limit }),
  });
  reply.hijack();
  const coding = codingOf(request.headers['accept-encoding']);
  reply.raw.writeHead(200, {
    'content-type': `${MEDIA_TYPES[format]}; charset=utf-8`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    vary: 'accept, accept-encoding',
    ...(coding === 'identity' ? {} : { 'content-encoding': coding }),
    ...(next === null ? {} : { link: `<${addressAfter(request.url, 'cursor', next)}>; rel="next"` }),
  });
  const gone = clientGone(request, reply.raw);
  await sendPieces(reply.raw, pieces, { gone, ...(coding === 'identity' ? {} : { packer: compressor(coding) }) });
}

export function formatOf(accept: string | undefined): DataFormat {
  const wanted = preferred(accept, Object.values(MEDIA_TYPES));
  return DATA_FORMATS.find((format) => MEDIA_TYPES[format] === wanted) ?? 'json';
}

/** The same address with that parameter for the next page; without a host, since a proxy has given the hub another name. */
export function addressAfter(address: string, parameter: 'cursor' | 'before', next: Timestamp): string {
  const url = new URL(address, 'http://hub');
  url.searchParams.set(parameter, next);
  return url.pathname + url.search;
}

/** A client that takes nothing for so long is let go: it holds a connection to the database. */
const STALLED_MS_MAX = 60_000;

interface Sending {
  /** Aborted when nobody takes the answer any more. */
  readonly gone: AbortSignal;
  readonly packer?: ReturnType<typeof compressor>;
}

/** Writes each piece when the one before has left this process. What fails on the way ends the answer unfinished. */
async function sendPieces(
  response: ServerResponse,
  pieces: AsyncGenerator<Uint8Array, void>,
  { gone, packer }: Sending,
): Promise<void> {
  response.setTimeout(STALLED_MS_MAX, () => response.destroy());
  const target = packer ?? response;
  const packed = packer === undefined ? undefined : pipeline(packer, response);
  // Where the client goes while a piece is being packed or waits to be sent, nobody answers the write.
  let abandon: (error: Error) => void = () => {};
  const leave = (): void => {
    packer?.destroy();
    abandon(new Error('the client has gone'));
  };
  packed?.catch(leave);
  gone.addEventListener('abort', leave);
  try {
    for await (const piece of pieces) {
      await new Promise<void>((resolve, reject) => {
        gone.throwIfAborted();
        abandon = reject;
        target.write(piece, (error) => (error instanceof Error ? reject(error) : resolve()));
      });
    }
    target.end();
    await packed;
  } catch {
    packer?.destroy();
    response.destroy();
  }
}
