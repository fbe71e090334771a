/**
 * Plays a recorded adapter log as the adapter did: a TCP server that sends the file's lines at the pace of their stamps.
 *
 * The play begins when the first client connects, and every client hears it from where it is (as one who calls a machine
 * late does), unless each is given the file from its start. The rows at the top that are older than the recording (the
 * state when it began) go out at once; so does every row that is stamped earlier than one before it.
 *
 * The file is streamed, never held whole. A client that does not read cannot make memory grow: at a pace it is dropped
 * when too much waits for it; at `max` the play waits for the slowest.
 */
import { createReadStream } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { microsOf, parseTimestamp, timestampOf } from '../model/time.ts';

export interface ShdrPlayerOptions {
  readonly file: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Times the recorded pace; `max`: as fast as it is taken. */
  readonly speed: number | 'max';
  /** Begins again at the end. */
  readonly loop: boolean;
  /** Keeps the connections open after the end, as an adapter does; false closes them. */
  readonly hold: boolean;
  /** `shared`: one play for all; `each`: every client gets the whole file. */
  readonly start: 'shared' | 'each';
  /** Shifts all stamps by one constant, so that the first row after the old ones at the top is now. */
  readonly rebase: boolean;
  /** Longest pause between two rows, in recorded time; null keeps the recording's. */
  readonly gapMsMax: number | null;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ShdrPlayer {
  readonly host: string;
  readonly port: number;
  /** Resolves when the play is over: the shared one, or the first client's. */
  readonly finished: Promise<void>;
  progress(): { readonly lines: number; readonly clients: number };
  close(): Promise<void>;
}

/** The heartbeat that the player asks for. */
const HEARTBEAT_MS = 10_000;
export const CLIENTS_MAX = 64;
/** What may wait for a client that reads too slowly before it is dropped. */
export const CLIENT_BACKLOG_BYTES_MAX: number = 4 * 1024 * 1024;
/** Longest line from a client. */
const REQUEST_BYTES_MAX = 1_024;
/** Longest line of a recording. */
const RECORDED_LINE_BYTES_MAX: number = 16 * 1024 * 1024;
/** Lines at `max` that are joined into one write. */
const WRITE_BYTES = 64 * 1024;
/** Within the first so many lines, what stands before the last pause longer than this is older than the recording. */
const HEAD_LINES_MAX = 1_000;
const HEAD_GAP_MS = 3_600_000;
const PROGRESS_INTERVAL_MS = 10_000;

/**
 * Starts to listen.
 * @throws `storage_failed` when the file cannot be read, `port_unavailable` when the port is taken
 */
export async function playShdr(options: ShdrPlayerOptions, signal: AbortSignal): Promise<ShdrPlayer> {
  const head = await findStart(options.file);
  const player = new Player(options, head);
  await player.listen();
  if (signal.aborted) await player.close();
  signal.addEventListener('abort', () => void player.close(), { once: true });
  return player;
}

class Player implements ShdrPlayer {
  readonly host: string;
  readonly finished: Promise<void>;
  readonly #options: ShdrPlayerOptions;
  /** The stamp with which the recording begins; undefined when no line has one. */
  readonly #startMicros: number | undefined;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #closing = new AbortController();
  readonly #finish: () => void;
  #isPlaying = false;
  #lines = 0;

  constructor(options: ShdrPlayerOptions, startMicros: number | undefined) {
    this.host = options.host;
    this.#options = options;
    this.#startMicros = startMicros;
    this.#server = createServer();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : this.#options.port;
  }

