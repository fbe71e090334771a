/** `millwright probe modbus` as a person runs it, against pymodbus. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ModbusServer, type SerialServer, startModbusServer, startSerialServer } from '../support/modbus.ts';
import { Command, freePort, waitUntil } from '../support/system.ts';

const VALUES = [230.1, 231.4, 0, 229.8];
const UNITS = {
  3: [
    ...VALUES.map((value, index) => {
      return { function: 3, address: 100 + index * 2, type: 'float32', order: 'CDAB', value };
    }),
    { function: 1, address: 4, type: 'bit', value: true },
  ],
  17: [{ function: 3, address: 0, type: 'uint16', value: 1 }],
};

let server: ModbusServer;
let serial: SerialServer;

before(async () => {
  [server, serial] = await Promise.all([startModbusServer({ units: UNITS }), startSerialServer(UNITS)]);
});
after(async () => {
  await Promise.all([server?.stop(), serial?.stop()]);
});

async function probe(...args: string[]): Promise<{ code: number | null; said: string }> {
  const command = new Command(['probe', 'modbus', ...args]);
  const code = await command.exited();
  return { code, said: command.said };
}

const here = (): string[] => ['127.0.0.1', '--port', String(server.port)];
const line = (): string[] => ['--serial', serial.path, '--baud-rate', '115200', '--parity', 'none'];

for (const [name, place] of Object.entries({ TCP: here, 'a serial line': line })) {
  test(`over ${name}: every register in all types and orders, and what it looks like`, async () => {
    const { code, said } = await probe(...place(), '--unit', '3', '--register', '101', '--count', '9', '--base', '1');
    assert.equal(code, 0, said);
    assert.match(said, /^unit 3 at .*, holding registers 101 to 109 \(function 3, numbered from 1\)$/m);
    assert.match(said, /^101 {2}0x199A {2}0001 1001 1001 1010$/m);
    assert.match(said, /^ +ABCD +CDAB +BADC +DCBA$/m);
    for (const type of ['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64']) {
      assert.match(said, new RegExp(`^  ${type} `, 'm'));
    }
    assert.match(said, /^ {2}float32 +\S+ +230\.1 \* /m);
    assert.match(said, /looks most like\n {2}float32 in order CDAB from 101 on: 230\.1, 231\.4, 0, 229\.8 \(3 of 4\)/);
    assert.match(said, /^109 {2}exception 2, illegal data address/m);
  });

  test(`over ${name}: --scan finds the units`, async () => {
    const { code, said } = await probe(...place(), '--scan', '--units', '1-20', '--timeout', '100ms');
    assert.equal(code, 0, said);
    assert.match(said, /^unit 3: exception 2, illegal data address/m);
    assert.match(said, /^unit 17: has holding register 0$/m);
    assert.equal(said.match(/^unit /gm)?.length, 2);
  });
}

test('bits are shown one by one', async () => {
  const { said } = await probe(...here(), '--unit', '3', '--function', '1', '--register', '4', '--count', '1');
  assert.match(said, /^unit 3 at .*, coil 4 .*\n\n4 {2}1\n$/);
});

test('what is wrong is said in a sentence', async () => {
  const silent = await probe(...here(), '--unit', '4', '--timeout', '50ms');
  assert.equal(silent.code, 1);
  assert.match(silent.said, /unit 4 did not answer within 50 ms; --scan shows which units there are/);
  const port = String(await freePort());
  const closed = await probe('127.0.0.1', '--port', port);
  assert.equal(closed.code, 1);
  assert.match(closed.said, new RegExp(`cannot connect to 127.0.0.1:${port}`));
  const nowhere = await probe();
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.said, /give a host, or --serial/);
  const wrong = await probe(...here(), '--function', '6');
  assert.equal(wrong.code, 2);
  assert.match(wrong.said, /it is a whole number from 1 to 4/);
  const beyond = await probe(...here(), '--register', '65530', '--count', '10');
  assert.equal(beyond.code, 2);
  assert.match(beyond.said, /there is no 65539, numbered from 0/);
});

test('Ctrl-C ends a scan', async () => {
  const command = new Command(['probe', 'modbus', ...here(), '--scan', '--timeout', '1s']);
  await waitUntil('the first unit', () => (command.said.includes('unit 3:') ? true : undefined));
  assert.equal(await command.end('SIGINT'), 0);
  assert.doesNotMatch(command.said, /no unit/);
});
