/** OPC UA servers with a machine each, for tests, in a process of their own. */
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
  /** Of the server. */
  readonly port: number;
  readonly call: 'start' | 'sessions' | 'subscriptions' | 'set' | 'remove' | 'closeSessions' | 'shutDown';
  readonly args: object;
}

type Answer = { readonly result: unknown } | { readonly error: string };

/** In which servers run. It starts with the first of them: what they all need is loaded then. */
export class OpcuaServerProcess {
  #child: ChildProcess | undefined;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #calls = 0;

  async call(port: number, call: Call['call'], args: object = {}): Promise<unknown> {
    this.#child ??= this.#start();
    this.#calls += 1;
    const number = this.#calls;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(number, resolve));
    this.#child.send({ number, port, call, args } satisfies Call);
    const answer = await answered;
    if ('error' in answer) throw new Error(answer.error);
    return answer.result;
  }

  /** As if its plug were pulled. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  }

  #start(): ChildProcess {
    const child = fork(new URL('./opcua-server-process.ts', import.meta.url), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
    });
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-10_000);
    });
    child.on('message', (answer: Answer & { readonly number: number }) => {
      this.#waiting.get(answer.number)?.(answer);
      this.#waiting.delete(answer.number);
    });
    child.once('close', () => {
      this.#child = undefined;
      for (const tell of this.#waiting.values()) tell({ error: `the process has ended: ${said}` });
      this.#waiting.clear();
    });
    return child;
  }
}

export class OpcuaTestServer {
  readonly url: string;
  readonly #options: ServerOptions;
  readonly #process: OpcuaServerProcess;

  /** @param process with other servers; default: one of its own, that can be killed */
  constructor(options: ServerOptions, process: OpcuaServerProcess = new OpcuaServerProcess()) {
    this.#options = options;
    this.#process = process;
    this.url = `opc.tcp://127.0.0.1:${options.port}`;
  }

  async start(changed: Partial<Omit<ServerOptions, 'port'>> = {}): Promise<void> {
    await this.#call('start', { ...this.#options, ...changed });
  }

  /** As if its plug were pulled, and that of all others in its process. */
  async kill(): Promise<void> {
    await this.#process.kill();
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

  #call(call: Call['call'], args: object = {}): Promise<unknown> {
    return this.#process.call(this.#options.port, call, args);
  }
}
