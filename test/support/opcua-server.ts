/** An OPC UA server with a machine, for tests, in a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

export interface ServerOptions {
  readonly port: number;
  /** Folder of its certificates; made there when they are missing. */
  readonly pki: string;
  /** Default: None. */
  readonly policies?: readonly ('None' | 'Basic256Sha256' | 'Aes128_Sha256_RsaOaep' | 'Aes256_Sha256_RsaPss')[];
  /** Default: true. */
  readonly anonymous?: boolean;
  /** Every client's certificate. Default: true. */
  readonly trustsAll?: boolean;
  /** Default: 10. */
  readonly maxSessions?: number;
  /** Default: 10. */
  readonly maxConnections?: number;
}

export interface SetValue {
  /** Browse name of the variable. */
  readonly name: string;
  readonly value: unknown;
  /** Of the library; default: that of the value before. */
  readonly type?: number;
  readonly status?: string;
  readonly sourceMs?: number;
}

export interface Call {
  readonly number: number;
  readonly call: 'sessions' | 'subscriptions' | 'set' | 'remove' | 'closeSessions' | 'shutDown';
  readonly args: object;
}

export class OpcuaTestServer {
  readonly url: string;
  readonly #options: ServerOptions;
  #process: ChildProcess | undefined;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: string }) => void>();
  #calls = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.url = `opc.tcp://127.0.0.1:${options.port}`;
  }

  async start(changed: Partial<ServerOptions> = {}): Promise<void> {
    const child = fork(
      new URL('./opcua-server-process.ts', import.meta.url),
      [JSON.stringify({ ...this.#options, ...changed })],
      { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] },
    );
    this.#process = child;
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-10_000);
    });
    const ready = new Promise((resolve) => this.#waiting.set(0, resolve));
    child.on('message', (answer: { number: number; result?: unknown; error?: string }) => {
      this.#waiting.get(answer.number)?.(answer);
      this.#waiting.delete(answer.number);
    });
    const fallen = once(child, 'exit').then(() => {
      throw new Error(said);
    });
    fallen.catch(() => {});
    await Promise.race([ready, fallen]);
  }

  /** As if its plug were pulled. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  sessions(): Promise<number> {
    return this.#call('sessions') as Promise<number>;
  }

  subscriptions(): Promise<number> {
    return this.#call('subscriptions') as Promise<number>;
  }

  set(value: SetValue): Promise<unknown> {
    return this.#call('set', value);
  }

  remove(name: string): Promise<unknown> {
    return this.#call('remove', { name });
  }

  closeSessions(): Promise<unknown> {
    return this.#call('closeSessions');
  }

  /** Ends as a server does that is told to. */
  shutDown(): Promise<unknown> {
    return this.#call('shutDown');
  }

  async #call(call: Call['call'], args: object = {}): Promise<unknown> {
    this.#calls += 1;
    const number = this.#calls;
    const answered = new Promise<{ result?: unknown; error?: string }>((resolve) => {
      this.#waiting.set(number, resolve);
    });
    this.#process?.send({ number, call, args } satisfies Call);
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(error);
    return result;
  }
}
