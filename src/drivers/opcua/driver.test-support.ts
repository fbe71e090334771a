/** For tests of the driver: folders, a server, and a driver that reads it as the runner would have it do. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, type TestContext } from 'node:test';
import { OpcuaServerProcess, OpcuaTestServer, type ServerOptions } from '../../../test/support/opcua-server.ts';
import { freePort, waitUntil } from '../../../test/support/system.ts';
import { rejectedCertificates, trust } from '../../base/opcua-trust.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

export const SPEED = 'Objects/Machines/CNC-001/Spindle/Speed';
export const TEMPERATURE = 'nsu=urn:test:machine;s=CNC-001/Temperature';
export const STATE = 'Objects/Machines/CNC-001/State';

export const NODES: readonly object[] = [
  { node: SPEED, signal: 'spindle_speed' },
  { node: TEMPERATURE, signal: 'temperature' },
  { node: STATE, signal: 'machine_state', states: { '0': 'idle', '1': 'running', '2': 'alarm' } },
];

/** Of all servers of a file of tests but those that are killed. */
const shared = new OpcuaServerProcess();
after(() => shared.kill());

export async function folderFor(context: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-opcua-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function startServer(
  context: TestContext,
  { process = shared, ...options }: Partial<ServerOptions> & { process?: OpcuaServerProcess } = {},
): Promise<{ server: OpcuaTestServer; port: number; folder: string }> {
  const folder = await folderFor(context);
  const port = options.port ?? (await freePort());
  const server = new OpcuaTestServer({ pki: path.join(folder, 'server'), ...options, port }, process);
  context.after(() => (process === shared ? server.shutDown() : server.kill()));
  await server.start();
  return { server, port, folder };
}

/** What a person does who trusts every server that was met. */
export async function trustAll(pki: string): Promise<void> {
  for (const one of await rejectedCertificates(pki)) await trust(pki, one);
}

export interface Reader {
  readonly running: Running;
  readonly gateway: Gateway;
}

/**
 * Holds the thread from the first test that reads until the last: node-opcua is loaded once, as where one of many sensors
 * is stopped and started. This one cannot run, since its folder is none.
 */
let holder: Running | undefined;
function holdThread(): void {
  const keys = { url: 'opc.tcp://127.0.0.1:1', anonymous: true, pki_folder: '/dev/null', nodes: NODES };
  holder ??= new Running(create(schema.parse(keys)));
}
after(() => holder?.stop());

/** Reads the machine until the test ends. `again`: as the runner does, after each failure. */
export function read(
  context: TestContext,
  keys: { readonly url: string; readonly pki: string; readonly again?: boolean; readonly [key: string]: unknown },
): Reader {
  const { pki, again = true, ...own } = keys;
  const login = 'user' in own || 'user_certificate' in own ? {} : { anonymous: true };
  const options = schema.parse({ pki_folder: pki, nodes: NODES, ...login, ...own });
  holdThread();
  const gateway = new Gateway();
  const running = new Running(create(options), { gateway, again, againMs: 500 });
  context.after(() => running.stop());
  return { running, gateway };
}

/** The newest value of a field, in the order in which samples came. */
export function newest({ gateway }: Reader, field: string): unknown {
  return gateway.samples.findLast((sample) => field in sample)?.[field];
}

/** @returns milliseconds that it took */
export async function comes(reader: Reader, field: string, value: unknown): Promise<number> {
  const began = performance.now();
  await waitUntil(`${field} to be ${String(value)}; last error: ${reader.running.lastError}`, () => {
    return newest(reader, field) === value ? true : undefined;
  });
  return performance.now() - began;
}
