/** What NATS answers to a batch, or to the lack of an answer: one sentence each, that says what to do about it. */
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { NatsConnection } from '../../base/nats.ts';

/** Where batches go. */
export interface Place {
  /** Of the servers, for people. */
  readonly hosts: string;
  readonly stream: string;
  readonly subject: string;
  readonly ackTimeoutMs: number;
}

/** The stream has the batch under this number, and may have had it before; or it will never take it. */
export type Published = { readonly number: number; readonly isKnown: boolean } | { readonly reason: string };

/** Error codes of JetStream (`server/errors.json` of nats-server) that a publisher or `STREAM.INFO` meets. */
export const CODE = {
  accountLimit: 10002,
  serverLimit: 10023,
  notEnabledForAccount: 10039,
  messageTooLarge: 10054,
  streamNotFound: 10059,
  otherStream: 10060,
  notEnabled: 10076,
  storeFailed: 10077,
} as const;

const INFO_TIMEOUT_MS = 2_000;

export function tooLarge(bytes: number, limit: string): Published {
  return {
    reason: `a message of ${bytes} bytes, compressed, exceeds ${limit}: raise it there and replay the dead letters`,
  };
}

/** What a stream's acknowledgment means. @throws try_later, protocol_violation for what may pass */
export function publishedOf(answer: string, bytes: number, { hosts, stream, subject }: Place): Published {
  const { error, stream: answering, seq, duplicate } = fieldsOf(answer);
  if (error === undefined) {
    if (answering !== stream || typeof seq !== 'number') {
      throw new MillwrightError(
        'protocol_violation',
        `what answers on ${subject} at NATS ${hosts} is not the stream ${stream}: nothing else may listen there`,
      );
    }
    return { number: seq, isKnown: duplicate === true };
  }
  const { err_code: code, description } = fieldsOf(error);
  const said = typeof description === 'string' ? description : JSON.stringify(error);
  switch (code) {
    case CODE.messageTooLarge:
      return tooLarge(bytes, `max_msg_size of the stream ${stream}`);
    case CODE.storeFailed:
      throw later(
        `the stream ${stream} stores nothing now (${said}): when it is full, hubs must take from it, or its limits be raised`,
      );
    case CODE.serverLimit:
      throw later(
        `JetStream at ${hosts} has no room left (${said}): hubs must take from the stream, or max_file_store of the server be raised`,
      );
    case CODE.accountLimit:
      throw later(
        `the NATS account has no room left (${said}): hubs must take from the stream, or the limit of the account be raised`,
      );
    case CODE.otherStream:
      throw later(
        `${subject} belongs to another stream than ${stream}: mend stream or subject_prefix, or the subjects of that stream`,
      );
    default:
      throw later(`the stream ${stream} takes nothing now: ${said} (NATS error ${String(code)})`);
  }
}

/** The error for a batch that was not acknowledged. */
export async function publishFailure(
  error: unknown,
  place: Place,
  connection: NatsConnection,
): Promise<MillwrightError> {
  if (error instanceof MillwrightError) return error;
  const { errors } = await import('@nats-io/transport-node');
  const { hosts, stream, ackTimeoutMs } = place;
  const failed = (sentence: string): MillwrightError => new MillwrightError('connection_failed', sentence);
  if (error instanceof errors.TimeoutError) {
    return failed(`the stream ${stream} did not acknowledge in ${ackTimeoutMs} ms: the same batches are sent again`);
  }
  const cause = error instanceof errors.RequestError ? error.cause : error;
  if (cause instanceof errors.NoRespondersError) return later(await whyNobodyAnswers(place, connection));
  if (cause instanceof errors.PermissionViolationError) {
    const what = cause.operation === 'publish' ? 'publish on' : 'receive acknowledgments on';
    return failed(`NATS at ${hosts} does not let us ${what} ${cause.subject}: permit it to this user at the server`);
  }
  return failed(`NATS at ${hosts}: ${messageOf(error)}`);
}

