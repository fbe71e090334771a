/**
 * Recordings of real machines, played over TCP into an edge, through its log and HTTP into the hub's tables, against what
 * the files say by themselves (test/real-input/expected.ts): all there, once, at its own time to the microsecond.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { MachineEventRow, MachineNow } from '../../src/model/api.ts';
import { SIGNAL_NAMES } from '../../src/model/signals.ts';
import { type Expected, expectedOf, type WrittenSensor } from '../real-input/expected.ts';
import { Command, freePort, startSystem, type System, waitUntil } from '../support/system.ts';

const FOLDER = new URL('../data/mtconnect/', import.meta.url);
const RECORDINGS = [
  { name: 'okuma', file: 'okuma-multus-u3000.shdr', speed: '20', last: '2022-08-08' },
  { name: 'mazak', file: 'nist-mazak01-2017-04-26.shdr', speed: 'max', last: '2017-04-26' },
];

let system: System;
before(async () => {
  system = await startSystem();
});
after(() => system.stop());

for (const recording of RECORDINGS) {
  test(`${recording.name} at speed ${recording.speed} arrives whole`, async () => {
    const file = fileURLToPath(new URL(recording.file, FOLDER));
    const sensor = (
      parse(readFileSync(new URL(`${recording.name}.edge.yaml`, FOLDER), 'utf8')) as { sensors: Sensor[] }
    ).sensors[0]!;
    const expected = expectedOf(readFileSync(file, 'utf8'), sensor);
    const port = await freePort();
    const player = new Command([
      'simulate',
      'shdr',
      '--file',
      file,
      '--port',
      String(port),
      '--speed',
      recording.speed,
      '--max-gap',
      '10s',
    ]);
    const edge = await system.startEdge(recording.name, {
      agent: { machine_id: `EDGE-${recording.name}` },
      sensors: [{ ...sensor, host: '127.0.0.1', port }],
    });
    await waitUntil(
      'every value, condition and state of the file',
      async () => {
        if (!edge.running) throw new Error(edge.said);
        const [values, events] = await Promise.all([valuesOf(sensor.machine_id), eventsOf(sensor.machine_id)]);
        const wanted = expected.values.length + expected.conditions.length + expected.states.length;
        return values.length + events.length >= wanted ? true : undefined;
      },
      { timeoutMs: 120_000, pollMs: 1000 },
    );
    await compareNewest(sensor.machine_id, expected, recording.last);
    assert.equal(await edge.end('SIGTERM'), 0, edge.said);
    await player.end('SIGTERM');
    await compareTables(sensor.machine_id, expected);
  });
}

interface Sensor extends WrittenSensor {
  readonly machine_id: string;
}

/** What the driver itself says when the connection ends is stamped now, and is no part of the file. */
const OF_THE_FILE = `machine_id = $1 and time < '2024-01-01'`;
const TIME = `to_char(time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as timestamp`;

async function valuesOf(machineId: string): Promise<string[]> {
  const found: string[] = [];
  const rows = await system.rows<Record<string, unknown>>(`select ${TIME}, * from sensor_data where ${OF_THE_FILE}`, [
    machineId,
  ]);
  for (const { timestamp, extra, ...row } of rows) {
    const fields = {
      ...Object.fromEntries(SIGNAL_NAMES.map((name) => [name, row[name]]).filter(([, value]) => value !== null)),
      ...(extra as object),
    };
    for (const [field, value] of Object.entries(fields)) {
      if (field !== 'machine_state') found.push(`${timestamp as string} ${field} ${JSON.stringify(value)}`);
    }
  }
  return found;
}

async function eventsOf(machineId: string): Promise<(MachineEventRow & { timestamp: string })[]> {
  return system.rows(`select ${TIME}, * from events where ${OF_THE_FILE} order by time`, [machineId]);
}

async function compareTables(machineId: string, expected: Expected): Promise<void> {
  const found = await valuesOf(machineId);
  for (const text of found) assert.doesNotMatch(text, /unavailable/i);
  const wanted = expected.values.map(({ timestamp, field, value }) => `${timestamp} ${field} ${JSON.stringify(value)}`);
  assert.deepEqual(found.toSorted(), wanted.toSorted());

  const events = await eventsOf(machineId);
  const conditions = events
    .filter((event) => event.event_type === 'condition')
    .map((event) =>
      [
        event.timestamp,
        event.item,
        event.level,
        event.native_code ?? '',
        event.native_severity ?? '',
        event.qualifier ?? '',
        event.text ?? '',
      ].join('|'),
    );
  const wantedConditions = expected.conditions.map((each) =>
    [each.timestamp, each.item, each.level, each.native_code, each.native_severity, each.qualifier, each.text].join(
      '|',
    ),
  );
  assert.deepEqual(conditions.toSorted(), wantedConditions.toSorted());

  const states = events
    .filter((event) => event.event_type === 'state')
    .map((event) => `${event.timestamp} ${event.previous_state ?? ''} ${event.state}`);
  const wantedStates = expected.states.map((each) => `${each.timestamp} ${each.previous_state ?? ''} ${each.state}`);
  assert.deepEqual(states.toSorted(), wantedStates.toSorted());
}

/** The newest value of each item is the file's, at the file's time: nothing of it is shown as now. */
async function compareNewest(machineId: string, expected: Expected, lastDay: string): Promise<void> {
  const machine = (await system.get<MachineNow[]>('/api/v1/fleet')).find(({ id }) => id === machineId);
  assert.ok(machine);
  for (const [field, { timestamp, value }] of expected.newest) {
    assert.deepEqual(machine.values[field], { value, time: timestamp }, field);
  }
  for (const { time } of Object.values(machine.values)) assert.ok(time <= `${lastDay}T24`, `${time} is shown as now`);
  assert.ok((machine.state_since ?? '') <= `${lastDay}T24`);
}
