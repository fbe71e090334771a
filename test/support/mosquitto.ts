/** A real MQTT broker (Debian's mosquitto) for tests; each keeps its sessions in a temporary folder, which goes with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { connectMqtt, type BrokerSettings, type LinkOptions, type MqttLink } from '../../src/base/mqtt.ts';
import { endsWithUs, provided } from './processes.ts';
import { freePort, waitUntil } from './system.ts';

const HOST = '127.0.0.1';

/** One broker process after another, on the same port and with the same sessions. */
export class Mosquitto {
  readonly port: number;
  readonly url: string;
  readonly #folder: string;
  readonly #program: string;
  #process: ChildProcess | undefined;
  #said = '';

  /** Only assigns; `restart` starts it. */
  constructor(parts: { readonly port: number; readonly folder: string; readonly program: string }) {
    this.port = parts.port;
    this.url = `mqtt://${HOST}:${parts.port}`;
    this.#folder = parts.folder;
    this.#program = parts.program;
  }

  /** Everything that the brokers have logged so far. */
  get said(): string {
    return this.#said;
  }

  async restart(): Promise<void> {
    const [command = '', ...args] = endsWithUs([this.#program, '-v', '-c', path.join(this.#folder, 'mosquitto.conf')]);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    child.unref();
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#said = (this.#said + chunk.toString()).slice(-200_000);
      });
      if (stream instanceof Socket) stream.unref();
    }
    await waitUntil('mosquitto to listen', async () => {
      if (child.exitCode !== null) throw new Error(this.#said);
      return (await canConnect(this.port)) || undefined;
    });
  }

  /** SIGTERM: it saves its sessions. SIGKILL: what it has not saved is gone. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    child.ref();
    child.kill(signal);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    this.#process = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** As the configuration of a driver or a sink leaves it. */
  settings(own: Partial<BrokerSettings> = {}): BrokerSettings {
    return {
      url: this.url,
      clientId: null,
      user: null,
      password: null,
      protocolVersion: 5,
      keepAliveMs: 15_000,
      timeoutMs: 10_000,
      tls: { caFile: null, certFile: null, keyFile: null },
      ...own,
    };
  }

  client(own: Partial<BrokerSettings> = {}, rest: Partial<LinkOptions> = {}): Promise<MqttLink> {
    const { signal } = new AbortController();
    return connectMqtt({ broker: this.settings(own), clock: systemClock, random: Math.random, signal, ...rest });
  }
}

export async function startMosquitto(lines: readonly string[] = []): Promise<Mosquitto> {
  const program = await provided({ variable: 'MILLWRIGHT_MOSQUITTO', script: 'mosquitto.mjs' });
  const port = await freePort();
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-mosquitto-'));
  const own = ['max_queued_messages 0', 'persistence true', 'autosave_interval 1', `persistence_location ${folder}/`];
  // As root it would become a user who may not write there.
  const config = [
    `listener ${port} ${HOST}`,
    'user root',
    ...own,
    ...(lines.length > 0 ? lines : ['allow_anonymous true']),
  ];
  await writeFile(path.join(folder, 'mosquitto.conf'), `${config.join('\n')}\n`);
  const broker = new Mosquitto({ port, folder, program });
  await broker.restart();
  return broker;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: HOST });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
