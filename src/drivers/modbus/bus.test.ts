import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { hasCode, messageOf } from '../../base/errors.ts';
import { Bus } from './bus.ts';
import { encodeRtu } from './framing.ts';
import type { PortEvents } from './port.ts';

const REQUEST = { function: 3, address: 0, count: 1 } as const;
const ANSWER = encodeRtu(1, Buffer.from([3, 2, 0, 7]));

test('a line that is never silent is told after a time, and read when it is silent again', async () => {
  let nowMs = 0;
  let isNoisy = true;
  let line: PortEvents | undefined;
  const clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
      // A wait for an answer ends with the answer.
      if (signal?.aborted === true) return;
      nowMs += ms;
      if (isNoisy) line?.data(Buffer.from('x'));
    },
  };
  const bus = new Bus({
    place: '/dev/ttyUSB0',
    framing: 'rtu',
    parallel: 1,
    baudRate: 19_200,
    clock,
    open: async (events) => {
      line = events;
      events.data(Buffer.from('x'));
      return { write: () => events.data(ANSWER), close: async () => {} };
    },
  });
  const ask = { unit: 1, request: REQUEST, timeoutMs: 100, signal: new AbortController().signal };
  await assert.rejects(bus.read(ask), (error) => {
    assert.equal(messageOf(error), 'the line /dev/ttyUSB0 is never silent');
    return hasCode(error, 'protocol_violation');
  });
  assert.ok(nowMs > 100 && nowMs < 1_000);
  isNoisy = false;
  assert.equal((await bus.read(ask)).readUInt16BE(0), 7);
  await bus.close();
});
