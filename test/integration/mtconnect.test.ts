/** The commands as a person gives them: a recorded day as an agent, a look into it, and an edge that reads it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../support/until.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const RECORDING = fileURLToPath(new URL('../data/mtconnect/okuma-multus-u3000.shdr', import.meta.url));

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
  await until(() => /"status":"([^"]+)"/.test(edge.output));
  const page = /"status":"([^"]+)"/.exec(edge.output)?.[1] ?? '';
  await until(async () => {
    const { sources } = (await (await fetch(page)).json()) as { sources: { state: string; readings: number }[] };
    return sources[0]?.state === 'ok' && sources[0].readings > 0;
  });
  edge.process.kill();
  await until(() => edge.process.exitCode !== null);
  assert.equal(edge.process.exitCode, 0, edge.output);
  const exported = await promisify(execFile)(process.execPath, [CLI, 'log', 'export', `${folder}/log`]);
  const readings = exported.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { [key: string]: unknown });
  assert.ok(readings.some((reading) => typeof reading['spindle_speed'] === 'number'));
  assert.ok(readings.some((reading) => reading['machine_id'] === 'OKUMA' && reading['event_type'] === 'state'));
});

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
