/** Modbus servers by other hands (pymodbus), and pairs of serial lines (socat), for tests. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
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
  return { port: own, stop: await python({ kind, port: own, units }) };
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
  const stop = await python({ kind: 'serial', path: theirs, baud_rate: baudRate, units });
  return {
    path: ours,
    cut: () => void socat.kill('SIGKILL'),
    stop: async () => {
      await Promise.all([stop(), killed(socat)]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What forks the servers, one for each process of tests; see modbus-server.py. */
interface Forker {
  readonly child: ChildProcess;
  /** What was said last of each server, by its number. */
  readonly said: Map<number, string>;
  /** What went wrong, at its end. */
  errors: string;
}

let forker: Promise<Forker> | undefined;
let servers = 0;

/** @returns what kills it */
async function python(settings: object): Promise<() => Promise<void>> {
  forker ??= startForker();
  const common = await forker;
  const id = (servers += 1);
  const order = (what: object): void => void common.child.stdin?.write(`${JSON.stringify(what)}\n`);
  const told = (): string | undefined => (common.child.exitCode === null ? common.said.get(id) : 'is gone');
  order({ id, ...settings });
  const first = await waitUntil('pymodbus to serve', told);
  if (first !== 'serves') throw new Error(`pymodbus ${first}\n${common.errors}`);
  return async () => {
    order({ kill: id });
    await waitUntil('pymodbus to end', () => told() !== 'serves' || undefined);
  };
}

async function startForker(): Promise<Forker> {
  const child = await start('python3', [SERVER]);
  const common = { child, said: new Map<number, string>(), errors: '' };
  createInterface(child.stdout).on('line', (line) => {
    const [id = '', ...words] = line.split(' ');
    common.said.set(Number(id), words.join(' '));
  });
  child.stderr.on('data', (chunk: Buffer) => {
    common.errors = (common.errors + chunk.toString()).slice(-10_000);
  });
  return common;
}

async function start(program: string, args: readonly string[]): Promise<ChildProcessWithoutNullStreams> {
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
