/** `millwright publish`: one reading, and in plain words what became of it. */
import { headers } from '@nats-io/transport-node';
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { connectNats, type NatsConnection, type NatsConnectionSettings } from '../base/nats.ts';
import type { Random } from '../base/random.ts';
import type { IngestAnswer } from '../model/api.ts';
import { decodeMessage } from '../model/frame.ts';
import { MESSAGE_ID_HEADER } from '../model/nats-wire.ts';
import { type HubAddress, HubClient } from './http-client.ts';
import { NO_STREAM } from './nats-publisher.ts';
import type { Target } from './target.ts';

export interface ReadingOptions {
  /** JSON text; what it lacks of the other options is added, if it is an object. */
  readonly json?: string;
  readonly machine?: string;
  readonly timestamp?: string;
  /** By name; text that is no number stays text, so that a refusal can be tried. */
  readonly signals: { readonly [name: string]: string };
}

/** The bytes to send: a bare JSON object. Text that is not JSON is sent as it is, to see it refused. */
export function readingBytes({ json, machine, timestamp, signals }: ReadingOptions, clock: Clock): Buffer {
  const given = json === undefined ? {} : parsed(json);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return Buffer.from(json ?? '');
  const values = Object.fromEntries(Object.entries(signals).map(([name, text]) => [name, signalValue(text)]));
  const reading = {
    ...(machine !== undefined && { machine_id: machine }),
    timestamp: timestamp ?? now(clock),
    ...given,
    ...values,
  };
  return Buffer.from(JSON.stringify(reading));
}

export interface PublishParts {
  readonly subject: string;
  /** Known again by it: a reading with the same id is stored once. */
  readonly id: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

export interface Published {
  readonly text: string;
  /** It arrived, and is or will be a dead letter. */
  readonly isRefused: boolean;
}

/** @throws connection_failed, try_later or not_found when it did not arrive; bad_request when it was turned away */
export async function publishReading(target: Target, bytes: Buffer, parts: PublishParts): Promise<Published> {
  return target.kind === 'http' ? overHttp(target.hub, bytes, parts) : overNats(target.connection, bytes, parts);
}

async function overHttp(hub: HubAddress, bytes: Buffer, { id }: PublishParts): Promise<Published> {
  const client = new HubClient(hub, 1);
  const key = id === undefined ? {} : { 'idempotency-key': id };
  try {
    const answer = await client.json<IngestAnswer>({
      method: 'POST',
      path: '/api/v1/ingest',
      headers: { 'content-type': 'application/json', ...key },
      body: [bytes],
    });
    return { text: storedText(answer), isRefused: answer.dead_letters > 0 };
  } finally {
    client.close();
  }
}

function storedText({ stored, duplicate_batches: duplicates, dead_letters: letters, refused }: IngestAnswer): string {
  if (duplicates > 0) return 'duplicate: the hub has a message with this id already, and stores nothing';
  const reasons = refused.map(({ reason }) => reason).join('; ');
  if (letters === 0) return `stored: ${stored} ${stored === 1 ? 'reading is' : 'readings are'} in the database`;
  return `refused: it is in the dead letters: ${reasons}${stored > 0 ? `; ${stored} stored` : ''}`;
}

const ANSWER_TIMEOUT_MS = 5_000;

async function overNats(
  settings: NatsConnectionSettings,
  bytes: Buffer,
  { subject, id, random }: PublishParts,
): Promise<Published> {
  const connection = await connectNats(settings, { name: 'millwright publish', random });
  try {
    const { error, stream, seq, duplicate } = await askStream(connection, subject, bytes, id);
    if (error !== undefined) {
      throw new MillwrightError('try_later', `the stream refuses it: ${error.description} (${error.code})`);
    }
    const fault = decodeMessage(bytes).faults[0];
    const place = `by stream ${stream} as sequence ${seq}`;
    if (duplicate === true) return { text: `duplicate: acknowledged before, ${place}`, isRefused: false };
    if (fault === undefined) return { text: `acknowledged ${place}; a hub stores it from there`, isRefused: false };
    return { text: `acknowledged ${place}, but a hub will make it a dead letter: ${fault.reason}`, isRefused: true };
  } finally {
    await connection.close();
  }
}

/** JetStream's PubAck. */
interface StreamAnswer {
  readonly error?: { readonly code: number; readonly description: string };
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
}

async function askStream(
  connection: NatsConnection,
  subject: string,
  bytes: Buffer,
  id: string | undefined,
): Promise<StreamAnswer> {
  const fields = headers();
  if (id !== undefined) fields.append(MESSAGE_ID_HEADER, id);
  const denied = deniedBy(connection);
  const asked = connection.request(subject, bytes, { timeout: ANSWER_TIMEOUT_MS, headers: fields });
  // Whichever loses the race may fail later, when the connection is closed.
  denied.catch(() => {});
  asked.catch(() => {});
  let text: string;
  try {
    text = (await Promise.race([asked, denied])).string();
  } catch (cause) {
    const { NoRespondersError, RequestError } = await import('@nats-io/transport-node').then(({ errors }) => errors);
    const isNobody = cause instanceof NoRespondersError || (cause instanceof RequestError && cause.isNoResponders());
    const why = isNobody ? NO_STREAM : messageOf(cause, 0);
    throw new MillwrightError(isNobody ? 'not_found' : 'connection_failed', `${subject}: ${why}`);
  }
  return JSON.parse(text) as StreamAnswer;
}

/** A server says only beside the request that a subject may not be published to. */
async function deniedBy(connection: NatsConnection): Promise<never> {
  for await (const status of connection.status()) if (status.type === 'error') throw status.error;
  return new Promise(() => {});
}

function signalValue(text: string): number | string | null {
  if (text === 'null') return null;
  const value = Number(text);
  return text.trim() === '' || Number.isNaN(value) ? text : value;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
