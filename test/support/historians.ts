/** Real historians for tests: VictoriaMetrics, and InfluxDB 1.6 behind the write address of version 2. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { endsWithUs, provided } from './processes.ts';
import { freePort, waitUntil } from './system.ts';

export interface Historian {
  /** Where it takes lines. */
  readonly url: string;
  /** Where it is asked. */
  readonly queryUrl: string;
  stop(): Promise<void>;
}

export async function startVictoriaMetrics(port?: number): Promise<Historian> {
  const [own, folder] = [port ?? (await freePort()), await mkdtemp(path.join(tmpdir(), 'millwright-vm-'))];
  const url = `http://127.0.0.1:${own}`;
  const args = [`-storageDataPath=${folder}`, `-httpListenAddr=127.0.0.1:${own}`, '-retentionPeriod=100y'];
  const stop = await start('victoria-metrics', args, folder, `${url}/health`);
  return { url, queryUrl: url, stop };
}

/** @param database is made */
export async function startInfluxdb(database: string): Promise<Historian> {
  const [port, rpcPort] = [await freePort(), await freePort()];
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-influxdb-'));
  const queryUrl = `http://127.0.0.1:${port}`;
  const config = [
    'reporting-disabled = true',
    `bind-address = "127.0.0.1:${rpcPort}"`,
    `[meta]\ndir = "${folder}/meta"`,
    `[data]\ndir = "${folder}/data"\nwal-dir = "${folder}/wal"`,
    `[http]\nbind-address = "127.0.0.1:${port}"\nlog-enabled = false`,
  ];
  await writeFile(path.join(folder, 'influxdb.conf'), config.join('\n'));
  const args = ['-config', path.join(folder, 'influxdb.conf')];
  const stop = await start('influxd', args, folder, `${queryUrl}/ping`);
  await fetch(`${queryUrl}/query?q=${encodeURIComponent(`create database ${database}`)}`, { method: 'POST' });
  const front = await writeAddressOfVersion2(queryUrl);
  return {
    queryUrl,
    url: front.url,
    stop: async () => {
      front.close();
      await stop();
    },
  };
}

async function start(program: string, args: string[], folder: string, health: string): Promise<() => Promise<void>> {
  const programs = await provided({ variable: 'MILLWRIGHT_HISTORIANS', script: 'historians.mjs' });
  const [command = '', ...rest] = endsWithUs([path.join(programs, program), ...args]);
  const child: ChildProcess = spawn(command, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await waitUntil(`${program} to serve`, async () => {
    if (child.exitCode !== null) throw new Error(said);
    return (await fetch(health)).ok ? true : undefined;
  });
  return async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await rm(folder, { recursive: true, force: true });
  };
}

/** Hands `/api/v2/write?org=&bucket=` on as `/write?db=`, bodies and answers as they are. */
async function writeAddressOfVersion2(target: string): Promise<{ url: string; close: () => void }> {
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', target);
    if (pathname !== '/api/v2/write') {
      response.writeHead(404).end();
      return;
    }
    const query = new URLSearchParams({ db: searchParams.get('bucket') ?? '', precision: 'ns' });
    const { method, headers } = request;
    const onward = http.request(`${target}/write?${query.toString()}`, { method: method ?? 'POST', headers });
    onward.on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 0, answer.headers)));
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
