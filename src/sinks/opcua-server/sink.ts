/**
 * The sink `opcua_server`: shows the newest value of everything to clients that come to it over OPC UA.
 *
 * The server runs in a thread of its own (`thread.ts`): what it does with its clients holds up no machine that is read,
 * and if it falls or hangs, it is started again. Batches are settled as soon as the thread has looked at them, whether or not the
 * server could start and anybody looks: a view of what is now never keeps the log from letting go of what was.
 */
import { Backoff } from '../../base/backoff.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import { startOpcuaThread } from '../../base/opcua-thread.ts';
import type { Batch } from '../../model/batch.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type {
  CreateSink,
  ServingPlace,
  ServingSink,
  Settlement,
  Sink,
  SinkContext,
  StatusReporter,
  Trouble,
} from '../../ports/sink.ts';
import type { OpcuaServerOptions } from './config.ts';
import type { FromThread, ThreadData, ToThread } from './messages.ts';

export const create: CreateSink<OpcuaServerOptions> = (options, context) => new OpcuaServerSink(options, context);

/** What one call may carry. One that has as many batches is part of a backlog. */
export const CALL_LIMITS: Sink['limits'] = { batchesMax: 16, bytesMax: 1024 * 1024 };
/** One for the newest batches, and one for those before. */
const CALLS_MAX = 2;
const RESTART_LIMITS = { firstMs: 1_000, maxMs: 60_000 } as const;
/** A thread that has not answered for so long hangs. On a slow gateway it takes 20 s until it has loaded all that it runs. */
export const ANSWER_MS_MAX = 60_000;
/** How long the server may take to close the sessions of its clients. */
const STOP_MS_MAX = 2_000;
/** The edge's own is 3 MB, with which the thread would spend half its time on collecting garbage. */
const YOUNG_GENERATION_MB = 24;

interface Untaken {
  readonly sinceMs: number;
  readonly onTaken: () => void;
}

type Worker = import('node:worker_threads').Worker;

class OpcuaServerSink implements Sink, ServingSink, StatusReporter, Checkable {
  readonly limits: Sink['limits'] = CALL_LIMITS;
  readonly window = CALLS_MAX;
  readonly #options: OpcuaServerOptions;
  readonly #context: SinkContext;
  readonly #closing = new AbortController();
  readonly #backoff: Backoff;
  #place: ServingPlace | undefined;
  #worker: Worker | undefined;
  #running: Promise<void> = Promise.resolve();
  #trouble: Trouble | null = null;
  #messages = 0;
  /** Number of the newest status that the thread was told. */
  #statusNumber = 0;
  #isSuspected = false;
  /** What the thread was told and has not answered; the oldest first. */
  readonly #untaken = new Map<number, Untaken>();

  constructor(options: OpcuaServerOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    this.#backoff = new Backoff(RESTART_LIMITS, context.random);
  }

  get trouble(): Trouble | null {
    return this.#trouble;
  }

  serve(place: ServingPlace): void {
    const { gatewayId } = this.#context;
    this.#place = place;
    this.#running = this.#run({ options: this.#options, gatewayId, folder: place.folder });
  }

