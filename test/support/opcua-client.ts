/** An OPC UA client for tests and benchmarks, in a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

export interface ConnectOptions {
  readonly url: string;
  /** Folder of the client's own certificate; made there when it is missing. */
  readonly pki: string;
  /** Absent: without security. */
  readonly policy?: 'Aes256_Sha256_RsaPss' | 'Aes128_Sha256_RsaOaep' | 'Basic256Sha256';
  /** Absent: anonymous. */
  readonly user?: string;
  readonly password?: string;
}

export interface Request {
  readonly number: number;
  readonly call: 'connect' | 'browse' | 'read' | 'write' | 'subscribe' | 'close';
  readonly args: Readonly<Record<string, unknown>>;
}

export interface Shown {
  readonly node: string;
  readonly value: unknown;
  readonly status: string;
  /** Milliseconds since 1970, with decimals. */
  readonly sourceMs: number | null;
  readonly serverMs: number | null;
}

export interface Notification extends Shown {
  readonly receivedMs: number;
}

/** Of the last second. */
export interface Counts {
  readonly received: number;
  readonly latenciesMs: readonly number[];
}

type Answer =
  | { readonly number: number; readonly result: unknown }
  | { readonly number: number; readonly error: string }
  | { readonly notification: Notification }
  | { readonly counts: Counts };

export class OpcuaClient {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (answer: { result: unknown } | { error: string }) => void>();
  readonly notifications: Notification[] = [];
  readonly counts: Counts[] = [];
  #calls = 0;

  constructor() {
    this.#process = fork(new URL('./opcua-client-process.ts', import.meta.url), { stdio: 'ignore', execArgv: [] });
    this.#process.on('message', (answer: Answer) => {
      if ('notification' in answer) this.notifications.push(answer.notification);
      else if ('counts' in answer) this.counts.push(answer.counts);
      else {
        this.#waiting.get(answer.number)?.(answer);
        this.#waiting.delete(answer.number);
      }
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  connect(options: ConnectOptions): Promise<unknown> {
    return this.#call('connect', { ...options });
  }

  browse(node: string): Promise<{ name: string; node: string; type: string }[]> {
    return this.#call('browse', { node }) as Promise<{ name: string; node: string; type: string }[]>;
  }

  read(node: string): Promise<Shown> {
    return this.#call('read', { node }) as Promise<Shown>;
  }

  /** @returns the name of the status code */
  write(node: string, value: number): Promise<string> {
    return this.#call('write', { node, value }) as Promise<string>;
  }

  /** What comes is in `notifications`; with `quiet`, it is only counted in `counts`. */
  subscribe(nodes: readonly string[], options: { intervalMs: number; quiet?: boolean }): Promise<unknown> {
    return this.#call('subscribe', { nodes, ...options });
  }

  /** The newest that came of the node. */
  newest(node: string): Notification | undefined {
    return this.notifications.findLast((one) => one.node === node);
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }

  async #call(call: Request['call'], args: Request['args']): Promise<unknown> {
    this.#calls += 1;
    const number = this.#calls;
    const answered = new Promise<{ result: unknown } | { error: string }>((resolve) => {
      this.#waiting.set(number, resolve);
    });
    this.#process.send({ number, call, args } satisfies Request);
    const answer = await answered;
    if ('error' in answer) throw new Error(answer.error);
    return answer.result;
  }
}