/** No stream takes the subject. The server is asked what there is instead, if it lets us ask. */
async function whyNobodyAnswers({ hosts, stream, subject }: Place, connection: NatsConnection): Promise<string> {
  const { errors } = await import('@nats-io/transport-node');
  let answer: string;
  try {
    const info = await connection.request(`$JS.API.STREAM.INFO.${stream}`, '', { timeout: INFO_TIMEOUT_MS });
    answer = info.string();
  } catch (error) {
    if (error instanceof errors.RequestError && error.isNoResponders()) return withoutJetStream(hosts);
    return `no stream takes ${subject} at NATS ${hosts} now: a hub with the same servers makes ${stream}`;
  }
  const { error, config } = fieldsOf(answer);
  const { err_code: code } = fieldsOf(error);
  if (code === CODE.notEnabled || code === CODE.notEnabledForAccount) return withoutJetStream(hosts);
  if (error === undefined && config !== undefined) {
    return `the stream ${stream} does not take ${subject}: add it to the subjects of the stream, or mend subject_prefix`;
  }
  if (code === CODE.streamNotFound) {
    return `there is no stream ${stream} at NATS ${hosts}: a hub with the same servers makes it, or make it by hand`;
  }
  return `no stream takes ${subject} at NATS ${hosts} now (NATS error ${String(code)})`;
}

/** @returns what there is, for people. @throws what keeps batches from going there, and what to do about it */
export async function checkStream(place: Place, connection: NatsConnection): Promise<string> {
  const { hosts, stream, subject } = place;
  const { errors } = await import('@nats-io/transport-node');
  let answer: string;
  try {
    const info = await connection.request(`$JS.API.STREAM.INFO.${stream}`, '', { timeout: INFO_TIMEOUT_MS });
    answer = info.string();
  } catch (error) {
    if (error instanceof errors.RequestError && error.isNoResponders()) throw later(withoutJetStream(hosts));
    const sentence = `NATS at ${hosts} answers, but does not tell us of the stream ${stream}: ${messageOf(error)}`;
    throw new MillwrightError('connection_failed', sentence);
  }
  const { config, state } = fieldsOf(answer);
  const { subjects } = fieldsOf(config);
  const isTaken = Array.isArray(subjects) && subjects.some((one) => takes(String(one), subject));
  if (!isTaken) throw later(await whyNobodyAnswers(place, connection));
  return `the stream ${stream} takes ${subject}; ${String(fieldsOf(state)['messages'])} messages wait in it`;
}

/** Whether a subject of a stream, perhaps with wildcards, is or has the other in it. */
function takes(pattern: string, subject: string): boolean {
  const tokens = subject.split('.');
  const wanted = pattern.split('.');
  const isPrefix = wanted.at(-1) === '>' && tokens.length >= wanted.length;
  const fixed = isPrefix ? wanted.slice(0, -1) : wanted;
  return (
    (isPrefix || tokens.length === wanted.length) && fixed.every((token, at) => token === '*' || token === tokens[at])
  );
}

function withoutJetStream(hosts: string): string {
  return `NATS at ${hosts} is without JetStream: switch it on at the server and for the account of this user`;
}

/** @throws connection_failed when the answer is not that of a hub that has taken the status */
export function checkStatusAnswer(answer: string): void {
  const { error } = fieldsOf(answer);
  if (error === undefined) return;
  throw new MillwrightError('connection_failed', `a hub refuses the status: ${String(fieldsOf(error)['message'])}`);
}

function later(sentence: string): MillwrightError {
  return new MillwrightError('try_later', sentence);
}

/** Of an object, or of the text of one in JSON; empty for all else. */
export function fieldsOf(value: unknown): { readonly [key: string]: unknown } {
  if (typeof value === 'object' && value !== null) return { ...value };
  if (typeof value !== 'string') return {};
  try {
    return fieldsOf(JSON.parse(value) as unknown);
  } catch {
    return {};
  }
}