  progress(): { readonly lines: number; readonly clients: number } {
    return { lines: this.#lines, clients: this.#clients.size };
  }

  listen(): Promise<void> {
    const { host, port, file, log } = this.#options;
    this.#server.on('connection', (socket) => this.#welcome(socket));
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(new MillwrightError('port_unavailable', `cannot listen on ${host}:${port}`, { cause }));
      });
      this.#server.listen(port, host, () => {
        log.info('the recording waits for a client', { file, address: `${host}:${this.port}` });
        void this.#tellProgress();
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#finish();
    for (const client of this.#clients) client.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #welcome(socket: Socket): void {
    if (this.#closing.signal.aborted || this.#clients.size >= CLIENTS_MAX) {
      socket.destroy();
      return;
    }
    this.#clients.add(socket);
    this.#options.log.info('a client has come', { clients: this.#clients.size });
    socket.setNoDelay(true);
    socket.on('close', () => {
      this.#clients.delete(socket);
      this.#options.log.info('a client has gone', { clients: this.#clients.size });
    });
    socket.on('error', (error) => this.#options.log.debug('a connection broke', { error }));
    answerPings(socket);
    if (this.#options.start === 'each') void this.#play(() => (socket.destroyed ? [] : [socket]), socket);
    else if (!this.#isPlaying) {
      this.#isPlaying = true;
      void this.#play(() => [...this.#clients]);
    }
  }

  /** With `only`, for that client alone, and until it leaves. */
  async #play(listeners: () => Socket[], only?: Socket): Promise<void> {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    only?.once('close', end);
    this.#closing.signal.addEventListener('abort', end);
    try {
      do {
        if (this.#options.speed === 'max') await this.#playAtOnce(listeners, ended.signal);
        else await this.#playAtPace(this.#options.speed, listeners, ended.signal);
      } while (this.#options.loop && !ended.signal.aborted);
      if (!this.#options.hold) for (const client of listeners()) client.end();
    } catch (error) {
      this.#options.log.error('the recording cannot be played on', { error });
    }
    this.#closing.signal.removeEventListener('abort', end);
    this.#options.log.info('the recording is at its end', { lines: this.#lines });
    this.#finish();
  }

  async #playAtOnce(listeners: () => Socket[], signal: AbortSignal): Promise<void> {
    let waiting: Buffer[] = [];
    let bytes = 0;
    const write = async (): Promise<void> => {
      const block = Buffer.concat(waiting);
      waiting = [];
      bytes = 0;
      const slow = listeners().filter((client) => !client.write(block));
      await Promise.all(slow.map(drained));
    };
    for await (const line of this.#recordedLines()) {
      if (signal.aborted) return;
      waiting.push(line.bytes);
      bytes += line.bytes.length;
      if (bytes >= WRITE_BYTES) await write();
    }
    if (bytes > 0) await write();
  }

  async #playAtPace(speed: number, listeners: () => Socket[], signal: AbortSignal): Promise<void> {
    const { clock, gapMsMax } = this.#options;
    const beganMs = clock.monotonicMs();
    let newest = this.#startMicros ?? 0;
    /** Recorded time that long pauses have been shortened by. */
    let cutMs = 0;
    for await (const { bytes, micros } of this.#recordedLines()) {
      if (micros !== undefined && micros > newest) {
        if (gapMsMax !== null) cutMs += Math.max(0, (micros - newest) / 1000 - gapMsMax);
        newest = micros;
        const dueMs = beganMs + ((micros - (this.#startMicros ?? 0)) / 1000 - cutMs) / speed;
        const waitMs = dueMs - clock.monotonicMs();
        if (waitMs >= 1) await clock.sleep(waitMs, signal);
      }
      if (signal.aborted) return;
      for (const client of listeners()) {
        client.write(bytes);
        if (client.writableLength > CLIENT_BACKLOG_BYTES_MAX) this.#drop(client);
      }
    }
  }

  #drop(client: Socket): void {
    this.#options.log.warn('a client reads too slowly and is dropped', { waiting_bytes: client.writableLength });
    client.destroy();
  }

  /** The lines as they are sent, with the stamp they were recorded with. */
  async *#recordedLines(): AsyncGenerator<{ readonly bytes: Buffer; readonly micros: number | undefined }> {
    const shift = this.#options.rebase ? this.#options.clock.nowMicros() - (this.#startMicros ?? 0) : undefined;
    for await (const bytes of linesOf(this.#options.file)) {
      this.#lines += 1;
      const { micros, length } = stampOf(bytes);
      if (shift === undefined || micros === undefined) yield { bytes, micros };
      else yield { bytes: Buffer.concat([Buffer.from(timestampOf(micros + shift)), bytes.subarray(length)]), micros };
    }
  }

  async #tellProgress(): Promise<void> {
    const { clock, log } = this.#options;
    let told = 0;
    while (!this.#closing.signal.aborted) {
      await clock.sleep(PROGRESS_INTERVAL_MS, this.#closing.signal);
      if (this.#lines === told || this.#closing.signal.aborted) continue;
      told = this.#lines;
      log.info('playing', { ...this.progress() });
    }
  }
}

function answerPings(socket: Socket): void {
  let request = '';
  socket.on('data', (chunk) => {
    request += chunk.toString('latin1');
    const lines = request.split('\n');
    request = lines.pop() ?? '';
    for (const line of lines) if (/^\*\s*PING\s*$/.test(line)) socket.write(`* PONG ${HEARTBEAT_MS}\n`);
    if (request.length > REQUEST_BYTES_MAX) socket.destroy();
  });
}

/** Resolves when the client takes more, or is gone. */
function drained(client: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      client.off('drain', done);
      client.off('close', done);
      resolve();
    };
    if (client.destroyed || !client.writableNeedDrain) return resolve();
    client.on('drain', done);
    client.on('close', done);
  });
}

/** The stamp from which the recording runs: after the last long pause near the top. */
async function findStart(file: string): Promise<number | undefined> {
  let start: number | undefined;
  let newest = Number.NEGATIVE_INFINITY;
  let lines = 0;
  for await (const line of linesOf(file)) {
    const { micros } = stampOf(line);
    if (micros !== undefined) {
      if (start === undefined || micros - newest > HEAD_GAP_MS * 1000) start = micros;
      newest = Math.max(newest, micros);
    }
    lines += 1;
    if (lines === HEAD_LINES_MAX) break;
  }
  return start;
}

/** A line's stamp and its length in bytes, when it begins with one. */
function stampOf(line: Buffer): { micros: number | undefined; length: number } {
  const end = line.subarray(0, 64).findIndex((byte) => byte === 0x7c || byte === 0x40);
  if (end <= 0) return { micros: undefined, length: 0 };
  const timestamp = parseTimestamp(line.toString('latin1', 0, end), { assumeUtc: true });
  return { micros: timestamp === undefined ? undefined : microsOf(timestamp), length: end };
}

/** The file's lines, each with its line feed. */
async function* linesOf(file: string): AsyncGenerator<Buffer> {
  const stream = createReadStream(file);
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, start)) {
        yield bytes.subarray(start, end + 1);
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > RECORDED_LINE_BYTES_MAX) {
        throw new MillwrightError('limit_exceeded', `${file} has a line longer than ${RECORDED_LINE_BYTES_MAX} bytes`);
      }
    }
  } catch (cause) {
    if (cause instanceof MillwrightError) throw cause;
    throw new MillwrightError('storage_failed', `cannot read ${file}`, { cause });
  }
  if (rest.length > 0) yield Buffer.concat([rest, Buffer.from('\n')]);
}
