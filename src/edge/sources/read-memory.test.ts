import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeFiles } from '../../base/node-files.ts';
import { encodeFrame } from '../../model/frame.ts';
import { withReadFrom } from '../../model/read-from.ts';
import type { Reading } from '../../model/reading.ts';
import { Holds, readMemory } from './read-memory.ts';

const ORIGIN = { machine_id: 'CMM-1', timestamp: '2026-01-01T08:00:00Z' };

function marked(source: string, mark: string, kind: 'sample' | 'event' = 'sample'): Reading {
  const event = { kind: 'event', event_type: 'message', text: 'x', details: { a: 1 } } as const;
  const reading: Reading = kind === 'event' ? { ...ORIGIN, ...event } : { ...ORIGIN, temperature: 1 };
  return withReadFrom(reading, { source, file: 'a.csv', row: 1, mark });
}

test('all batches are held until the sources are known, then what each of them says', () => {
  const holds = new Holds();
  assert.equal(holds.after, 0);
  holds.set('a', 0);
  holds.sourcesAreKnown();
  holds.set('b', 7);
  assert.equal(holds.after, 0);
  holds.set('a', 9);
  assert.equal(holds.after, 7);
  holds.set('a', null);
  holds.set('b', null);
  assert.equal(holds.after, Infinity);
});

test('the marks of a source are found in the batches after a sequence, those of others are not', async () => {
  const batches = [
    [marked('cmm', 'one')],
    [{ ...ORIGIN, temperature: 2 }],
    [marked('other', 'x'), marked('cmm', 'two', 'event'), { ...ORIGIN, note: 'read_from' }],
    [marked('cmm', 'three')],
  ].map((readings, index) => ({
    sequence: index + 1,
    payload: Buffer.concat(readings.map((reading) => encodeFrame(reading))),
  }));
  const log = {
    lastSequence: batches.length,
    // Two at a time.
    read: (from: number) => Promise.resolve(batches.filter(({ sequence }) => sequence >= from).slice(0, 2) as never[]),
  };
  const holds = new Holds();
  const memory = readMemory({ source: 'cmm', logFolder: '/l', files: nodeFiles, log, holds, kept: async () => {} });
  const after = (sequence: number): Promise<string[]> => Array.fromAsync(memory.marksAfter(sequence));
  assert.deepEqual(await after(0), ['one', 'two', 'three']);
  assert.deepEqual(await after(1), ['two', 'three']);
  assert.deepEqual(await after(4), []);
  assert.equal(memory.folder, '/l/sources/cmm');
  holds.sourcesAreKnown();
  assert.equal(holds.after, 0, 'from the start until it says otherwise');
});
