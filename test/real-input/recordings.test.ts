/** Three recordings of real machines, through the player, TCP and the driver, against what the files say. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { hasCode } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { seededRandom } from '../../src/base/random.ts';
import { schema } from '../../src/drivers/shdr/config.ts';
import { create } from '../../src/drivers/shdr/driver.ts';
import { decodeReading, isSignalKey, type MachineEvent, type Reading } from '../../src/model/reading.ts';
import { playShdr } from '../../src/sim/shdr-player.ts';
import { type Expected, expectedOf } from './expected.ts';

const FOLDER = new URL('../data/mtconnect/', import.meta.url);
const RECORDINGS = [
  { name: 'okuma', file: 'okuma-multus-u3000.shdr', values: 20_924, conditions: 40, states: 9 },
  { name: 'mazak', file: 'nist-mazak01-2017-04-26.shdr', values: 45_297, conditions: 1_043, states: 78 },
  { name: 'gfagie', file: 'nist-gfagie01-2016-11-07.shdr', values: 40_149, conditions: 1_972, states: 245 },
];

for (const recording of RECORDINGS) {
  test(`${recording.name}: all there, once, at its own time`, async () => {
    const text = readFileSync(new URL(recording.file, FOLDER), 'utf8');
    const sensor = parse(readFileSync(new URL(`${recording.name}.edge.yaml`, FOLDER), 'utf8')).sensors[0];
    const expected = expectedOf(text, sensor);
    // The oracle itself must have seen the file: an empty expectation would prove nothing.
    assert.equal(expected.values.length, recording.values);
    assert.equal(expected.conditions.length, recording.conditions);
    assert.equal(expected.states.length, recording.states);

    const readings = await readRecording(recording.file, sensor);
    for (const reading of readings) assert.ok('reading' in decodeReading(structuredClone(reading)));
    const beforeLoss = readings.filter(({ timestamp }) => timestamp < '2023');
    checkValues(beforeLoss, expected);
    checkEvents(beforeLoss, expected);
    checkLoss(
      readings.filter(({ timestamp }) => timestamp >= '2023'),
      expected,
    );
  });
}

async function readRecording(file: string, sensor: { [key: string]: unknown }): Promise<Reading[]> {
  const stop = new AbortController();
  const player = await playShdr(
    {
      file: fileURLToPath(new URL(file, FOLDER)),
      host: '127.0.0.1',
      port: 0,
      speed: 'max',
      loop: false,
      hold: false,
      start: 'each',
      rebase: false,
      gapMsMax: null,
      clock: systemClock,
      log: silentLogger,
    },
    stop.signal,
  );
  const { name: _name, type: _type, machine_id: machineId, ...options } = sensor;
  const driver = create(schema.parse({ ...options, port: player.port }));
  const readings: Reading[] = [];
  const context = {
    machineId: String(machineId),
    emit: (reading: Reading): void => void readings.push(reading),
    connected: (): void => {},
    alive: (): void => {},
    answered: () => {},
    problem: () => {},
    room: () => undefined,
    samplingIntervalMs: (): number => 100,
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
  };
  await assert.rejects(driver.run(context, stop.signal), (error) => hasCode(error, 'connection_failed'));
  stop.abort();
  return readings;
}

function checkValues(readings: readonly Reading[], expected: Expected): void {
  const found: string[] = [];
  const newest = new Map<string, { timestamp: string; value: unknown }>();
  for (const reading of readings) {
    if (reading.kind === 'event') continue;
    for (const [field, value] of Object.entries(reading)) {
      if (!isSignalKey(field) || field === 'machine_state') continue;
      const timestamp = sixDecimals(reading.timestamp);
      found.push(`${timestamp} ${field} ${JSON.stringify(value)}`);
      if ((newest.get(field)?.timestamp ?? '') <= timestamp) newest.set(field, { timestamp, value });
      assert.ok(!/unavailable/i.test(String(value)), `${field} ${String(value)}`);
    }
  }
  const wanted = expected.values.map(({ timestamp, field, value }) => `${timestamp} ${field} ${JSON.stringify(value)}`);
  assert.deepEqual(found.sort(), wanted.sort());
  for (const [field, { timestamp, value }] of expected.newest)
    assert.deepEqual(newest.get(field), { timestamp, value });
}

function checkEvents(readings: readonly Reading[], expected: Expected): void {
  const events = readings.filter((reading): reading is MachineEvent => reading.kind === 'event');
  const ofType = (type: string): MachineEvent[] => events.filter(({ event_type }) => event_type === type);
  assert.deepEqual(
    ofType('condition').map((event) => ({
      timestamp: sixDecimals(event.timestamp),
      item: event.item,
      level: event.level,
      native_code: event.native_code ?? '',
      native_severity: event.native_severity ?? '',
      qualifier: event.qualifier ?? '',
      text: event.text ?? '',
    })),
    expected.conditions,
  );
  assert.deepEqual(
    ofType('program').map(({ timestamp, text }) => ({ timestamp: sixDecimals(timestamp), text })),
    expected.programs,
  );
  const states = expected.states.map(({ timestamp, state }) => ({ timestamp, state }));
  assert.deepEqual(
    ofType('state').map(({ timestamp, state, previous_state }) => ({
      timestamp: sixDecimals(timestamp),
      state,
      previous_state,
    })),
    expected.states,
  );
  const inSamples = readings.flatMap((reading) => {
    if (reading.kind !== undefined && reading.kind !== 'sample') return [];
    const { timestamp, machine_state: state } = reading;
    return state === undefined ? [] : [{ timestamp: sixDecimals(timestamp), state }];
  });
  assert.deepEqual(inSamples, states);
  assert.equal(events.length, ofType('condition').length + ofType('program').length + ofType('state').length);
}

/** When the recording's adapter hangs up, every field that was known is unknown, and the machine is offline. */
function checkLoss(readings: readonly Reading[], expected: Expected): void {
  const last = new Map(expected.values.map(({ field, value }) => [field, value]));
  const known = [...last].filter(([, value]) => value !== null).map(([field]) => field);
  const samples = readings.filter((reading) => reading.kind === undefined);
  const nulls = samples.flatMap((sample) => Object.entries(sample).filter(([, value]) => value === null));
  assert.deepEqual(nulls.map(([field]) => field).sort(), known.sort());
  const states = readings.filter((reading) => reading.kind === 'event' && reading.event_type === 'state');
  assert.equal(states.length, expected.states.at(-1)?.state === 'offline' ? 0 : 1);
}

function sixDecimals(timestamp: string): string {
  const [seconds = '', fraction = ''] = timestamp.slice(0, -1).split('.');
  return `${seconds}.${fraction.padEnd(6, '0')}Z`;
}
