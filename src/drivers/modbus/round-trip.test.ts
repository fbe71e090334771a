/** Every type in every order by every function, as pymodbus encodes it, over each transport. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ModbusServer,
  type SerialServer,
  type ServedRegister,
  startModbusServer,
  startSerialServer,
} from '../../../test/support/modbus.ts';
import { until } from '../../../test/support/until.ts';
import { Running } from '../../ports/driver.test-support.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import { REGISTER_TYPES, registersOf, WORD_ORDERS } from './values.ts';

const UNIT = 7;
/** No two bytes alike, so that every exchange shows; and what lies at the ends. */
const VALUES: { readonly [type: string]: readonly (number | string)[] } = {
  int16: [-12345, -1, 32767, -32768],
  uint16: [0x1234, 0, 65535],
  int32: [-123456789, 2147483647, -2147483648],
  uint32: [0x12345678, 0, 4294967295],
  int64: ['-1234567890123456', '9007199254740991', '-9007199254740991'],
  uint64: ['1234567890123456', '0', '9007199254740991'],
  float32: [230.1, -0.000123, 3.4028235e38, 123456],
  float64: [230.1, -1.7976931348623157e308, 5e-324, 123456.789],
};

interface Case extends ServedRegister {
  readonly name: string;
  readonly order: string;
}

/** One after the other, with gaps here and there. */
function cases(code: number): Case[] {
  const all: Case[] = [];
  let address = 0;
  for (const type of REGISTER_TYPES) {
    for (const order of WORD_ORDERS) {
      for (const value of VALUES[type] ?? []) {
        all.push({ function: code, address, type, order, value, name: `f${code}_${type}_${order}_${all.length}` });
        address += registersOf(type) + (all.length % 5 === 0 ? 3 : 0);
      }
    }
  }
  return all;
}

function bits(code: number): Case[] {
  return Array.from({ length: 2500 }, (_, index) => {
    const value = (index * index) % 7 < 3;
    return {
      function: code,
      address: index + 5 * Math.floor(index / 700),
      type: 'bit',
      order: 'ABCD',
      value,
      name: `f${code}_bit_${index}`,
    };
  });
}

const REGISTERS = [...cases(3), ...cases(4)];
const BITS = [...bits(1), ...bits(2).map((one) => ({ ...one, value: one.value !== true }))];
const UNITS = { [UNIT]: [...REGISTERS, ...BITS] };

let tcp: ModbusServer;
let rtuOverTcp: ModbusServer;
let serial: SerialServer;

before(async () => {
  [tcp, rtuOverTcp, serial] = await Promise.all([
    startModbusServer({ units: UNITS }),
    startModbusServer({ units: UNITS, kind: 'rtu-tcp' }),
    startSerialServer(UNITS),
  ]);
});
after(async () => {
  await Promise.all([tcp, rtuOverTcp, serial].map((server) => server?.stop()));
});

const TRANSPORTS: { readonly [name: string]: () => object } = {
  'Modbus TCP': () => ({ host: '127.0.0.1', port: tcp.port }),
  'RTU over TCP': () => ({ host: '127.0.0.1', port: rtuOverTcp.port, framing: 'rtu' }),
  'RTU on a serial line': () => ({ serial: { path: serial.path, baud_rate: 115_200, parity: 'none' } }),
};

for (const [name, place] of Object.entries(TRANSPORTS)) {
  test(`${name}: all types in all orders, functions 3 and 4`, async () => {
    const registers = REGISTERS.map(({ name: extra, function: code, address, type, order }) => {
      return { extra, function: code, address, type, order };
    });
    const sample = await firstSample({ ...place(), registers });
    for (const { name: extra, value } of REGISTERS) assert.equal(sample[extra], Number(value), extra);
  });

  test(`${name}: bits, functions 1 and 2`, async () => {
    for (const some of [BITS.slice(0, 1500), BITS.slice(2500, 4000), BITS.slice(4990)]) {
      const registers = some.map(({ name: extra, function: code, address }) => ({ extra, function: code, address }));
      const sample = await firstSample({ ...place(), registers });
      for (const { name: extra, value } of some) assert.equal(sample[extra], value, extra);
    }
  });
}

test('an order of the sensor holds for registers that name none, and a base of 1 shifts the numbers', async () => {
  const wanted = REGISTERS.filter(({ order, function: code }) => order === 'DCBA' && code === 4);
  const registers = wanted.map(({ name: extra, address, type }) => ({ extra, address: address + 1, type }));
  const sample = await firstSample({
    host: '127.0.0.1',
    port: tcp.port,
    function: 4,
    order: 'DCBA',
    address_base: 1,
    registers,
  });
  for (const { name: extra, value } of wanted) assert.equal(sample[extra], Number(value), extra);
});

async function firstSample(config: object): Promise<Record<string, unknown>> {
  const running = new Running(create(schema.parse({ unit_id: UNIT, ...config })));
  await until(() => running.gateway.samples.length > 0 || running.errors.length > 0);
  await running.stop();
  assert.equal(running.lastError, '');
  return { ...running.gateway.samples[0] };
}
