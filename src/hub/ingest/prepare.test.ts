import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame } from '../../model/frame.ts';
import type { Reading } from '../../model/reading.ts';
import { COPY_TABLES, type EncodedRows, RowEncoder } from '../store/rows.ts';
import { type Message, prepare } from './prepare.ts';

/** An encoder with a defect: it fails in the midst of a row of one machine. */
class FaultyEncoder extends RowEncoder {
  override add(reading: Reading): void {
    super.add(reading);
    if (reading.machine_id === 'BAD') throw new RangeError('offset is out of bounds');
  }
}

function message(sequence: number, ...machines: string[]): Message {
  const readings = machines.map((machine_id) => encodeFrame({ machine_id, timestamp: '2026-01-01T08:00:00.000000Z' }));
  return { identity: { kind: 'batch', gatewayId: 'gw', epoch: 'e', sequence }, payload: Buffer.concat(readings) };
}

function bytesOf(rows: EncodedRows): Buffer[] {
  return COPY_TABLES.map((table) => Buffer.concat(rows[table] ?? []));
}

test('a message at which the hub itself fails is one dead letter, and all others are as if it had been refused', () => {
  const messages = [message(1, 'A', 'B'), message(2, 'C', 'BAD', 'D'), message(3, 'E')];
  const encoder = new FaultyEncoder();
  const { parcels, rows, changes } = prepare(messages, encoder, () => false);
  assert.deepEqual(
    parcels.map(({ readings, deadLetters }) => [readings, deadLetters]),
    [
      [2, 0],
      [0, 1],
      [1, 0],
    ],
  );
  const fault = 'the hub fails at it, by a defect of its own: offset is out of bounds';
  assert.deepEqual(parcels[1]?.refused, [{ place: 'batch gw/e/2, byte 0', reason: fault }]);
  assert.deepEqual([...changes.keys()], ['A', 'B', 'E']);
  const refused = messages.map((one, index) => (index === 1 ? { ...one, fault } : one));
  assert.deepEqual(bytesOf(rows), bytesOf(prepare(refused, new RowEncoder(), () => false).rows));
  assert.deepEqual(encoder.take(), {});
});
