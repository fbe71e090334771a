import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { type ServedUnits, startModbusServer, startSerialServer } from '../../../test/support/modbus.ts';
import { freePort } from '../../../test/support/system.ts';
import { until } from '../../../test/support/until.ts';
import { hasCode, messageOf } from '../../base/errors.ts';
import { decodeReading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import { Running } from '../../ports/driver.test-support.ts';
import type { Driver } from '../../ports/driver.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import { crc16, encodeTcp } from './framing.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

async function serve(units: ServedUnits): Promise<number> {
  const server = await startModbusServer({ units });
  cleanup.push(() => server.stop());
  return server.port;
}

function driver(config: object): Driver {
  return create(schema.parse(config));
}

function run(config: object, options: ConstructorParameters<typeof Running>[1] = {}): Running {
  const running = new Running(driver({ host: '127.0.0.1', ...config }), options);
  cleanup.push(() => running.stop());
  return running;
}

const uint16 = (address: number, value: number) => ({ function: 3, address, type: 'uint16', value });
const exception = (address: number, value: number) => ({ function: 3, address, type: 'exception', value });
const extra = (name: string, address: number) => ({ extra: name, address, type: 'uint16' });

test('a sample has every field, in the units of the standard signals, and is valid on the wire', async () => {
  const port = await serve({
    1: [
      { function: 3, address: 10, type: 'float32', order: 'CDAB', value: 5120.5 },
      { function: 3, address: 20, type: 'int32', value: -41 },
      { function: 4, address: 20, type: 'int16', value: 451 },
      { function: 1, address: 3, type: 'bit', value: true },
      uint16(30, 0b10000),
    ],
  });
  const registers = [
    { signal: 'total_power_kw', address: 10, type: 'float32', order: 'CDAB', unit: 'W' },
    { signal: 'active_program_line', address: 20, type: 'int32' },
    { signal: 'temperature', function: 4, address: 20, type: 'int16', scale: 0.1 },
    { extra: 'door_open', function: 1, address: 3 },
    { extra: 'pump', address: 30, bit: 4 },
    { extra: 'fan', address: 30, bit: 5 },
  ];
  const { gateway } = run({ port, registers });
  await until(() => gateway.samples.length > 2);
  const [first] = gateway.samples;
  assert.ok(first !== undefined && 'reading' in decodeReading(structuredClone(first)));
  const { timestamp: _time, ...rest } = first;
  assert.deepEqual(rest, {
    machine_id: 'M-1',
    total_power_kw: 5.1205,
    active_program_line: -41,
    temperature: 45.1,
    door_open: true,
    pump: true,
    fan: false,
  });
  assert.equal(gateway.connections, 1);
});

test('a float that is none is not known', async () => {
  const port = await serve({
    1: ['nan', 'inf'].map((value, index) => ({ function: 3, address: index * 2, type: 'float32', value })),
  });
  const registers = [
    { signal: 'temperature', address: 0, type: 'float32' },
    { extra: 'other', address: 2, type: 'float32' },
  ];
  const { gateway } = run({ port, registers });
  await until(() => gateway.samples.length > 0);
  assert.equal(gateway.samples[0]?.temperature, null);
  assert.equal(gateway.samples[0]?.['other'], null);
});

test("the machine's state comes from a register, with an event that says which", async () => {
  const port = await freePort();
  let server = await startModbusServer({ port, units: { 1: [uint16(0, 2)] } });
  cleanup.push(() => server.stop());
  const running = run({ port, profile: 'CNC', timeout: '200ms' }, { again: true });
  const { gateway } = running;
  await until(() => gateway.events.some(({ event_type }) => event_type === 'state'));
  const state = gateway.events.find(({ event_type }) => event_type === 'state');
  assert.deepEqual([state?.state, state?.text], ['running', 'holding register 0 is 2']);
  assert.equal(gateway.samples.find((one) => 'machine_state' in one)?.machine_state, 'running');
  await server.stop();
  await until(() => gateway.samples.at(-1)?.machine_state === 'offline');
  server = await startModbusServer({ port, units: { 1: [uint16(0, 4)] } });
  await until(() => gateway.samples.at(-1)?.machine_state === 'alarm');
  assert.equal(gateway.connections, 2);
});

test('fields with an interval of their own are read so often, all others with each sample', async () => {
  const port = await serve({ 1: [uint16(0, 1), uint16(1, 2)] });
  const registers = [extra('each', 0), { ...extra('tenth', 1), interval: '200ms' }];
  const { gateway } = run({ port, registers });
  await until(() => gateway.samples.filter((one) => 'tenth' in one).length >= 4);
  const all = gateway.samples;
  assert.ok(all.every((one) => one['each'] === 1));
  const times = all.filter((one) => 'tenth' in one).map((one) => microsOf(one.timestamp) / 1000);
  assert.ok(all.length >= times.length * 3, `${all.length} samples, of them with the slow field ${times.length}`);
});

for (const kind of ['TCP', 'a serial line'] as const) {
  test(`over ${kind} eight units are read on beside one that never answers`, async () => {
    const units = Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8].map((unit) => [unit, [uint16(0, unit)]]));
    let place: object;
    if (kind === 'TCP') {
      place = { port: await serve(units) };
    } else {
      const serial = await startSerialServer(units);
      cleanup.push(() => serial.stop());
      place = { host: undefined, serial: { path: serial.path, baud_rate: 115_200, parity: 'none' } };
    }
    const config = { ...place, registers: [extra('value', 0)], timeout: '200ms' };
    const living = Object.keys(units).map((unit) => run({ ...config, unit_id: Number(unit) }));
    await until(() => living.every(({ gateway }) => gateway.samples.length > 0));
    // pymodbus throws away what comes together with a request to a unit that it has not: so seldom that no unit is given up.
    const silent = run({ ...config, unit_id: 99, timeout: '50ms' }, { again: true, againMs: 500 });
    for (const tries of [1, 2, 3]) {
      const before = living.map(({ gateway }) => gateway.samples.length);
      await until(() => living.every(({ gateway }, index) => gateway.samples.length > before[index]! + 2));
      await until(() => silent.errors.length >= tries);
    }
    for (const [index, { gateway }] of living.entries()) assert.equal(gateway.samples.at(-1)?.['value'], index + 1);
    assert.deepEqual(
      living.flatMap(({ errors }) => errors),
      [],
    );
    assert.match(silent.lastError, /unit 99 at \S+ cannot be read: unit 99 did not answer within 50 ms/);
  });
}

