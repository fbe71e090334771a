/** What the benchmarks with JetStream share: a server of their own, publishers as one process, and how much is stored. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../src/up/postgres.ts';
import { natsServerProgram } from '../test/support/nats-server.ts';
import { cpuSeconds, peakBytes } from './ingest.support.ts';

export const PUBLISHERS = 10;

export interface BenchNats {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * A server with its usual sync interval, or with `SYNC=always` one that syncs each message before it acknowledges it, as
 * that of deploy/nats/ does.
 */
export async function startNats(folder: string): Promise<BenchNats> {
  const port = await freePort();
  const config = `${folder}.conf`;
  const sync = process.env['SYNC'] === 'always' ? 'sync_interval: always' : '';
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"\nmax_payload: 8MB\njetstream { store_dir: ${JSON.stringify(folder)}, ${sync} }\n`,
  );
  const server = spawn(await natsServerProgram(), ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Server is ready')) resolve();
    });
    server.once('exit', () => reject(new Error(`nats-server ended: ${said}`)));
  });
  return {
    url: `nats://127.0.0.1:${port}`,
    pid: server.pid ?? 0,
    stop: async () => {
      server.kill('SIGTERM');
      await once(server, 'exit');
    },
  };
}

export interface PublisherProcess {
  readonly pid: number;
  /** Publishes; resolves when all is acknowledged. */
  publish(): Promise<void>;
  /** CPU seconds so far. */
  cpu(): number;
  /** Peak of the resident memory, in bytes. */
  peakBytes(): number;
  stop(): Promise<void>;
}

/** Ten publishers in a process of their own, with all messages built. */
export async function startPublishers(
  url: string,
  { rows, readingsPerMessage }: { rows: number; readingsPerMessage: number },
): Promise<PublisherProcess> {
  const program = fileURLToPath(new URL('./nats-publishers.support.ts', import.meta.url));
  const child = spawn(process.execPath, [program, url, String(rows), String(readingsPerMessage)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const pid = child.pid ?? 0;
  await saidLine(child, 'ready');
  return {
    pid,
    publish: () => {
      const published = saidLine(child, 'published');
      child.stdin?.write('go\n');
      return published;
    },
    cpu: () => cpuSeconds(pid),
    peakBytes: () => peakBytes(pid),
    stop: async () => {
      child.stdin?.end();
      await once(child, 'close');
    },
  };
}

/** Readings that the hub has committed since its start. */
export async function storedBy(hubUrl: string): Promise<number> {
  const metrics = await (await fetch(`${hubUrl}/metrics`)).text();
  return Number(/^millwright_hub_readings_stored_total (\d+)/m.exec(metrics)?.[1]);
}

function saidLine(child: ChildProcess, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      all += chunk.toString();
      if (all.split('\n').includes(line)) resolve();
    });
    child.once('exit', () => reject(new Error(`the publishers ended: ${all}`)));
  });
}
