/** A TCP proxy whose connections can be cut, held, delayed and reset. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export type Effect =
  /** Nobody listens, and connections break. */
  | { readonly kind: 'cut' }
  /** Nothing passes; what was sent meanwhile passes afterwards. */
  | { readonly kind: 'hold' }
  /** Every chunk waits; `delayMs` is asked for each. */
  | { readonly kind: 'delay'; readonly delayMs: () => number };

/** What connections run over. */
export interface Line {
  /** Resolves to what ends the effect. Effects of several callers add up. */
  add(effect: Effect): Promise<() => Promise<void>>;
  /** Breaks all connections by RST. @returns how many there were */
  reset(): number;
}

/** Whatever happens to one of the lines happens to all of them. */
export function bundle(lines: readonly Line[]): Line {
  return {
    add: async (effect) => {
      const ends = await Promise.all(lines.map((line) => line.add(effect)));
      return async () => void (await Promise.all(ends.map((end) => end())));
    },
    reset: () => lines.reduce((count, line) => count + line.reset(), 0),
  };
}

const HOST = '127.0.0.1';
const HOLD_CHECK_MS = 20;

export class TcpProxy implements Line {
  readonly #port: number;
  readonly #targetPort: number;
  readonly #effects = new Set<Effect>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #changing: Promise<void> = Promise.resolve();

  constructor({ port, targetPort }: { port: number; targetPort: number }) {
    this.#port = port;
    this.#targetPort = targetPort;
  }

  start(): Promise<void> {
    return this.#update();
  }

  async stop(): Promise<void> {
    this.#effects.add({ kind: 'cut' });
    await this.#update();
  }

  async add(effect: Effect): Promise<() => Promise<void>> {
    this.#effects.add(effect);
    await this.#update();
    return async () => {
      this.#effects.delete(effect);
      await this.#update();
    };
  }

  reset(): number {
    const count = Math.ceil(this.#sockets.size / 2);
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return count;
  }

  /** One change after the other: a port is listened on again only when it was given up. */
  #update(): Promise<void> {
    this.#changing = this.#changing.then(async () => {
      const isCut = [...this.#effects].some(({ kind }) => kind === 'cut');
      if (isCut && this.#server !== undefined) {
        this.#server.close();
        this.#server = undefined;
        this.reset();
      } else if (!isCut && this.#server === undefined) {
        this.#server = createServer({ allowHalfOpen: true }, (client) => this.#serve(client));
        this.#server.listen(this.#port, HOST);
        await once(this.#server, 'listening');
      }
    });
    return this.#changing;
  }

  #serve(client: Socket): void {
    const target = connect({ port: this.#targetPort, host: HOST, allowHalfOpen: true });
    for (const socket of [client, target]) {
      this.#sockets.add(socket);
      socket.setNoDelay();
      // A broken connection breaks on both sides.
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    }
    void this.#carry(client, target);
    void this.#carry(target, client);
  }

  async #carry(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        await this.#pass();
        if (!to.write(chunk) && !to.destroyed) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
      await this.#pass();
      to.end();
    } catch {
      await this.#pass();
      to.resetAndDestroy();
    }
  }

  async #pass(): Promise<void> {
    const delayMs = Math.max(
      0,
      ...[...this.#effects].map((effect) => (effect.kind === 'delay' ? effect.delayMs() : 0)),
    );
    if (delayMs > 0) await sleep(delayMs);
    while ([...this.#effects].some(({ kind }) => kind === 'hold')) await sleep(HOLD_CHECK_MS);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