test('on a serial line a silent unit takes its own time, and units that answer go on', async () => {
  const serial = await startSerialServer({ 1: [uint16(0, 11)], 2: [uint16(0, 22)] });
  cleanup.push(() => serial.stop());
  const line = { host: undefined, serial: { path: serial.path, baud_rate: 115_200, parity: 'none' } };
  const config = { ...line, registers: [extra('value', 0)] };
  const [first, second] = [run({ ...config, unit_id: 1 }), run({ ...config, unit_id: 2 })];
  const dead = run({ ...config, unit_id: 3, timeout: '50ms' }, { again: true });
  await until(() => first.gateway.samples.length > 20 && second.gateway.samples.length > 20 && dead.errors.length > 2);
  assert.ok(first.gateway.samples.every((one) => one['value'] === 11));
  assert.ok(second.gateway.samples.every((one) => one['value'] === 22));
  assert.deepEqual([...first.errors, ...second.errors], []);
});

test('a serial line that is gone fails the source, and one that is in use with other settings is refused', async () => {
  const serial = await startSerialServer({ 1: [uint16(0, 11)] });
  cleanup.push(() => serial.stop());
  const config = { serial: { path: serial.path, parity: 'none' }, registers: [extra('value', 0)] };
  const running = new Running(driver(config));
  cleanup.push(() => running.stop());
  await until(() => running.gateway.samples.length > 1);
  const other = new Running(driver({ ...config, serial: { path: serial.path, parity: 'even' }, unit_id: 2 }));
  const refused = await other.failure();
  assert.ok(hasCode(refused, 'config_invalid') && /other settings/.test(refused.message), messageOf(refused));
  serial.cut();
  const lost = await running.failure();
  assert.ok(hasCode(lost, 'connection_failed'), messageOf(lost));
  assert.equal(running.gateway.samples.at(-1)?.['value'], null);
  const nowhere = new Running(driver({ ...config, serial: { path: '/dev/no-such-line' } }));
  assert.match(messageOf(await nowhere.failure()), /cannot open the serial line \/dev\/no-such-line: .*No such file/);
});

test('a register that is not there is found, told with its number, and the others are read', async () => {
  const there = [0, 1, 2, 3, 5, 6, 7].map((address) => uint16(address, address * 10));
  const port = await serve({ 1: there });
  const registers = [0, 1, 2, 3, 4, 5, 6, 7].map((address) => extra(`r${address}`, address + 1));
  const { gateway } = run({ port, registers, address_base: 1 });
  await until(() => gateway.samples.length > 5);
  const { machine_id: _machine, timestamp: _time, ...last } = gateway.samples.at(-1) ?? {};
  assert.deepEqual(last, { r0: 0, r1: 10, r2: 20, r3: 30, r5: 50, r6: 60, r7: 70 });
  assert.deepEqual([...gateway.problems.keys()], ['r4']);
  assert.match(gateway.problems.get('r4') ?? '', /^unit 1, holding register 5: exception 2, illegal data address/);
  const event = gateway.events.find(({ event_type }) => event_type === 'message');
  assert.deepEqual([event?.item, event?.text], ['r4', gateway.problems.get('r4')]);
});

