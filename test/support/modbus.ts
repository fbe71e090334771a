/** Modbus servers by other hands (pymodbus), and pairs of serial lines (socat), for tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { endsWithUs, provided } from './processes.ts';
import { freePort, waitUntil } from './system.ts';

const SERVER = fileURLToPath(new URL('./modbus-server.py', import.meta.url));

/** What the server has at an address; see modbus-server.py. */
export interface ServedRegister {
  readonly function: number;
  readonly address: number;
  readonly type: string;
  readonly order?: string;
  /** As text where a number of ours would not hold it. */
  readonly value: number | boolean | string;
}

export type ServedUnits = { readonly [unit: string]: readonly ServedRegister[] };

export interface ModbusServer {
  readonly port: number;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly units: ServedUnits;
  readonly kind?: 'tcp' | 'rtu-tcp';
  /** Default: a free one. */
  readonly port?: number;
}

export async function startModbusServer({ units, kind = 'tcp', port }: ServerOptions): Promise<ModbusServer> {
  const own = port ?? (await freePort());
  const child = await python({ kind, port: own, units });
  return { port: own, stop: () => killed(child) };
}

export interface SerialServer {
  /** Our end of the line. */
  readonly path: string;
  /** What stands on the line, as if the plug were pulled. */
  cut(): void;
  stop(): Promise<void>;
}

/** A server at the other end of a serial line. */
export async function startSerialServer(units: ServedUnits, baudRate = 115_200): Promise<SerialServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-serial-'));
  const [ours, theirs] = [path.join(folder, 'ours'), path.join(folder, 'theirs')];
  const socat = await start('socat', [`pty,raw,echo=0,link=${ours}`, `pty,raw,echo=0,link=${theirs}`]);
  await waitUntil('socat to make a pair of lines', () => (existsSync(ours) && existsSync(theirs) ? true : undefined));
  const server = await python({ kind: 'serial', path: theirs, baud_rate: baudRate, units });
  return {
    path: ours,
    cut: () => void socat.kill('SIGKILL'),
    stop: async () => {
      await Promise.all([killed(server), killed(socat)]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function python(settings: object): Promise<ChildProcess> {
  const child = await start('python3', [SERVER]);
  child.stdin?.end(JSON.stringify(settings));
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-10_000);
  });
  let isReady = false;
  child.stdout?.on('data', (chunk: Buffer) => {
    isReady ||= chunk.toString().includes('ready');
  });
  await waitUntil('pymodbus to serve', () => {
    if (child.exitCode !== null) throw new Error(said);
    return isReady || undefined;
  });
  return child;
}

async function start(program: string, args: readonly string[]): Promise<ChildProcess> {
  const folder = await provided({ variable: 'MILLWRIGHT_PYMODBUS', script: 'pymodbus.mjs' });
  const [command = '', ...rest] = endsWithUs([path.join(folder, 'bin', program), ...args]);
  const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
  // It does not keep a failed test from ending.
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) if (stream instanceof Socket) stream.unref();
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  child.ref();
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}
