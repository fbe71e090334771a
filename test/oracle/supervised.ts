/** A process that is started again when it ends by itself, as a service manager would; and that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Order, OrderDone, OrderKind } from './edge-orders.ts';

const RESTART_MS = 500;
const ORDER_MS_MAX = 15_000;

export interface SupervisedOptions {
  readonly name: string;
  /** Of Node, for each start anew. */
  readonly args: () => readonly string[];
  /** Takes what it says. */
  readonly logFile: string;
  /** It takes orders. */
  readonly orders?: boolean;
}

export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #endings = new Map<string, number>();
  #child: ChildProcess | undefined;
  #wanted = false;
  #orders = 0;

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  /** How often it ended without having been told to, by exit code or signal. */
  get endings(): ReadonlyMap<string, number> {
    return this.#endings;
  }

  get endingsTotal(): number {
    return [...this.#endings.values()].reduce((sum, count) => sum + count, 0);
  }

  /** 0 before the first start. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  start(): void {
    const { args, logFile, orders } = this.#options;
    this.#wanted = true;
    const log = openSync(logFile, 'a');
    const child = spawn(process.execPath, args(), { stdio: ['ignore', log, log, orders === true ? 'ipc' : 'ignore'] });
    closeSync(log);
    this.#child = child;
    child.once('exit', (code, signal) => {
      if (!this.#wanted || this.#child !== child) return;
      const how = `${this.#options.name} ended with ${signal ?? `code ${code}`}`;
      this.#endings.set(how, (this.#endings.get(how) ?? 0) + 1);
      setTimeout(() => {
        if (this.#wanted && this.#child === child) this.start();
      }, RESTART_MS);
    });
  }

  /** Sends the signal, and resolves to the exit code when it has ended. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    this.#wanted = false;
    const child = this.#child;
    if (child === undefined) return null;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  }

  /** For the last moment of this process. */
  killNow(): void {
    this.#wanted = false;
    this.#child?.kill('SIGKILL');
  }

  /** Resolves to how many calls have failed. Rejects when the process ends first. */
  order(order: OrderKind): Promise<number> {
    const child = this.#child;
    this.#orders += 1;
    const sent: Order = { id: this.#orders, ...order };
    return new Promise((resolve, reject) => {
      const { name } = this.#options;
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        child?.off('message', heard).off('exit', ended);
        act();
      };
      const heard = (done: OrderDone): void => {
        if (done.id === sent.id) settle(() => resolve(done.failed));
      };
      const ended = (): void => settle(() => reject(new Error(`${name} ended under an order`)));
      const timer = setTimeout(() => settle(() => reject(new Error(`${name} does not answer`))), ORDER_MS_MAX);
      child?.on('message', heard).on('exit', ended);
      child?.send(sent, (error) => error !== null && ended());
    });
  }
}