test('a unit of which nothing can be read as configured is a fault of the configuration', async () => {
  const port = await serve({ 1: [uint16(0, 1)] });
  const running = run({ port, registers: [extra('a', 100), extra('b', 200)] });
  const failure = await running.failure();
  assert.ok(hasCode(failure, 'config_invalid'));
  assert.match(failure.message, /unit 1, holding register 100: exception 2, illegal data address.*; and 1 more/);
  assert.equal(running.gateway.connections, 0, 'or it would be connected and lost again at each try');
});

test('each exception is told with its meaning, and does not keep the other registers', async () => {
  const meanings: { readonly [code: number]: RegExp } = {
    1: /exception 1, illegal function/,
    3: /exception 3, illegal data value/,
    4: /exception 4, device failure/,
    5: /exception 5, acknowledge/,
    6: /exception 6, device busy/,
    8: /exception 8, memory parity/,
  };
  const codes = Object.keys(meanings).map(Number);
  const port = await serve({ 1: [uint16(0, 1), ...codes.map((code) => exception(code * 50, code))] });
  const registers = [extra('good', 0), ...codes.map((code) => extra(`bad_${code}`, code * 50))];
  const { gateway, errors } = run({ port, registers });
  await until(() => gateway.events.length >= codes.length && gateway.samples.length > 2);
  assert.equal(gateway.events.length, codes.length);
  for (const { item, text = '' } of gateway.events) {
    const code = Number(item?.slice('bad_'.length));
    assert.match(text, meanings[code] ?? /^$/);
    assert.ok(text.startsWith(`unit 1, holding register ${code * 50}: `), text);
  }
  assert.ok(gateway.samples.every((one) => one['good'] === 1 && Object.keys(one).length === 3));
  assert.deepEqual(errors, []);
});

test('a gateway that says that the unit is not there (11), or has no way to it (10), is a unit that does not answer', async () => {
  const behind = run({ port: await serve({ 1: [exception(0, 11)] }), registers: [extra('a', 0)] });
  assert.match(messageOf(await behind.failure()), /unit 1 at .* cannot be read: exception 11, gateway target/);
  const noWay = run({ port: await serve({ 1: [exception(0, 10)] }), registers: [extra('a', 0)] });
  assert.match(messageOf(await noWay.failure()), /unit 1 at .* cannot be read: exception 10, gateway path/);
});

/** A device whose answers a test writes: called with each request. */
class Device {
  readonly #server: Server = createServer((socket) => this.#take(socket));
  readonly sockets: Socket[] = [];
  requests = 0;
  answer: (request: Buffer, socket: Socket) => void = () => {};

  async listen(): Promise<number> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    cleanup.push(() => {
      for (const socket of this.sockets) socket.destroy();
      this.#server.close();
    });
    const address = this.#server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  #take(socket: Socket): void {
    this.sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (request: Buffer) => {
      this.requests += 1;
      this.answer(request, socket);
    });
  }
}

