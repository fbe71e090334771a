/** A real edge that reads an OPC UA server is killed: the server closes its session by itself. And what the commands print. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { schema } from '../../src/drivers/opcua/config.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { OpcuaTestServer } from '../support/opcua-server.ts';
import { Command, freePort, waitUntil } from '../support/system.ts';

/** What comes in half a minute, or ten seconds. */
const SLOWLY = { pollMs: 500 } as const;

test('probe, trust, an edge that reads, its kill -9, and its end', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-opcua-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const server = new OpcuaTestServer({
    port: await freePort(),
    pki: path.join(folder, 'server'),
    policies: ['None', 'Basic256Sha256'],
  });
  context.after(() => server.kill());
  await server.start();

  const probed = new Command([
    'probe',
    'opcua',
    server.url,
    '--browse',
    'Objects/Machines',
    '--pki',
    path.join(folder, 'p'),
  ]);
  assert.equal(await probed.exited(), 0, probed.said);
  assert.match(probed.said, /Basic256Sha256 with SignAndEncrypt; log in by /);
  assert.match(probed.said, /thumbprint [\da-f]{40}/);
  assert.match(probed.said, /Speed {2}ns=2;s=CNC-001\/Spindle\/Speed {2}0 {2}Double {2}Good/);
  const [suggested] = parse(probed.said.slice(probed.said.indexOf('sensors:'))).sensors;
  const { name: _name, type: _type, ...own } = suggested;
  assert.ok(schema.parse(own).nodes.some(({ node }) => node === 'Objects/Machines/CNC-001/Temperature'));
  const filled = schema.parse(own).nodes.map(({ node, fields }) => `${node} ${fields[0]?.name}`);
  assert.ok(filled.includes('Objects/Machines/CNC-001/Spindle/Speed spindle_speed'), filled.join('\n'));
  assert.equal(await server.sessions(), 0);

  const nodes = [{ node: 'Objects/Machines/CNC-001/Temperature', signal: 'temperature' }];
  const sensor = { name: 'mill', type: 'opcua', url: server.url, anonymous: true, session_timeout: '10s', nodes };
  const config = path.join(folder, 'edge.yaml');
  const logFolder = path.join(folder, 'log');
  const rest = { agent: { machine_id: 'CNC-001' }, sinks: [], buffering: { folder: logFolder }, status: { port: 0 } };
  await writeFile(config, stringify({ ...rest, sensors: [sensor] }));
  const start = async (): Promise<{
    edge: Command;
    source: () => Promise<EdgeStatus['sources'][number] | undefined>;
  }> => {
    const edge = new Command(['edge', '--config', config]);
    const url = await waitUntil('the edge to run', () => /http:\/\/[\d.:]+\/status/.exec(edge.said)?.[0]);
    return { edge, source: async () => JSON.parse(await (await fetch(url)).text()).sources[0] };
  };
  const first = await start();
  const refusal = await waitUntil('the refusal', async () => (await first.source())?.last_error ?? undefined);
  const told = /run: millwright (trust opcua \S+ [\da-f]{40})/.exec(refusal)?.[1] ?? '';
  const trusted = new Command([...told.split(' '), '--yes']);
  assert.equal(await trusted.exited(), 0, trusted.said);
  assert.match(trusted.said, /subject .*\n.*application {2}urn:test:server\n.*valid /);
  await waitUntil('the source to be ok', async () => (await first.source())?.state === 'ok' || undefined, SLOWLY);
  assert.equal(await server.sessions(), 1);

  await first.edge.end('SIGKILL');
  assert.equal(await server.sessions(), 1, 'it does not know yet');
  await waitUntil('the server to close the session', async () => (await server.sessions()) === 0 || undefined, SLOWLY);

  const second = await start();
  await waitUntil('the source to be ok', async () => (await second.source())?.state === 'ok' || undefined);
  assert.equal(await server.sessions(), 1);
  assert.equal(await second.edge.end('SIGTERM'), 0);
  assert.equal(await server.sessions(), 0);
});
