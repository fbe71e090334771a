/** The thread that speaks OPC UA: started when the first driver runs, ended when the last one has stopped. */
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { startOpcuaThread } from '../../base/opcua-thread.ts';
import type { FromThread, ToThread } from './messages.ts';

type Worker = import('node:worker_threads').Worker;

const YOUNG_GENERATION_MB = 8;

export interface Hearer {
  message(message: FromThread): void;
  /** The thread has ended by itself, or was ended because it hung. */
  fallen(cause: Error): void;
}

export class Threads {
  readonly #holders = new Set<number>();
  #ids = 0;
  #current: Thread | undefined;

  /** @returns a number by which the thread knows who holds it */
  hold(): number {
    this.#ids += 1;
    this.#holders.add(this.#ids);
    return this.#ids;
  }

  async release(id: number): Promise<void> {
    this.#holders.delete(id);
    const thread = this.#current;
    thread?.say({ kind: 'forget', id });
    if (this.#holders.size > 0) return;
    this.#current = undefined;
    await thread?.end();
  }

  /** The one that runs; another when that has fallen. */
  current(log: Logger): Thread {
    if (this.#current?.hasEnded !== false) this.#current = new Thread(log);
    return this.#current;
  }
}

export class Thread {
  readonly #worker: Worker;
  readonly #hearers = new Map<number, Hearer>();
  readonly #exited: Promise<unknown>;
  hasEnded = false;
  /** Messages that it has sent. */
  said = 0;

  constructor(log: Logger) {
    const worker = startOpcuaThread({ beside: import.meta.url, youngGenerationMb: YOUNG_GENERATION_MB, log });
    this.#worker = worker;
    worker.on('message', (message: FromThread) => {
      this.said += 1;
      this.#hearers.get(message.id)?.message(message);
    });
    let reason = new Error('it has ended');
    worker.on('error', (error) => {
      reason = new Error(messageOf(error));
    });
    const exited = Promise.withResolvers<void>();
    this.#exited = exited.promise;
    worker.once('exit', () => {
      this.hasEnded = true;
      for (const hearer of this.#hearers.values()) hearer.fallen(reason);
      exited.resolve();
    });
  }

  say(message: ToThread): void {
    this.#worker.postMessage(message, []);
  }

  /** @returns what ends the hearing */
  hear(id: number, hearer: Hearer): () => void {
    this.#hearers.set(id, hearer);
    return () => void this.#hearers.delete(id);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
    await this.#exited;
  }
}
