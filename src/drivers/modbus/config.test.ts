import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { PROFILE_NAMES, schema } from './config.ts';
import type { ModbusOptions } from './options.ts';

function read(config: object): ModbusOptions {
  return checkConfig(parseConfig({ file: 'edge.yaml', text: stringify(config), environment: {} }), schema);
}

const REGISTER = { extra: 'a', address: 0, type: 'uint16' };

function refuses(config: object, expected: RegExp): void {
  assert.throws(
    () => read({ host: 'plc', registers: [REGISTER], ...config }),
    (error: Error) => expected.test(error.message) || assert.fail(error.message),
  );
}

test('defaults over TCP and on a serial line', () => {
  const tcp = read({ host: 'plc', registers: [REGISTER] });
  assert.deepEqual(tcp.bus, {
    kind: 'tcp',
    host: 'plc',
    port: 502,
    framing: 'tcp',
    connectTimeoutMs: 10_000,
    parallel: 4,
  });
  assert.deepEqual([tcp.unit, tcp.timeoutMs, tcp.gapMax, tcp.registersMax, tcp.addressBase], [1, 1_000, 10, 125, 0]);
  const serial = read({ serial: { path: '/dev/ttyUSB0' }, registers: [REGISTER] });
  assert.deepEqual(serial.bus, {
    kind: 'serial',
    path: '/dev/ttyUSB0',
    baudRate: 19_200,
    parity: 'even',
    stopBits: 1,
  });
  assert.equal(serial.timeoutMs, 300);
});

test('every profile can be read, and its numbers come out as the wire has them', () => {
  assert.deepEqual(PROFILE_NAMES, ['CNC', 'PM5000', 'SDM630']);
  for (const profile of PROFILE_NAMES) assert.ok(read({ host: 'plc', profile }).fields.length > 10);
  const power = (profile: string) =>
    read({ host: 'plc', profile }).fields.find(({ name }) => name === 'total_power_kw');
  assert.deepEqual([power('SDM630')?.function, power('SDM630')?.address, power('SDM630')?.scale], [4, 0x34, 0.001]);
  assert.deepEqual([power('PM5000')?.function, power('PM5000')?.address, power('PM5000')?.scale], [3, 3059, 1]);
});

test('a register of our own replaces that of the profile, and an order holds for both', () => {
  const own = { signal: 'total_power_kw', address: 3062, type: 'float32', function: 4 };
  const { fields, addressBase } = read({ host: 'plc', profile: 'PM5000', order: 'CDAB', registers: [own] });
  const power = fields.filter(({ name }) => name === 'total_power_kw');
  assert.deepEqual(
    power.map(({ address, function: code, order }) => [address, code, order]),
    [[3061, 4, 'CDAB']],
  );
  assert.ok(fields.every(({ order }) => order === 'CDAB'));
  assert.equal(addressBase, 1);
});

test('units are converted to those of the standard signals', () => {
  const scaling = (signal: string, unit: string, scale = 1) => {
    const register = { signal, address: 0, type: 'float32', unit, scale };
    const [field] = read({ host: 'plc', registers: [register] }).fields;
    return [field?.scale, field?.offset];
  };
  assert.deepEqual(scaling('total_power_kw', 'W'), [0.001, 0]);
  assert.deepEqual(scaling('feed_rate_actual', 'mm/s', 0.5), [30, 0]);
  assert.deepEqual(scaling('temperature', 'K', 0.1), [0.1, -273.15]);
});

test('what makes no sense is refused with its line and what is allowed', () => {
  refuses({ host: undefined }, /host: is missing; allowed: one of host and serial/);
  refuses({ serial: { path: '/dev/ttyS0' } }, /host: found "plc"; allowed: one of host and serial/);
  refuses({ registers: [] }, /registers: found \[\]; allowed: one register at least, or a profile/);
  refuses({ profile: 'SDM999' }, /profile: found "SDM999"; allowed: CNC, PM5000, SDM630/);
  const register = (keys: object, expected: RegExp) => refuses({ registers: [{ ...REGISTER, ...keys }] }, expected);
  register({ function: 5 }, /edge\.yaml:\d+: registers\[0\]\.function: found 5; allowed: 1 coils/);
  register({ function: 1 }, /registers\[0\]\.type: .*functions 1 and 2 read single bits/);
  register({ type: undefined }, /registers\[0\]\.type: is missing; allowed: a type/);
  register({ bit: 3 }, /registers\[0\]\.type: .*or bit for one bit/);
  register({ order: 'ACBD' }, /order: found "ACBD"; allowed: ABCD, CDAB, BADC, DCBA/);
  register({ extra: 'temperature' }, /extra: found "temperature"; allowed: a name of your own/);
  register({ signal: 'temperature' }, /signal: found "temperature"; allowed: one of signal and extra/);
  register({ address: 65_535, type: 'float32' }, /address: found 65535; allowed: registers up to 65535/);
  register({ states: { 1: 'idle' } }, /states: .*with signal: machine_state, and only there/);
  register({ extra: undefined, signal: 'machine_state' }, /states: is missing; allowed: with signal: machine_state/);
  register({ extra: undefined, signal: 'total_power_kw', unit: 'V' }, /unit: found "V"; allowed: kW, W, MW/);
  refuses({ registers: [REGISTER, REGISTER] }, /registers\[1\]\.extra: found "a"; allowed: a name that is not taken/);
  refuses({ address_base: 1 }, /registers\[0\]\.address: found 0; allowed: a number from 1 on, by address_base/);
  refuses({ max_registers: 1, registers: [{ ...REGISTER, type: 'int64' }] }, /type: found "int64"; allowed: a type of/);
});

test('unit 0 is one behind a gateway, and none on a line', () => {
  assert.equal(read({ host: 'plc', unit_id: 0, registers: [REGISTER] }).unit, 0);
  refuses({ framing: 'rtu', unit_id: 0 }, /edge\.yaml.*unit_id.*allowed: 1 to 255 on a serial line/s);
  refuses({ host: undefined, serial: { path: '/dev/ttyUSB0' }, unit_id: 0 }, /allowed: 1 to 255 on a serial line/);
});