  async deliver(batches: readonly Batch[], signal: AbortSignal): Promise<Settlement> {
    const number = this.#nextNumber();
    const isBacklog = batches.length === this.limits.batchesMax;
    const taken = new Promise<void>((onTaken) => this.#expect(number, onTaken));
    const letGo = (): void => this.#take(number);
    signal.addEventListener('abort', letGo, { once: true });
    const sent = batches.map(({ epoch, sequence, readings, payload }) => ({ epoch, sequence, readings, payload }));
    if (!this.#post({ kind: 'batches', number, batches: sent, isBacklog })) this.#take(number);
    await taken;
    signal.removeEventListener('abort', letGo);
    return { refused: [] };
  }

  async report(status: EdgeStatus): Promise<void> {
    this.#endWhatHangs();
    // One at a time: what the thread has not come to would wait in memory.
    if (this.#worker === undefined || this.#untaken.has(this.#statusNumber)) return;
    const number = this.#nextNumber();
    this.#statusNumber = number;
    this.#expect(number, () => {});
    const pollIntervalsMs = this.#place?.pollIntervalsMs() ?? new Map<string, number>();
    this.#post({ kind: 'status', number, status, pollIntervalsMs });
  }

  /** Whether the certificate is valid, and the port free. */
  async check(): Promise<string> {
    const { host, port, pkiFolder } = this.#options;
    const { checkAddress, OWN_CERTIFICATE } = await import('./address.ts');
    const { timeTrouble } = await import('../../base/opcua-certificates.ts');
    const file = pkiFolder === null ? null : `${pkiFolder}/${OWN_CERTIFICATE}`;
    const { readFile } = process.getBuiltinModule('node:fs/promises');
    const pem = file === null ? undefined : await readFile(file, 'utf8').catch(() => undefined);
    const trouble = pem === undefined ? undefined : timeTrouble(pem, this.#context.clock.nowMicros() / 1000);
    if (trouble?.isValid === false) {
      const advice = 'stop the edge and delete it for a new one, which clients must then trust';
      throw new MillwrightError('config_invalid', `the certificate ${file} ${trouble.when}; ${advice}`);
    }
    await checkAddress(this.#options);
    const certificate =
      pem === undefined ? 'its certificate is made at the first start' : (trouble?.when ?? 'its certificate is valid');
    return `port ${port} of ${host} is free; ${certificate}`;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const worker = this.#worker;
    this.#post({ kind: 'stop' });
    const ended = new AbortController();
    const limit = this.#context.clock.sleep(STOP_MS_MAX, ended.signal).then(() => worker?.terminate());
    await this.#running;
    ended.abort();
    await limit;
  }

  async #run(data: ThreadData): Promise<void> {
    const { clock, log } = this.#context;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      const reason = await this.#runThread(data);
      this.#worker = undefined;
      for (const number of this.#untaken.keys()) this.#take(number);
      if (signal.aborted) return;
      this.#trouble = { message: `the server has fallen (${reason}), and is started again`, isServing: false };
      log.error('the OPC UA server has fallen, and is started again', { reason });
      if (clock.monotonicMs() - startedMs > RESTART_LIMITS.maxMs) this.#backoff.reset();
      await clock.sleep(this.#backoff.nextMs(), signal);
    }
  }

  /** Until it has ended. @returns why */
  async #runThread(data: ThreadData): Promise<string> {
    const { log } = this.#context;
    const worker = startOpcuaThread({ beside: import.meta.url, data, youngGenerationMb: YOUNG_GENERATION_MB, log });
    this.#worker = worker;
    worker.on('message', (message: FromThread) => this.#hear(message));
    let reason: string | undefined;
    worker.on('error', (error) => {
      reason = messageOf(error);
    });
    await new Promise((resolve) => worker.once('exit', resolve));
    return reason ?? (this.#isHung() ? 'it did not answer any more' : 'it has ended');
  }

  /** A thread that is stuck would hold back the log. Found twice: where all the edge stood still, the answers wait here. */
  #endWhatHangs(): void {
    const wasSuspected = this.#isSuspected;
    this.#isSuspected = this.#isHung();
    if (wasSuspected && this.#isSuspected) void this.#worker?.terminate();
  }

  #isHung(): boolean {
    const [oldest] = this.#untaken.values();
    return oldest !== undefined && this.#context.clock.monotonicMs() - oldest.sinceMs > ANSWER_MS_MAX;
  }

  #nextNumber(): number {
    this.#messages += 1;
    return this.#messages;
  }

  #expect(number: number, onTaken: () => void): void {
    this.#untaken.set(number, { sinceMs: this.#context.clock.monotonicMs(), onTaken });
  }

  #hear(message: FromThread): void {
    switch (message.kind) {
      case 'taken':
        return this.#take(message.number);
      case 'trouble':
        this.#trouble = message.trouble;
        return;
      case 'log':
        return this.#context.log[message.level](message.message, message.fields);
      default:
        return message satisfies never;
    }
  }

  #take(number: number): void {
    this.#untaken.get(number)?.onTaken();
    this.#untaken.delete(number);
  }

  /** @returns whether there is a thread */
  #post(message: ToThread): boolean {
    this.#worker?.postMessage(message);
    return this.#worker !== undefined;
  }
}