/** Between the driver and a real server: the answers of a connection, counted from 1, come so late. */
async function delayed(targetPort: number, delayMs: (count: number) => number): Promise<number> {
  const proxy = createServer((socket) => {
    let answers = 0;
    const target = connect(targetPort, '127.0.0.1');
    socket.on('error', () => {}).on('close', () => target.destroy());
    target.on('error', () => {}).on('close', () => socket.destroy());
    socket.pipe(target);
    target.on('data', (answer) => setTimeout(() => socket.write(answer), delayMs((answers += 1))));
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  cleanup.push(() => proxy.close());
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

test('an answer that comes after its time shifts no later value, over TCP and RTU', async () => {
  const units = { 1: [uint16(0, 100), uint16(50, 150), uint16(100, 200)] };
  const wanted: { readonly [name: string]: number } = { a: 100, b: 150, c: 200 };
  const registers = [extra('a', 0), extra('b', 50), extra('c', 100)];
  const read = async (kind: 'tcp' | 'rtu-tcp'): Promise<void> => {
    const server = await startModbusServer({ units, kind });
    cleanup.push(() => server.stop());
    let answers = 0;
    // Every fourth answer is later than the driver waits, and comes while another is awaited.
    const port = await delayed(server.port, (count) => ((answers = count) % 4 === 0 ? 230 : 0));
    const framing = kind === 'tcp' ? 'tcp' : 'rtu';
    const { gateway, errors } = run({ port, framing, timeout: '200ms', registers });
    await until(() => gateway.samples.length > 12);
    for (const { machine_id: _machine, timestamp: _time, ...values } of gateway.samples) {
      for (const [name, value] of Object.entries(values)) assert.equal(value, wanted[name], `${kind}: ${name}`);
    }
    assert.ok(answers > 20);
    assert.deepEqual(errors, []);
  };
  // Most of it is waiting.
  await Promise.all([read('tcp'), read('rtu-tcp')]);
});

test('a device that always answers too late is told to need a longer timeout', async () => {
  const server = await startModbusServer({ units: { 1: [uint16(0, 1)] } });
  cleanup.push(() => server.stop());
  const port = await delayed(server.port, (count) => (count === 1 ? 0 : 80));
  const running = run({ port, timeout: '50ms', registers: [extra('a', 0)] }, { again: true });
  await until(() => /did not answer within 50 ms; .* make timeout longer/.test(running.lastError));
});

test('an answer of another unit, or of another length, is not taken', async () => {
  const device = new Device();
  const port = await device.listen();
  device.answer = (request, socket) => {
    const unit = request.readUInt8(6);
    const isTurn = device.requests % 2 === 0;
    socket.write(encodeTcp(request.readUInt16BE(0), isTurn ? unit : unit + 1, Buffer.from([3, 2, 0, 9])));
  };
  const { gateway } = run({ port, registers: [extra('a', 0)] }, { again: true });
  await until(() => gateway.samples.length > 3);
  device.answer = (request, socket) => {
    socket.write(encodeTcp(request.readUInt16BE(0), request.readUInt8(6), Buffer.from([3, 4, 0, 9, 0, 9])));
  };
  const count = gateway.samples.length;
  await until(() => gateway.samples.at(-1)?.['a'] === null);
  assert.ok(gateway.samples.slice(0, count).every((one) => one['a'] === 9));
});

test('what is no Modbus ends the connection, and the next one is read', async () => {
  const device = new Device();
  const port = await device.listen();
  device.answer = (request, socket) => {
    if (device.requests === 3) socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    else socket.write(encodeTcp(request.readUInt16BE(0), 1, Buffer.from([3, 2, 0, 7])));
  };
  const running = run({ port, registers: [extra('a', 0)] }, { again: true });
  await until(() => running.gateway.samples.length > 5);
  assert.match(running.lastError, /no Modbus TCP/);
  assert.ok(device.sockets.length > 1);
});

test('noise and an echo on an RTU line are passed over', async () => {
  const device = new Device();
  const port = await device.listen();
  device.answer = (request, socket) => {
    const answer = Buffer.from([1, 3, 2, 0, 7, 0, 0]);
    answer.writeUInt16LE(crc16(answer.subarray(0, 5)), 5);
    const spoiled = Buffer.from(answer);
    spoiled.writeUInt8(8, 4);
    socket.write(Buffer.concat([Buffer.from([0, 1, 3, 255, 1, 3, 2]), request, spoiled]));
    socket.write(answer.subarray(0, 3));
    setImmediate(() => socket.write(answer.subarray(3)));
  };
  const { gateway, errors } = run({ port, framing: 'rtu', registers: [extra('a', 0)] });
  await until(() => gateway.samples.length > 5);
  assert.ok(gateway.samples.every((one) => one['a'] === 7));
  assert.deepEqual(errors, []);
});

test('a connection that is cut makes every field unknown, and is opened again', async () => {
  const device = new Device();
  const port = await device.listen();
  device.answer = (request, socket) => {
    if (device.requests === 4) socket.destroy();
    else socket.write(encodeTcp(request.readUInt16BE(0), 1, Buffer.from([3, 2, 0, 7])));
  };
  const running = run({ port, registers: [extra('a', 0)] }, { again: true });
  const { gateway } = running;
  await until(() => gateway.samples.length > 6);
  const values = gateway.samples.slice(0, 6).map((one) => one['a']);
  assert.deepEqual(values, [7, 7, 7, null, 7, 7]);
  assert.match(running.lastError, /closed the connection|broke/);
});

test('a host that cannot be reached is told with its address', async () => {
  const port = await freePort();
  const running = run({ port, registers: [extra('a', 0)] });
  assert.match(messageOf(await running.failure()), new RegExp(`cannot connect to 127.0.0.1:${port}: .*ECONNREFUSED`));
});
