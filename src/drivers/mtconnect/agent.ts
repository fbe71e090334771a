/**
 * An agent over HTTP: its three questions, and its refusals in plain words. It keeps nothing but connections.
 *
 * Every answer may be an error document, with 200 as with 4xx (agents before 1.4 answer 200), so the document decides.
 */
import type { Clock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { HttpClient, type OpenAnswer } from '../../base/http-client.ts';
import { type AgentDocument, type AgentErrorEntry, parseDocument } from './document.ts';
import { GrowingBytes } from './growing-bytes.ts';
import { boundaryOf, MultipartParser } from './multipart.ts';
import type { MtconnectOptions } from './options.ts';

/** Longest document that is asked for as a whole. */
export const DOCUMENT_BYTES_MAX: number = 64 * 1024 * 1024;
/** One for a stream, one for what is asked meanwhile. */
const CONNECTIONS_MAX = 2;

export type AgentAddress = Pick<MtconnectOptions, 'url' | 'token' | 'tls' | 'timeoutMs'>;
export type DevicesDocument = AgentDocument & { readonly kind: 'devices' };
export type StreamsDocument = AgentDocument & { readonly kind: 'streams' };

/** The agent has understood the question and does not answer it. */
export class AgentRefusal extends MillwrightError {
  /** MTConnect Part 1, Errors: `OUT_OF_RANGE`, `NO_DEVICE`, … */
  readonly agentCodes: readonly string[];

  constructor(url: string, errors: readonly AgentErrorEntry[]) {
    super('protocol_violation', `${url}: the agent refuses: ${errors.map(refusalText).join('; ')}`);
    this.agentCodes = errors.map(({ code }) => code);
  }
}

export class Agent {
  readonly #address: AgentAddress;
  readonly #clock: Clock;
  readonly #client: HttpClient;

  constructor(address: AgentAddress, clock: Clock) {
    this.#address = address;
    this.#clock = clock;
    const { url, token, tls } = address;
    const headers = {
      // Newer agents can speak JSON too, and choose by the end of each name.
      accept: 'text/xml, application/xml',
      ...(token !== null && { authorization: `Bearer ${token}` }),
    };
    this.#client = new HttpClient({ url, headers, connectionsMax: CONNECTIONS_MAX, tls }, clock);
  }

  /** Every device of the agent. @throws MillwrightError; {@link AgentRefusal} when the agent says why not */
  async probe(signal: AbortSignal): Promise<DevicesDocument> {
    const document = await this.#document('/probe', signal);
    if (document.kind !== 'devices') throw this.#violation('/probe', 'what it answered are no devices');
    return document;
  }

  /** What holds. `device`: its name; null for all. */
  async current(device: string | null, signal: AbortSignal): Promise<StreamsDocument> {
    const path = `${folderOf(device)}/current`;
    const document = await this.#document(path, signal);
    if (document.kind !== 'streams') throw this.#violation(path, 'what it answered are no observations');
    return document;
  }

  /** An endless answer with documents in it. @throws as {@link probe} */
  async sample(device: string | null, query: SampleQuery, signal: AbortSignal): Promise<SampleStream> {
    const { intervalMs, heartbeatMs, from, count } = query;
    const times = `interval=${intervalMs}&heartbeat=${heartbeatMs}`;
    const path = `${folderOf(device)}/sample?${times}&from=${from}&count=${count}`;
    const answer = await this.#open(path, signal);
    const boundary = boundaryOf(answer.headers['content-type']);
    if (boundary === undefined) {
      await this.#readInTime(path, answer, signal);
      throw this.#violation(path, 'the agent does not stream: what it answered has no parts');
    }
    return new SampleStream(answer, new MultipartParser(boundary), (body) => this.#parse(path, body));
  }

  close(): void {
    this.#client.close();
  }

  async #document(path: string, signal: AbortSignal): Promise<AgentDocument> {
    return await this.#readInTime(path, await this.#open(path, signal), signal);
  }

  /** However slowly it comes, it ends. */
  async #readInTime(path: string, answer: OpenAnswer, signal: AbortSignal): Promise<AgentDocument> {
    const ended = new AbortController();
    const close = (): void => answer.close();
    signal.addEventListener('abort', close, { signal: ended.signal });
    void this.#clock.sleep(this.#address.timeoutMs, ended.signal).then(close);
    try {
      return await this.#read(path, answer);
    } finally {
      ended.abort();
    }
  }

  #open(path: string, signal: AbortSignal): Promise<OpenAnswer> {
    const { timeoutMs } = this.#address;
    return this.#client.open({ method: 'GET', path, headers: {}, body: [], timeoutMs }, signal);
  }

  async #read(path: string, answer: OpenAnswer): Promise<AgentDocument> {
    const whole = new GrowingBytes();
    for await (const piece of answer.body) {
      whole.push(piece);
      if (whole.length <= DOCUMENT_BYTES_MAX) continue;
      answer.close();
      throw this.#violation(path, `an answer of more than ${DOCUMENT_BYTES_MAX} bytes`);
    }
    try {
      return await this.#parse(path, whole.bytes);
    } catch (error) {
      // A page that says "not found", or "look elsewhere", is no document either.
      if (answer.status < 300 || error instanceof AgentRefusal) throw error;
      const text = `${this.#where(path)} answered ${answer.status}: is there an MTConnect agent at this address?`;
      throw new MillwrightError('protocol_violation', text, { cause: error });
    }
  }

  /** @throws AgentRefusal for an error document */
  async #parse(path: string, body: Buffer): Promise<AgentDocument> {
    let document: AgentDocument;
    try {
      document = await parseDocument(body.toString('utf8'));
    } catch (error) {
      if (error instanceof MillwrightError) throw this.#violation(path, error.message);
      throw error;
    }
    if (document.kind === 'error') throw new AgentRefusal(this.#where(path), document.errors);
    return document;
  }

  #violation(path: string, what: string): MillwrightError {
    return new MillwrightError('protocol_violation', `${this.#where(path)}: ${what}`);
  }

  #where(path: string): string {
    return this.#address.url + path;
  }
}

