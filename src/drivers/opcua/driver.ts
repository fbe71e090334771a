/**
 * Reads a machine through its OPC UA server. What is said to the server is said by a thread of its own (`thread.ts`,
 * `session.ts`), which all sensors of this type share (decision 024): here its words are handed to the runner.
 */
import { aborted } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import type { CreateDriver, Driver, DriverContext, KeepsFiles } from '../../ports/driver.ts';
import type { FromThread, ToThread } from './messages.ts';
import type { OpcuaOptions } from './options.ts';
import { type Thread, Threads } from './threads.ts';

export const create: CreateDriver<OpcuaOptions> = (options) => new OpcuaDriver(options);

/** How long a stop waits for the server to say that the session is closed. */
export const STOP_MS_MAX = 1_200;
/** The thread says that it is awake every few seconds; it may take as long to load all that it runs. */
const LOOK_MS = 20_000;
const QUIET_LOOKS_MAX = 3;

/** Of this process: the library is loaded once, whatever it reads. */
const threads = new Threads();

class OpcuaDriver implements Driver, KeepsFiles {
  readonly #options: OpcuaOptions;
  #folder = '';
  /** The signal until whose end the thread is held: also between two runs, for what it remembers. */
  #heldFor: AbortSignal | undefined;
  /** By which the thread knows this driver. */
  #id = 0;
  #isRunning = false;

  constructor(options: OpcuaOptions) {
    this.#options = options;
  }

  useFolder(folder: string): void {
    this.#folder = folder;
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.#hold(signal);
    const id = this.#id;
    const thread = threads.current(context.log);
    this.#isRunning = true;
    const ended = Promise.withResolvers<void>();
    const stopHearing = thread.hear(id, {
      message: (message) => this.#hear(message, context, ended),
      fallen: (cause) => {
        ended.reject(new MillwrightError('internal', 'the thread that speaks OPC UA has fallen', { cause }));
      },
    });
    const machineId = context.machineId;
    const pkiFolder = this.#options.pkiFolder ?? `${this.#folder}/pki`;
    thread.say({ kind: 'run', id, machineId, options: this.#options, pkiFolder } satisfies ToThread);
    const watching = new AbortController();
    void this.#watch(thread, context, watching.signal);
    try {
      await Promise.race([ended.promise, aborted(signal)]);
      if (!signal.aborted) return;
      thread.say({ kind: 'stop', id });
      const limit = new AbortController();
      await Promise.race([ended.promise, context.clock.sleep(STOP_MS_MAX, limit.signal)]);
      limit.abort();
    } catch (error) {
      // Whoever stops it does not want to know any more.
      if (!signal.aborted) throw error;
    } finally {
      watching.abort();
      stopHearing();
      this.#isRunning = false;
      if (signal.aborted) await threads.release(id);
    }
  }

  #hold(signal: AbortSignal): void {
    if (this.#heldFor === signal) return;
    this.#heldFor = signal;
    const id = threads.hold();
    this.#id = id;
    const release = (): void => {
      if (!this.#isRunning) void threads.release(id);
    };
    signal.addEventListener('abort', release, { once: true });
  }

  /** Ends a thread that hangs. Found twice: where all the edge stood still, what it says waits here. */
  async #watch(thread: Thread, { clock }: DriverContext, signal: AbortSignal): Promise<void> {
    let said = -1;
    let quietLooks = 0;
    while (!signal.aborted) {
      quietLooks = thread.said === said ? quietLooks + 1 : 0;
      if (quietLooks >= QUIET_LOOKS_MAX) return await thread.end();
      said = thread.said;
      await clock.sleep(LOOK_MS, signal);
    }
  }

  #hear(message: FromThread, context: DriverContext, ended: PromiseWithResolvers<void>): void {
    switch (message.kind) {
      case 'reading':
        return context.emit(message.reading);
      case 'connected':
        return context.connected();
      case 'alive':
        return context.alive(message.nextWithinMs);
      case 'awake':
        return;
      case 'problem':
        return context.problem(message.item, message.reason);
      case 'log':
        return context.log[message.level](message.message, message.fields);
      case 'ended':
        if (message.error === null) return ended.resolve();
        return ended.reject(new MillwrightError(message.error.code, message.error.message));
      default:
        return message satisfies never;
    }
  }
}
