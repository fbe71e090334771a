/** The example of config/ and those of the docs, read by a real edge from pymodbus, over TCP and a serial line. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { nodeFiles } from '../../src/base/node-files.ts';
import { schema } from '../../src/drivers/modbus/config.ts';
import { readAll } from '../../src/log/inspect.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import type { Reading, Sample } from '../../src/model/reading.ts';
import type { EdgeStatus } from '../../src/model/status.ts';
import { STATE_CYCLE } from '../../src/sim/machine.ts';
import {
  type ModbusServer,
  type SerialServer,
  type ServedRegister,
  startModbusServer,
  startSerialServer,
} from '../support/modbus.ts';
import { Command, waitUntil } from '../support/system.ts';

const EXAMPLE = parse(readFileSync(new URL('../../config/modbus.example.yaml', import.meta.url), 'utf8'));
const PAGE = readFileSync(new URL('../../docs/drivers/modbus.md', import.meta.url), 'utf8');
const DOCUMENTED = parse(/```yaml\n(.*?)```/s.exec(PAGE)?.[1] ?? '');

/** What a sensor's configuration wants is served: the value of each field, by its name. */
function served(sensor: Record<string, unknown>, values: Readonly<Record<string, number | boolean>>): ServedRegister[] {
  const { name: _name, type: _type, machine_id: _machine, sampling_rate: _rate, ...own } = sensor;
  const registers = schema.parse(own).fields.map((field) => {
    const { function: code, address, order } = field;
    const value = values[field.name] ?? 1;
    return field.type === 'bit' && field.bit !== null
      ? { function: code, address, order, type: 'uint16', value: Number(value) << field.bit }
      : { function: code, address, order, type: field.type, value };
  });
  return registers;
}