export interface SampleQuery {
  readonly from: number;
  readonly count: number;
  readonly intervalMs: number;
  readonly heartbeatMs: number;
}

export class SampleStream {
  readonly #answer: OpenAnswer;
  readonly #parser: MultipartParser;
  readonly #parse: (body: Buffer) => Promise<AgentDocument>;

  constructor(answer: OpenAnswer, parser: MultipartParser, parse: (body: Buffer) => Promise<AgentDocument>) {
    this.#answer = answer;
    this.#parser = parser;
    this.#parse = parse;
  }

  /**
   * Ends when the agent closes the stream. `onBytes` is told of every sign of life.
   * @throws connection_failed, protocol_violation, {@link AgentRefusal}
   */
  async *documents(onBytes: () => void): AsyncGenerator<StreamsDocument> {
    for await (const piece of this.#answer.body) {
      onBytes();
      for (const body of this.#parser.push(piece)) {
        const document = await this.#parse(body);
        if (document.kind === 'streams') yield document;
      }
    }
  }

  close(): void {
    this.#answer.close();
  }
}

function folderOf(device: string | null): string {
  return device === null ? '' : `/${encodeURIComponent(device)}`;
}

/** Codes of which the agent's own text does not say what to do. */
const REFUSALS: { readonly [code: string]: string | undefined } = {
  NO_DEVICE: 'it has no such device; `millwright probe mtconnect URL` lists those that it has',
  OUT_OF_RANGE: 'it does not have these observations any more, or not yet',
  INVALID_URI: 'it does not know this address; the url in the configuration is that of the agent alone',
  INVALID_XPATH: 'it does not understand the path that was asked for',
  INVALID_REQUEST: 'it does not understand the question',
  INVALID_PARAMETER_VALUE: 'it does not take a value that was asked for: interval, heartbeat or count',
  QUERY_ERROR: 'it does not understand the question: interval, heartbeat or count may be out of its range',
  UNSUPPORTED: 'it cannot do that',
  UNAUTHORIZED: 'it does not let us in',
  INTERNAL_ERROR: 'it has a fault of its own',
  TOO_MANY: 'more was asked for than it gives at once: a smaller count may help',
};

function refusalText({ code, text }: AgentErrorEntry): string {
  const own = text === '' ? code : `${code}, "${text.slice(0, 300)}"`;
  const meaning = REFUSALS[code];
  return meaning === undefined ? own : `${meaning} (${own})`;
}
