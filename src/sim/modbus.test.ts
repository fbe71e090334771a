import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { machineAt } from './machine.ts';
import { type ModbusMachines, startModbusMachines } from './modbus.ts';

let machines: ModbusMachines;
before(async () => {
  const clock = new ManualClock('2026-01-01T08:00:00.000000Z');
  machines = await startModbusMachines({ host: '127.0.0.1', port: 0, machines: 2, clock, log: silentLogger });
});
after(() => machines.close());

/** The answer to a request in hexadecimal; empty when the connection is closed instead. */
async function ask(request: string): Promise<Buffer> {
  const socket = connect(machines.port, '127.0.0.1');
  socket.write(Buffer.from(request, 'hex'));
  const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [Buffer.alloc(0)])]);
  socket.destroy();
  return answer;
}

test('a machine is in its registers', async () => {
  const values = machineAt({ seed: 2, phaseSeconds: 17 }, 0);
  const answer = await ask('0007 0000 0006 02 03 0000 0016'.replaceAll(' ', ''));
  assert.equal(answer.subarray(0, 9).toString('hex'), '00070000002f02032c');
  const data = answer.subarray(9);
  assert.equal(data.readUInt16BE(0), 2);
  assert.equal(data.readInt32BE(4), values.programLine);
  assert.equal(data.readFloatBE(12), Math.fround(values.spindleSpeedRpm));
  assert.equal(data.readFloatBE(36), Math.fround(values.temperatureC));
  assert.equal(data.readFloatBE(40), Math.fround(values.powerKw));
});

test('what is not there is answered as the standard says', async () => {
  assert.equal((await ask('000100000006010400000001')).toString('hex'), '000100000003018401');
  assert.equal((await ask('000100000006010300150002')).toString('hex'), '000100000003018302');
  assert.equal((await ask('00010000000601030000007e')).toString('hex'), '000100000003018303');
  assert.equal((await ask('474554202f20485454502f31')).length, 0);
});

test('a unit that is not there does not answer', async () => {
  const both = await ask(['000100000006030300000001', '000200000006010300000001'].join(''));
  assert.equal(both.subarray(0, 2).toString('hex'), '0002');
});