let folder: string;
let server: ModbusServer;
let serial: SerialServer;
const [first, second] = EXAMPLE.sensors;
const [plc, sdm] = DOCUMENTED.sensors;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millwright-modbus-'));
  const units = {
    1: served(first, { machine_state: 2, spindle_speed: 8000, active_program_line: 120, total_power_kw: 5.1 }),
    2: served(second, { machine_state: 3, temperature: 21.5, part_count: 7 }),
    3: served(plc, { machine_state: 1, spindle_speed: 1200.5, temperature: 451, door_open: true, coolant_pump: true }),
  };
  const onLine = { 12: served(sdm, { voltage_l1_v: 229.9, total_power_kw: 5100, energy_import_kwh: 77.5 }) };
  [server, serial] = await Promise.all([startModbusServer({ units }), startSerialServer(onLine, 9600)]);
});
after(async () => {
  await Promise.all([server?.stop(), serial?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

test('the examples are read, each unit has a state of its own, and a loss is told', async () => {
  const place = { host: '127.0.0.1', port: server.port };
  const sensors = [
    { ...first, ...place },
    { ...second, ...place },
    { ...plc, ...place, unit_id: 3, machine_id: 'PLC' },
    { ...sdm, serial: { ...sdm.serial, path: serial.path }, machine_id: 'METER', sampling_rate: '100ms' },
    { ...plc, ...place, unit_id: 99, name: 'nobody', machine_id: 'NOBODY' },
  ];
  const logFolder = path.join(folder, 'log');
  const config = path.join(folder, 'edge.yaml');
  const own = { sensors, sinks: [], buffering: { folder: logFolder }, status: { port: 0 } };
  await writeFile(config, stringify({ ...EXAMPLE, ...own }));
  const edge = new Command(['edge', '--config', config]);
  const url = await waitUntil('the edge to run', () => /http:\/\/[\d.:]+\/status/.exec(edge.said)?.[0]);
  const sources = async (): Promise<EdgeStatus['sources']> => {
    const status: EdgeStatus = JSON.parse(await (await fetch(url)).text());
    return status.sources;
  };
  await waitUntil('all units to be read, but the one that is not there', async () => {
    const all = await sources();
    const ok = all.filter((one) => one.state === 'ok' && one.readings > 10).length;
    return (ok === 4 && all.some((one) => one.state === 'failing')) || undefined;
  });
  const nobody = (await sources()).find(({ name }) => name === 'nobody');
  assert.match(nobody?.last_error ?? '', /unit 99 at 127\.0\.0\.1:\d+ cannot be read: unit 99 did not answer within/);

  const merged = (found: readonly Reading[], machineId: string): Record<string, unknown> =>
    Object.assign({}, ...found.filter((one) => one.machine_id === machineId && one.kind === undefined));
  const before = await readings(logFolder);
  const [now, other] = [merged(before, 'MILL-1'), merged(before, 'MILL-2')];
  const [ofPlc, ofMeter] = [merged(before, 'PLC'), merged(before, 'METER')];
  assert.deepEqual(
    ['machine_state', 'spindle_speed', 'active_program_line', 'total_power_kw'].map((name) => now[name]),
    ['running', 8000, 120, 5.1],
  );
  assert.deepEqual(
    ['machine_state', 'temperature', 'part_count'].map((name) => other[name]),
    ['hold', 21.5, 7],
  );
  assert.deepEqual(
    ['machine_state', 'spindle_speed', 'temperature', 'door_open', 'coolant_pump'].map((name) => ofPlc[name]),
    ['running', 1200.5, 45.1, true, true],
  );
  assert.deepEqual(
    ['voltage_l1_v', 'total_power_kw', 'energy_import_kwh'].map((name) => ofMeter[name]),
    [229.9, 5.1, 77.5],
  );

  await server.stop();
  await waitUntil(
    'the loss',
    async () => (await sources()).filter((one) => one.state === 'ok').length === 1 || undefined,
  );
  assert.equal((await sources()).find(({ state }) => state === 'ok')?.name, 'lathe-3-meter');
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  const after = await readings(logFolder);
  assert.equal(merged(after, 'MILL-1')['spindle_speed'], null);
  const states = after.filter((one) => one.kind === 'event' && one.event_type === 'state' && one.machine_id === 'PLC');
  assert.deepEqual(
    states.map((one) => (one.kind === 'event' ? one.state : undefined)),
    ['running', 'offline'],
  );
});

test('the example reads what the simulator serves', async () => {
  const simulator = new Command(['simulate', 'modbus', '--machines', '2', '--port', '0']);
  const said = (): string | undefined => /"port":(\d+)/.exec(simulator.said)?.[1];
  const port = Number(await waitUntil('the simulator to serve', said));
  const logFolder = path.join(folder, 'log-simulated');
  const config = path.join(folder, 'simulated.yaml');
  const sensors = EXAMPLE.sensors.map((sensor: object) => ({ ...sensor, port }));
  const own = { sensors, sinks: [], buffering: { folder: logFolder }, status: { port: 0 } };
  await writeFile(config, stringify({ ...EXAMPLE, ...own }));
  const edge = new Command(['edge', '--config', config]);
  const samples = async (machineId: string): Promise<Sample[]> =>
    (await readings(logFolder)).filter((one): one is Sample => one.machine_id === machineId && one.kind === undefined);
  await waitUntil('both machines', async () => {
    return ((await samples('MILL-1')).length > 3 && (await samples('MILL-2')).length > 3) || undefined;
  });
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  assert.equal(await simulator.end('SIGINT'), 0, simulator.said);
  const [, sample] = await samples('MILL-1');
  // With machine_id and timestamp.
  assert.equal(Object.keys(sample ?? {}).length, 14);
  assert.ok(STATE_CYCLE.some((state) => state === sample?.machine_state));
});

async function readings(logFolder: string): Promise<Reading[]> {
  const found: Reading[] = [];
  for await (const { payload } of readAll(nodeFiles, logFolder)) found.push(...decodeMessage(payload).readings);
  return found;
}
