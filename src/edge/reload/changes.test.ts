import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEdgeConfig } from '../config.ts';
import type { EdgeSettings } from '../settings.ts';
import { isSame, reloaded } from './changes.ts';

async function settingsOf(text: string): Promise<EdgeSettings> {
  return (await readEdgeConfig({ file: 'edge.yaml', text, environment: {} })).settings;
}

test('the order of keys is no change', () => {
  assert.ok(isSame({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 }));
  assert.ok(!isSame({ a: 1 }, { a: 1, b: null }));
});

test('what needs a restart is named by its key, and all else is taken', async () => {
  const before = await settingsOf('agent: { machine_id: A }\nbuffering: { folder: /a }\n');
  const after = await settingsOf(`
agent: { machine_id: A, gateway_id: B, location: Hall 2, log_level: debug }
buffering:
  folder: /b
  sync: interval
  sync_interval: 5s
  segment_size: 1MB
  hot_buffer: { capacity: 2MB }
  cold_buffer: { max_size: 1GB }
  batching: { size: 7 }
status: { host: 0.0.0.0, port: 9000 }
`);
  const { settings, needsRestart } = reloaded(before, after);
  assert.deepEqual(needsRestart, [
    'agent.gateway_id',
    'buffering.folder',
    'buffering.hot_buffer.capacity',
    'buffering.sync',
    'buffering.sync_interval',
    'status.host',
    'status.port',
  ]);
  assert.deepEqual(
    { ...settings, log: { ...settings.log, limits: null, segmentBytesMax: 0 } },
    {
      ...before,
      location: 'Hall 2',
      logLevel: 'debug',
      batching: { ...before.batching, readingsMax: 7 },
      log: { ...before.log, limits: null, segmentBytesMax: 0 },
    },
  );
  assert.deepEqual([settings.log.limits, settings.log.segmentBytesMax], [after.log.limits, 2 ** 20]);
});

test('a first OPC UA server works at once, and is told to be slow until a restart', async () => {
  const plain = await settingsOf('agent: { machine_id: A }\n');
  const serving = await settingsOf('agent: { machine_id: A }\nsinks: [{ type: opcua_server, anonymous: true }]\n');
  assert.deepEqual(reloaded(plain, serving).needsRestart, ['sinks (opcua_server: slow until then)']);
  assert.deepEqual(reloaded(serving, plain).needsRestart, []);
  assert.deepEqual(reloaded(serving, serving).needsRestart, []);
});
