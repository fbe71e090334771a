/**
 * `npm run bench -- opcua [SECONDS]`: 1,000 values that change ten times a second, through a real edge to a client that has
 * subscribed to all of them, in a process of its own, signed and encrypted; and what the edge takes without the sink, with
 * it, and with the client.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { stringify } from 'yaml';
import { now, systemClock } from '../src/base/clock.ts';
import { OpcuaClient } from '../test/support/opcua-client.ts';
import { freePort, makeFolder, waitUntil } from '../test/support/system.ts';

const MACHINES = 10;
const TAGS_EACH = 100;
const TICK_MS = 100;
const LATENCY_P99_MS_MAX = 500;
const CPU_TICKS_PER_SECOND = 100;
const seconds = Number(process.argv[2] ?? 30);

const tags = Array.from({ length: TAGS_EACH }, (_, index) => `t${String(index).padStart(3, '0')}`);
const nodes = Array.from({ length: MACHINES }, (_, index) => tags.map((tag) => `ns=2;s=CNC-${index}/${tag}`)).flat();

/** One adapter to which all machines are connected, and which says other values at each tick. */
class Source {
  readonly #server = net.createServer((socket) => {
    socket.on('error', () => {});
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket)).resume();
  });
  readonly #sockets = new Set<net.Socket>();
  #number = 0;

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as net.AddressInfo).port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  tick(): void {
    this.#number += 1;
    const values = tags.map((tag, index) => `${tag}|${this.#number + index / 1000}`);
    const line = `${now(systemClock)}|avail|AVAILABLE|${values.join('|')}\n`;
    for (const socket of this.#sockets) socket.write(line);
  }

  /** @returns how many values were said */
  async run(ticks: number): Promise<number> {
    const startedMs = performance.now();
    for (let tick = 0; tick < ticks; tick += 1) {
      await systemClock.sleep(Math.max(1, startedMs + tick * TICK_MS - performance.now()));
      this.tick();
    }
    return ticks * TAGS_EACH * this.connections;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

const source = new Source();
const sourcePort = await source.listen();
const folder = await makeFolder();
const opcuaPort = await freePort();
await bench('without the sink', { hasSink: false, hasClient: false });
await bench('with the sink, nobody looks', { hasSink: true, hasClient: false });
await bench('with the sink and a client', { hasSink: true, hasClient: true });
source.close();
await rm(folder, { recursive: true });

async function bench(name: string, { hasSink, hasClient }: { hasSink: boolean; hasClient: boolean }): Promise<void> {
  const log = path.join(folder, name.replaceAll(/\W+/g, '-'));
  await mkdir(log);
  const edge = await startEdge(log, hasSink);
  const pid = edge.pid ?? 0;
  await waitUntil('the machines to be read', () => source.connections === MACHINES || undefined);
  await source.run(20);
  const client = hasClient ? await startClient(log) : undefined;
  await source.run(20);
  await drained(client);
  client?.counts.splice(0);
  const [cpuBefore, startedMs] = [cpuSeconds(pid), performance.now()];
  const sent = await source.run((seconds * 1000) / TICK_MS);
  const cpuPercent = ((cpuSeconds(pid) - cpuBefore) / (performance.now() - startedMs)) * 1e5;
  const [rssMb, peakMb] = ['VmRSS', 'VmHWM'].map((key) => statusKb(pid, key) / 1024);
  print(
    `${name}: CPU ${cpuPercent.toFixed(1)} % of a core, ${rssMb?.toFixed(0)} MB resident, peak ${peakMb?.toFixed(0)} MB`,
  );
  if (client !== undefined) {
    await drained(client);
    report(client, sent);
    await client.end();
  }
  const stoppingMs = performance.now();
  edge.kill('SIGTERM');
  const [code] = (await once(edge, 'exit')) as [number | null];
  await waitUntil('its connections to end', () => source.connections === 0 || undefined);
  print(`  stopped in ${(performance.now() - stoppingMs).toFixed(0)} ms, exit code ${code}`);
}

function report({ counts }: OpcuaClient, sent: number): void {
  const received = counts.reduce((sum, one) => sum + one.received, 0);
  const latenciesMs = counts.flatMap((one) => one.latenciesMs).toSorted((a, b) => a - b);
  const at = (part: number): number => latenciesMs[Math.floor(part * (latenciesMs.length - 1))] ?? Number.NaN;
  const isMet = received === sent && at(0.99) < LATENCY_P99_MS_MAX;
  print(`  ${received} notifications of ${sent} values (all: ${received === sent ? 'met' : 'MISSED'})`);
  print(
    `  from the machine to the client p50 ${at(0.5).toFixed(0)} ms, p99 ${at(0.99).toFixed(0)} ms, ` +
      `at most ${at(1).toFixed(0)} ms (p99 below ${LATENCY_P99_MS_MAX} ms: ${at(0.99) < LATENCY_P99_MS_MAX ? 'met' : 'MISSED'})`,
  );
  if (!isMet) process.exitCode = 1;
}

async function startEdge(log: string, hasSink: boolean): Promise<ChildProcess> {
  const map = Object.fromEntries(tags.map((tag) => [tag, { extra: tag, type: 'number' }]));
  const config = {
    agent: { machine_id: 'bench', log_level: 'warn' },
    sensors: Array.from({ length: MACHINES }, (_, index) => {
      const place = { host: '127.0.0.1', port: sourcePort };
      return {
        name: `tool-${index}`,
        type: 'shdr',
        machine_id: `CNC-${index}`,
        ...place,
        state: { availability: 'avail' },
        map,
      };
    }),
    sinks: hasSink
      ? [
          {
            type: 'opcua_server',
            host: '127.0.0.1',
            port: opcuaPort,
            hostnames: ['127.0.0.1'],
            users: [{ name: 'bench', password: 'bench' }],
          },
        ]
      : [],
    buffering: { folder: log },
    status: { port: await freePort() },
  };
  const file = path.join(folder, 'edge.yaml');
  await writeFile(file, stringify(config));
  const cli = new URL('../dist/cli.js', import.meta.url).pathname;
  return spawn(process.execPath, [cli, 'edge', '--config', file], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Subscribed to all values; its certificate is trusted at the second try. */
async function startClient(log: string): Promise<OpcuaClient> {
  const client = new OpcuaClient();
  const pki = path.join(log, 'sinks', 'opcua_server', 'pki');
  const connection = {
    url: `opc.tcp://127.0.0.1:${opcuaPort}`,
    pki: path.join(folder, 'client'),
    user: 'bench',
    password: 'bench',
  };
  await waitUntil(
    'the client to be let in',
    async () => {
      for (const file of await readdir(path.join(pki, 'rejected')).catch(() => [])) {
        await rename(path.join(pki, 'rejected', file), path.join(pki, 'trusted', 'certs', file));
      }
      await client.connect({ ...connection, policy: 'Basic256Sha256' });
      return true;
    },
    { pollMs: 500 },
  );
  await client.subscribe(nodes, { intervalMs: 100, quiet: true });
  return client;
}

/** The client has counted two seconds in which nothing came. */
async function drained(client: OpcuaClient | undefined): Promise<void> {
  if (client === undefined) return;
  const before = client.counts.length;
  await waitUntil('nothing more to come', () => {
    const last = client.counts.slice(before).slice(-2);
    return (last.length === 2 && last.every(({ received }) => received === 0)) || undefined;
  });
}

/** User and system time of all threads (proc(5), fields 14 and 15 of `stat`). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CPU_TICKS_PER_SECOND;
}

function statusKb(pid: number, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
