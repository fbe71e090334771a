import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { type Batch, readingOfBatch } from '../../model/batch.ts';
import { encodeFrame } from '../../model/frame.ts';
import { DeadLetters, refusedOf } from './dead-letters.ts';

function setup(context: TestContext, bytesMax?: number): { letters: DeadLetters; file: string; old: string } {
  const logFolder = mkdtempSync(join(tmpdir(), 'millwright-letters-'));
  context.after(() => rmSync(logFolder, { recursive: true }));
  const common = { logFolder, sink: 'hub/1.old', files: nodeFiles, clock: systemClock, logger: silentLogger };
  const letters = new DeadLetters(bytesMax === undefined ? common : { ...common, bytesMax });
  const folder = join(logFolder, 'dead-letters');
  return { letters, file: join(folder, 'hub%2F1%2Eold.ndjson'), old: join(folder, 'hub%2F1%2Eold.old.ndjson') };
}

function refused(sequence: number, bytes = 10): { batch: Batch; reason: string } {
  const payload = new Uint8Array(bytes).fill(sequence);
  return { batch: { gatewayId: 'gw', epoch: 'e', sequence, readings: 2, payload }, reason: `HTTP 400: "${sequence}"` };
}

function lines(file: string): { sequence: number; [key: string]: unknown }[] {
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('a refused batch is kept with reason, identity and bytes, after those before it', async (context) => {
  const { letters, file } = setup(context);
  await letters.keep([refused(1), refused(2)]);
  await letters.keep([refused(3)]);
  const [first, , third] = lines(file);
  assert.deepEqual(first, {
    time: first?.['time'],
    reason: 'HTTP 400: "1"',
    gateway_id: 'gw',
    epoch: 'e',
    sequence: 1,
    readings: 2,
    payload_base64: Buffer.alloc(10, 1).toString('base64'),
  });
  assert.equal(third?.sequence, 3);
});

test('a line that a crash has cut short is cut off, however long it is', async (context) => {
  const { letters, file } = setup(context);
  await letters.keep([refused(1)]);
  appendFileSync(file, `{"time":"${'x'.repeat(200_000)}`);
  await letters.keep([refused(2)]);
  assert.deepEqual(
    lines(file).map((line) => line.sequence),
    [1, 2],
  );
});

test('a file that is full is put aside, and only the one before it is lost', async (context) => {
  const { letters, file, old } = setup(context, 1_000);
  for (let sequence = 1; sequence <= 5; sequence += 1) await letters.keep([refused(sequence, 400)]);
  assert.deepEqual(
    [...lines(old), ...lines(file)].map((line) => line.sequence),
    [3, 4, 5],
  );
  await letters.keep([refused(6, 400)]);
  assert.equal(existsSync(file), false);
});

test('of a batch whose second reading is refused, just that one is kept, with its place', async (context) => {
  const { letters, file } = setup(context);
  const frames = [1, 2, 3].map((number) => encodeFrame({ number }));
  const batch = { gatewayId: 'gw', epoch: 'e', sequence: 7, readings: 3, payload: Buffer.concat(frames) };
  const kept = refusedOf([batch], [{ sequence: 7, index: 1, reason: 'too long' }]);
  await letters.keep(kept);
  const [line] = lines(file);
  assert.equal(line?.sequence, 7);
  assert.equal(line['index'], 1);
  assert.equal(line['readings'], 1);
  assert.equal(line['payload_base64'], Buffer.from(frames[1]!).toString('base64'));
  // Refused again in a replay, it is the same one.
  const again = kept[0]!.batch;
  assert.deepEqual(refusedOf([again], [{ sequence: 7, index: 1, reason: 'still' }]), [
    { batch: again, reason: 'still' },
  ]);
  const twice = { sequence: 7, index: 1, reason: 'still' };
  assert.equal(refusedOf([again, again], [twice, twice]).length, 1, 'two letters about one reading become one');
  assert.equal(readingOfBatch(again, 0), undefined);
  assert.deepEqual(refusedOf([batch], [{ sequence: 7, index: 3, reason: 'there is no such one' }]), []);
});
