/**
 * Reads an MTConnect adapter over TCP (SHDR, default port 7878).
 *
 * The heartbeat: `* PING` on connecting; an adapter that knows it answers `* PONG <ms>`, is then asked every `<ms>`, and
 * is given up after twice that time of silence. An adapter that never answers has no heartbeat, and then only TCP's own
 * keep-alive tells that it is gone.
 */
import type { Socket } from 'node:net';
import { aborted } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import type { CreateDriver, Driver, DriverContext } from '../../ports/driver.ts';
import { LineSplitter } from './lines.ts';
import type { ShdrOptions } from './options.ts';
import { ShdrReader } from './reader.ts';

export const create: CreateDriver<ShdrOptions> = (options) => new ShdrDriver(options);

/** Shortest and longest heartbeat that an adapter may ask for. */
export const HEARTBEAT_MS_MIN = 100;
export const HEARTBEAT_MS_MAX = 600_000;
/** A read takes at most so many bytes: the buffer is the connection's for its whole life. */
const READ_BYTES = 16 * 1024;
/** After so much silence TCP probes the peer. */
const KEEP_ALIVE_DELAY_MS = 30_000;

class ShdrDriver implements Driver {
  readonly #options: ShdrOptions;
  /** Outlives a connection: knows what was said before. */
  readonly #reader: ShdrReader;

  constructor(options: ShdrOptions) {
    this.#options = options;
    this.#reader = new ShdrReader(options);
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    const connection = new Connection(this.#options, this.#reader, context);
    await connection.run(signal);
  }
}

class Connection {
  readonly #options: ShdrOptions;
  readonly #reader: ShdrReader;
  readonly #context: DriverContext;
  readonly #splitter = new LineSplitter();
  readonly #end = new AbortController();
  #failure: MillwrightError | undefined;
  #isConnected = false;
  #lastHeardMs = 0;
  /** The adapter is made to wait, so its silence means nothing. */
  #isPaused = false;
  /** Undefined until the adapter has answered a ping. */
  #heartbeatMs: number | undefined;
  #socket: Socket | undefined;

  constructor(options: ShdrOptions, reader: ShdrReader, context: DriverContext) {
    this.#options = options;
    this.#reader = reader;
    this.#context = context;
  }

  get #peer(): string {
    return `${this.#options.host}:${this.#options.port}`;
  }

  /** Resolves when aborted; rejects for every other end. */
  async run(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const abort = (): void => this.#end.abort();
    signal.addEventListener('abort', abort);
    this.#open();
    const timers = this.#watchConnecting();
    await aborted(this.#end.signal);
    signal.removeEventListener('abort', abort);
    this.#socket?.destroy();
    await timers;
    if (signal.aborted) return;
    if (this.#isConnected) this.#reader.disconnected(this.#context);
    throw this.#failure ?? new MillwrightError('connection_failed', `${this.#peer} closed the connection`);
  }

  #open(): void {
    const net = process.getBuiltinModule('node:net');
    const { host, port } = this.#options;
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array): boolean => this.#read(buffer.subarray(0, bytes)),
    };
    const socket = net.connect({ host, port, onread, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('connect', () => this.#connected(socket));
    socket.on('error', (error) => {
      const what = this.#isConnected ? `the connection to ${this.#peer} broke` : `cannot connect to ${this.#peer}`;
      this.#fail(new MillwrightError('connection_failed', what, { cause: error }));
    });
    socket.on('close', () => this.#end.abort());
  }

  #connected(socket: Socket): void {
    this.#isConnected = true;
    this.#lastHeardMs = this.#context.clock.monotonicMs();
    this.#reader.connected();
    this.#context.connected();
    socket.write('* PING\n');
  }

  #fail(error: MillwrightError): void {
    this.#failure ??= error;
    this.#end.abort();
  }

  /** @returns whether to read on */
  #read(bytes: Uint8Array): boolean {
    if (this.#end.signal.aborted) return false;
    this.#lastHeardMs = this.#context.clock.monotonicMs();
    // Also where nothing in it is wanted, or new.
    this.#context.alive();
    try {
      this.#splitter.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), (line) => {
        const command = this.#reader.readLine(line, this.#context);
        if (command?.name === 'PONG') this.#pong(command.value);
      });
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      this.#fail(new MillwrightError(error.code, `${this.#peer}: ${error.message}`));
      return false;
    }
    const room = this.#context.room();
    if (room === undefined) return true;
    this.#isPaused = true;
    void room.then(() => this.#resume());
    return false;
  }

  #resume(): void {
    this.#isPaused = false;
    this.#lastHeardMs = this.#context.clock.monotonicMs();
    this.#socket?.resume();
  }

  #pong(value: string): void {
    const asked = /^\d{1,9}$/.test(value) ? Number(value) : this.#options.heartbeatMs;
    const isFirst = this.#heartbeatMs === undefined;
    this.#heartbeatMs = Math.min(Math.max(asked, HEARTBEAT_MS_MIN), HEARTBEAT_MS_MAX);
    this.#context.alive(this.#heartbeatMs);
    if (isFirst) void this.#keepHeartbeat();
  }

  async #watchConnecting(): Promise<void> {
    const { connectTimeoutMs } = this.#options;
    await this.#context.clock.sleep(connectTimeoutMs, this.#end.signal);
    if (this.#end.signal.aborted || this.#isConnected) return;
    const text = `cannot connect to ${this.#peer}: no answer within ${connectTimeoutMs} ms`;
    this.#fail(new MillwrightError('connection_failed', text));
  }

  /** Pings until the connection ends, and ends it after too long a silence. */
  async #keepHeartbeat(): Promise<void> {
    const { clock } = this.#context;
    while (!this.#end.signal.aborted) {
      const heartbeatMs = this.#heartbeatMs ?? this.#options.heartbeatMs;
      const silenceMaxMs = 2 * heartbeatMs;
      const leftMs = this.#lastHeardMs + silenceMaxMs - clock.monotonicMs();
      if (leftMs <= 0 && !this.#isPaused) {
        const text = `${this.#peer} was silent for ${silenceMaxMs} ms`;
        this.#fail(new MillwrightError('connection_failed', text));
        return;
      }
      await clock.sleep(Math.min(heartbeatMs, Math.max(leftMs, HEARTBEAT_MS_MIN)), this.#end.signal);
      if (!this.#end.signal.aborted && !this.#isPaused) this.#socket?.write('* PING\n');
    }
  }
}
