/** The commands as a person gives them: a recorded day as an agent, a look into it, and an edge that reads it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemClock } from '../../src/base/clock.ts';
import type { Reading } from '../../src/model/reading.ts';
import { readFromOf } from '../../src/model/read-from.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { MtconnectAgent } from '../../src/sim/mtconnect-agent.ts';
import { recordedAgent } from '../../src/sim/recorded-agent.ts';
import { until } from '../support/until.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const RECORDING = fileURLToPath(new URL('../data/mtconnect/okuma-multus-u3000.shdr', import.meta.url));

const KILLS = 5;
const AGENT = {
  bufferSize: 131_072,
  instanceId: 1,
  version: '2.0',
  multipart: 'mixed',
  isBoundaryQuoted: false,
  clock: systemClock,
} as const;

test('simulate, probe, and an edge with what probe has written', async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'millwright-mtconnect-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const simulate = ['simulate', 'mtconnect', '--file', RECORDING, '--device', 'OKUMA', '--port', '0', '--speed', 'max'];
  const agent = run(context, simulate);
  await until(() => agent.output.includes('the recording has ended'));
  const url = /"url":"([^"]+)"/.exec(agent.output)?.[1] ?? '';
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'probe', 'mtconnect', url]);
  assert.match(stdout, /^ {2}pexecution +pexecution .* EXECUTION +\w+$/m);
  const sensors = stdout.slice(stdout.indexOf('sensors:'));
  const config = path.join(folder, 'edge.yaml');
  const rest = `agent: { machine_id: GW-1 }\nbuffering: { folder: ${folder}/log }\nstatus: { port: 0 }\n`;
  writeFileSync(config, rest + sensors);
  const edge = run(context, ['edge', '--config', config]);
  const page = await statusPage(edge);
  await until(async () => {
    const [source] = (await statusOf(page)).sources;
    return source?.state === 'ok' && source.readings > 0;
  });
  edge.process.kill();
  await until(() => edge.process.exitCode !== null);
  assert.equal(edge.process.exitCode, 0, edge.output);
  const readings = await exportedFrom(`${folder}/log`);
  assert.ok(readings.some((reading) => 'spindle_speed' in reading && typeof reading.spindle_speed === 'number'));
  assert.ok(
    readings.some(
      (reading) => reading.machine_id === 'OKUMA' && reading.kind === 'event' && reading.event_type === 'state',
    ),
  );
});

test('an edge that is killed while it reads has each observation once', async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'millwright-mtconnect-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const { device, sayings } = recordedAgent(readFileSync(RECORDING, 'utf8'), 'OKUMA');
  const agent = new MtconnectAgent({ ...AGENT, devices: [device] });
  context.after(() => agent.close());
  const url = `http://127.0.0.1:${await agent.listen('127.0.0.1', 0)}`;
  const config = path.join(folder, 'edge.yaml');
  writeFileSync(
    config,
    `agent: { machine_id: GW-1 }\nbuffering: { folder: ${folder}/log }\nstatus: { port: 0 }\nsensors:\n` +
      `  - { name: okuma, type: mtconnect, url: "${url}", map: {}, extra: all, begin: oldest, interval: 1ms, count: 50 }\n`,
  );
  const share = Math.ceil(sayings.length / (KILLS + 1));
  let edge = run(context, ['edge', '--config', config]);
  for (let kill = 0; kill < KILLS; kill += 1) {
    for (const saying of sayings.slice(kill * share, (kill + 1) * share)) agent.observe(saying);
    const before = agent.served;
    // In the middle of what it has to read.
    await until(() => agent.served > before + share / 3);
    edge.process.kill('SIGKILL');
    await until(() => edge.process.signalCode !== null);
    edge = run(context, ['edge', '--config', config]);
  }
  for (const saying of sayings.slice(KILLS * share)) agent.observe(saying);
  // The log can be read while the edge runs.
  const last = agent.nextSequence - 1;
  const isLast = (reading: Reading): boolean => {
    return new RegExp(`[/-]${last}(/\\w)?$`).test(readFromOf(reading)?.mark ?? '');
  };
  await until(async () => (await exportedFrom(`${folder}/log`)).some(isLast));
  edge.process.kill();
  await until(() => edge.process.exitCode !== null);
  const times = new Map<string, number>();
  for (const reading of await exportedFrom(`${folder}/log`)) {
    const mark = readFromOf(reading)?.mark ?? '';
    const [, first, last = first, kind] = /^\d+\/(\d+)(?:-(\d+))?(?:\/(\w))?$/.exec(mark) ?? [];
    if (first === undefined || (kind !== undefined && kind !== 'c')) continue;
    for (let sequence = Number(first); sequence <= Number(last); sequence += 1) {
      const key = `${kind ?? 'v'}${sequence}`;
      times.set(key, (times.get(key) ?? 0) + 1);
    }
  }
  const isCondition = new Map(device.items.map(({ id, category }) => [id, category === 'CONDITION']));
  // At its start the agent has said that nothing is known.
  const items = [...device.items.map(({ id }) => id), ...sayings.map(({ item }) => item)];
  const wrong = items.flatMap((item, index) => {
    const key = `${isCondition.get(item) === true ? 'c' : 'v'}${index + 1}`;
    return times.get(key) === 1 ? [] : [`${key} ${item}: ${times.get(key) ?? 0} times`];
  });
  assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} of ${items.length}`);
});

async function statusPage(edge: { readonly output: string }): Promise<string> {
  await until(() => /"status":"([^"]+)"/.test(edge.output));
  return /"status":"([^"]+)"/.exec(edge.output)?.[1] ?? '';
}

async function statusOf(page: string): Promise<EdgeStatus> {
  return (await (await fetch(page)).json()) as EdgeStatus;
}

async function exportedFrom(folder: string): Promise<Reading[]> {
  const limits = { maxBuffer: 256 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'log', 'export', folder], limits);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Reading);
}

function run(context: TestContext, args: readonly string[]): { readonly process: ChildProcess; output: string } {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const running = { process: child, output: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece: Buffer) => {
      running.output += piece.toString();
    });
  }
  context.after(() => child.kill('SIGKILL'));
  return running;
}
