/**
 * Runs every folder of `testcases/`: `config.yaml` (a sensor's options), `input.shdr` (bytes that the adapter sends),
 * and `expected.json` (the readings, in order, without machine_id) or `expected.error` (the code and a part of the
 * message). A stamp that is the gateway's clock is written `now`: the clock stands still at that instant.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { Clock } from '../../base/clock.ts';
import { systemClock } from '../../base/clock.ts';
import { hasCode } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { seededRandom } from '../../base/random.ts';
import { decodeReading, isSignalKey, type Reading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

const FOLDER = new URL('./testcases/', import.meta.url);
const NOW = '2026-01-01T08:00:00.000000Z';
const stillClock: Clock = { ...systemClock, nowMicros: () => microsOf(NOW) };

for (const name of readdirSync(FOLDER).sort()) {
  test(`case ${name}`, async () => {
    const read = (file: string): Buffer => readFileSync(new URL(`${name}/${file}`, FOLDER));
    const outcome = await runDriver(parse(read('config.yaml').toString()), read('input.shdr'));
    for (const reading of outcome.readings) {
      const decoded = decodeReading(structuredClone(reading));
      assert.ok('reading' in decoded, JSON.stringify({ reading, decoded }));
    }
    if (existsSync(new URL(`${name}/expected.error`, FOLDER))) {
      const [code = '', part = ''] = read('expected.error').toString().trim().split('\n');
      assert.ok(outcome.error instanceof Error);
      assert.equal('code' in outcome.error ? outcome.error.code : undefined, code);
      assert.ok(outcome.error.message.includes(part), outcome.error.message);
    } else {
      assert.ok(hasCode(outcome.error, 'connection_failed'), String(outcome.error));
      const spoken = outcome.readings.map(({ machine_id, ...rest }) => {
        assert.equal(machine_id, 'M-1');
        return { ...rest, timestamp: rest.timestamp === NOW ? 'now' : rest.timestamp };
      });
      assert.deepEqual(spoken, JSON.parse(read('expected.json').toString()));
    }
  });
}

/** One connection: the adapter sends the bytes and closes. What the loss of the connection adds is left out. */
async function runDriver(config: object, bytes: Buffer): Promise<{ readings: Reading[]; error: unknown }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(bytes);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const options = schema.parse({ host: '127.0.0.1', ...config, port: address.port });
  const readings: Reading[] = [];
  let error: unknown;
  await create(options)
    .run(
      {
        machineId: 'M-1',
        emit: (reading) => readings.push(reading),
        connected: () => {},
        alive: () => {},
        answered: () => {},
        problem: () => {},
        room: () => undefined,
        samplingIntervalMs: () => 100,
        clock: stillClock,
        random: seededRandom(1),
        log: silentLogger,
      },
      new AbortController().signal,
    )
    .catch((reason: unknown) => {
      error = reason;
    });
  server.close();
  return { readings: beforeTheEnd(readings), error };
}

/** Cuts off what `disconnected` says: a sample of nulls and the state offline, or conditions unavailable. */
function beforeTheEnd(readings: readonly Reading[]): Reading[] {
  const kept = [...readings];
  const isLoss = (reading: Reading | undefined): boolean => {
    if (reading === undefined || reading.timestamp !== NOW) return false;
    if (reading.kind === 'event') return reading.text === 'connection lost';
    if (reading.kind === 'measurement') return false;
    const values = Object.entries(reading).filter(([key]) => isSignalKey(key) && key !== 'machine_state');
    return values.every(([, value]) => value === null);
  };
  while (isLoss(kept.at(-1))) kept.pop();
  return kept;
}
