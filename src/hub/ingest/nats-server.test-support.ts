import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort, waitUntil } from '../../../test/support/system.ts';

export class NatsServer {
  url = '';
  readonly #args: readonly string[];
  readonly #folder: string;
  readonly #monitor: string;
  #process: ChildProcess | undefined;
  constructor(args: readonly string[], folder: string, url: string, monitor: string) {
    this.#args = args;
    this.#folder = folder;
    this.url = url;
    this.#monitor = monitor;
  }
  async restart(): Promise<void> {
    await this.kill('SIGTERM');
    this.#process = spawn('nats-server', this.#args, { stdio: 'ignore' });
    await waitUntil('nats', async () => ((await fetch(`${this.#monitor}/healthz`)).ok ? true : undefined));
  }
  async kill(signal: NodeJS.Signals): Promise<void> {
    const ending = this.#process;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = once(ending, 'exit');
    ending.kill(signal);
    await ended;
  }
  async stop(): Promise<void> {
    await this.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export async function startNats({ config }: { config: { text: string } }, js = true): Promise<NatsServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-nats-'));
  const [port, monitor] = await Promise.all([freePort(), freePort()]);
  const file = path.join(folder, 'server.conf');
  await writeFile(file, config.text);
  const args = ['-a', '127.0.0.1', '-p', String(port), '-m', String(monitor), '-c', file];
  if (js) args.push('-js', '-sd', path.join(folder, 'store'));
  const server = new NatsServer(args, folder, `nats://127.0.0.1:${port}`, `http://127.0.0.1:${monitor}`);
  await server.restart();
  return server;
}
