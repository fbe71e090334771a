/**
 * An hour of the simulated measuring machine at its defaults, through its files, the driver `files` and the processor
 * `thermal` of a real edge, into the hub's table: the wave of the temperature is gone, and what is left is the noise.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { parse } from 'yaml';
import type { Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import { CMM_DEFAULTS, runCmm } from '../../src/sim/cmm.ts';
import { simulatedMetrology } from '../../src/up/simulated-shop.ts';
import { startSystem, waitUntil } from '../support/system.ts';

/** The command writes a file every five seconds. */
const [INTERVAL_MS, FILES] = [5_000, 720];
const NOISE_MM = 0.001;

const system = await startSystem();
after(() => system.stop());

/** Begins an hour ago, and jumps to the end of each sleep. */
function fastClock(): Clock {
  const startMs = Date.now() - FILES * INTERVAL_MS;
  let ms = 0;
  return {
    nowMicros: () => (startMs + ms) * 1000,
    monotonicMs: () => ms,
    sleep: async (wait) => {
      ms += wait;
    },
  };
}

async function measureForAnHour(folder: string, options: { serialNumbers: boolean; seed: number }): Promise<void> {
  const run = { folder, intervalMs: INTERVAL_MS, count: FILES, keep: null, faults: false };
  const parts = { files: nodeFiles, clock: fastClock(), log: silentLogger };
  await runCmm({ ...CMM_DEFAULTS, ...options, ...run, ...parts }, new AbortController().signal);
}

interface Spread {
  readonly count: number;
  readonly raw: number;
  readonly corrected: number;
  readonly distrusted: number;
  readonly nonconform: number;
}

async function assertOnlyNoiseIsLeft(machineId: string): Promise<void> {
  const spread = async (): Promise<Spread | undefined> => {
    const [row] = await system.rows<Spread>(
      `select count(*)::int as count, stddev_samp(measured_value) as raw, stddev_samp(compensated_value) as corrected,
         count(distrust)::int as distrusted, (count(*) filter (where verdict = 'nonconform'))::int as nonconform
       from measurements where machine_id = $1`,
      [machineId],
    );
    return row?.count === FILES ? row : undefined;
  };
  const { raw, corrected, distrusted, nonconform } = await waitUntil('all measurements', spread);
  console.log(`${machineId}: raw ${raw.toFixed(5)} mm, corrected ${corrected.toFixed(6)} mm`);
  assert.ok(raw > 0.008, `raw ${raw}`);
  assert.ok(Math.abs(corrected / NOISE_MM - 1) < 0.1, `corrected ${corrected}`);
  assert.deepEqual([distrusted, nonconform], [0, 0]);
}

test('with the example of config/ as it stands, only the noise is left of an hour', async () => {
  const example = parse(readFileSync(new URL('../../config/cmm.example.yaml', import.meta.url), 'utf8'));
  const folder = path.join(system.folder, 'cmm-example');
  await measureForAnHour(folder, { serialNumbers: false, seed: 1 });
  const buffering = { folder: system.logFolder('example') };
  const sinks = [{ ...example.sinks[0], url: system.url }];
  const sensors = [{ ...example.sensors[0], folder }];
  const edge = await system.startEdge('example', { ...example, sensors, sinks, buffering, status: { port: 0 } });
  await assertOnlyNoiseIsLeft('CMM-002');
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
});

test('and so it is with the shop of npm start', async () => {
  const resultsFolder = path.join(system.folder, 'cmm-shop');
  await measureForAnHour(resultsFolder, { serialNumbers: true, seed: 2 });
  const places = { hubUrl: system.url, mesUrl: 'http://127.0.0.1:9', resultsFolder };
  const edge = await system.startEdge('shop', simulatedMetrology({ ...places, logFolder: system.logFolder('shop') }));
  await assertOnlyNoiseIsLeft('CMM-001');
  await edge.end('SIGKILL');
});
