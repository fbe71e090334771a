import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { systemClock } from '../../base/clock.ts';
import { createLogger, type Logger } from '../../base/logger.ts';
import { BATCH_BYTES_MAX } from '../../model/batch.ts';
import { decodeMessage } from '../../model/frame.ts';
import type { MachineEvent, Reading, ReadingKind } from '../../model/reading.ts';
import { timestampOf } from '../../model/time.ts';
import {
  APPENDS_MAX,
  type Appendable,
  Batcher,
  ROOM_READINGS_MAX,
  WAITING_BYTES_HARD_MAX,
  WAITING_READINGS_MAX,
} from './batcher.ts';

/** A log in memory that can be made to refuse, or to take its time. */
class MemoryLog implements Appendable {
  readonly batches: Reading[][] = [];
  readonly sizes: number[] = [];
  failing = false;
  refused: ReadingKind | undefined;
  held: (() => void)[] | undefined;

  /** What may be on its way to the log. */
  roomBytes: number = Number.POSITIVE_INFINITY;

  refuses(kind: ReadingKind, waitingBytes: number): boolean {
    return kind === this.refused || waitingBytes > this.roomBytes;
  }

  async append(payload: Uint8Array, readings: number): Promise<number> {
    if (this.held !== undefined) await new Promise<void>((resolve) => this.held?.push(resolve));
    if (this.failing) throw new Error('not written', { cause: new Error('no space left') });
    const decoded = decodeMessage(payload);
    assert.equal(decoded.faults.length, 0);
    assert.equal(decoded.readings.length, readings);
    this.batches.push(decoded.readings);
    this.sizes.push(payload.length);
    return this.batches.length;
  }

  get readings(): Reading[] {
    return this.batches.flat();
  }
}

interface Setup {
  readonly log: MemoryLog;
  readonly batcher: Batcher;
  readonly lines: { level: string; message: string }[];
}

function setup(options: { readingsMax?: number; delayMs?: number } = {}): Setup {
  const lines: { level: string; message: string }[] = [];
  const logger: Logger = createLogger({
    level: 'debug',
    pretty: false,
    write: (line) => lines.push(JSON.parse(line)),
    now: () => '',
  });
  const log = new MemoryLog();
  const { readingsMax = 100, delayMs = 200 } = options;
  const batcher = new Batcher({ log, readingsMax, delayMs, clock: systemClock, random: () => 0, logger });
  return { log, batcher, lines };
}

function sample(index: number, extra = ''): Reading {
  return { machine_id: `CNC-${index % 3}`, timestamp: timestampOf(1.7e15 + index), temperature: index, note: extra };
}

function event(index: number, text = ''): Reading {
  return { machine_id: 'CNC-0', timestamp: timestampOf(1.7e15 + index), kind: 'event', event_type: 'message', text };
}

function isGap(reading: Reading): reading is MachineEvent {
  return reading.kind === 'event' && reading.event_type === 'gap';
}

const never = new AbortController().signal;

test('a batch is closed at its number of readings, in order', async () => {
  const { log, batcher } = setup({ readingsMax: 10, delayMs: 60_000 });
  const readings = Array.from({ length: 25 }, (_, index) => sample(index, 'Grüße €'));
  for (const reading of readings) batcher.accept(reading);
  assert.equal(await batcher.drain(never), 0);
  assert.deepEqual(
    log.batches.map((batch) => batch.length),
    [10, 10, 5],
  );
  assert.deepEqual(log.readings, readings);
});

test('a batch is closed when its first reading has waited long enough', async () => {
  const { log, batcher } = setup({ delayMs: 60 });
  const startedMs = performance.now();
  batcher.accept(sample(1));
  await until(() => log.batches.length === 1);
  const waitedMs = performance.now() - startedMs;
  assert.ok(waitedMs >= 58, `${waitedMs} ms`);
  batcher.accept(sample(2));
  await until(() => log.batches.length === 2);
  await batcher.drain(never);
});

test('events go at once, with what is before them, and those of one moment together', async () => {
  const { log, batcher } = setup({ delayMs: 60_000 });
  batcher.accept(sample(1));
  batcher.accept(event(2));
  batcher.accept(event(3));
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.resolve();
  assert.deepEqual(log.batches, [[sample(1), event(2), event(3)]]);
  await batcher.drain(never);
});

test('a batch stays within its bytes', async () => {
  const { log, batcher } = setup();
  const long = 'x'.repeat(900_000);
  for (let index = 0; index < 8; index += 1) batcher.accept(sample(index, long));
  await batcher.drain(never);
  assert.equal(log.readings.length, 8);
  assert.ok(Math.max(...log.sizes) <= BATCH_BYTES_MAX);
  assert.ok(log.batches.length <= 4, 'batches are well filled');
});

test('a reading that no frame holds is lost alone, and told', async () => {
  const { log, batcher, lines } = setup();
  batcher.accept(sample(0));
  batcher.accept(sample(1, 'x'.repeat(1_100_000)));
  batcher.accept(sample(1, 'ü'.repeat(600_000)));
  batcher.accept(sample(2));
  batcher.flush();
  await until(() => log.batches.length === 2);
  await batcher.drain(never);
  assert.deepEqual(log.batches[0], [sample(0), sample(2)]);
  assert.equal(batcher.losses, 2);
  assert.equal(log.batches[1]?.[0]?.machine_id, 'CNC-1');
  assert.ok(lines.some((line) => line.level === 'error'));
});

test('what the log refuses is kept and appended again, all of it, in order', async () => {
  const { log, batcher, lines } = setup({ readingsMax: 10 });
  log.failing = true;
  for (let index = 0; index < 500; index += 1) batcher.accept(sample(index));
  await until(() => batcher.lastError !== null);
  assert.equal(batcher.lastError, 'not written: no space left');
  assert.equal(batcher.waitingReadings, 500);
  log.failing = false;
  await until(() => batcher.waitingReadings === 0);
  assert.deepEqual(
    log.readings.map((reading) => reading['temperature' as keyof Reading]),
    Array.from({ length: 500 }, (_, index) => index),
  );
  assert.equal(batcher.losses, 0);
  assert.equal(batcher.lastError, null);
  assert.equal(lines.filter((line) => line.level === 'warn').length, 1, 'told once');
  await batcher.drain(never);
});

test('while the log is slow only so many appends are under way', async () => {
  const { log, batcher } = setup({ readingsMax: 1 });
  log.held = [];
  for (let index = 0; index < 100; index += 1) batcher.accept(sample(index));
  assert.equal(log.held.length, APPENDS_MAX);
  const held = log.held;
  log.held = undefined;
  for (const release of held) release();
  assert.equal(await batcher.drain(never), 0);
  assert.equal(log.readings.length, 100);
});

test('kept: all that was accepted before is in the log, also what it refused at first', async () => {
  const { log, batcher } = setup({ delayMs: 60_000 });
  await batcher.kept();
  batcher.accept(sample(1));
  log.held = [];
  const order: string[] = [];
  const first = batcher.kept().then(() => order.push(`first at ${log.readings.length}`));
  batcher.accept(sample(2));
  batcher.accept(sample(3));
  const second = batcher.kept().then(() => order.push(`second at ${log.readings.length}`));
  log.failing = true;
  const held = log.held;
  log.held = undefined;
  held[0]?.();
  await until(() => batcher.lastError !== null);
  assert.equal(order.length, 0);
  log.failing = false;
  for (const release of held.slice(1)) release();
  await Promise.all([first, second]);
  assert.equal(log.readings.length, 3);
  assert.ok(order.includes('first at 3'), order.join());
});

test('kept: what had to be given up is not waited for', async () => {
  const { log, batcher } = setup();
  log.failing = true;
  const text = 'x'.repeat(4_000);
  const kept: Promise<unknown>[] = [];
  for (let index = 0; batcher.losses === 0; index += 1) {
    batcher.accept(event(index, text));
    if (index === 0) kept.push(batcher.kept());
  }
  log.failing = false;
  await Promise.all(kept);
});

test('beyond the limit older samples are merged, no value and no event is lost, and gap events say so', async () => {
  const { log, batcher, lines } = setup();
  log.failing = true;
  const surplus = 3_000;
  // Said once, by a machine that reports on change, and then never again.
  const once = APPENDS_MAX * 100 + 7;
  for (let index = 0; index < WAITING_READINGS_MAX + surplus; index += 1) {
    const change: Reading = { machine_id: 'CNC-1', timestamp: timestampOf(1.7e15 + index), tool: 'T17' };
    batcher.accept(index === once ? change : index % 1_000 === 500 ? event(index) : sample(index));
  }
  batcher.flush();
  assert.ok(batcher.waitingReadings <= WAITING_READINGS_MAX);
  const { losses } = batcher;
  assert.ok(losses >= surplus, `${losses} merged`);
  log.failing = false;
  await until(() => log.readings.some(isGap));
  await batcher.drain(never);
  const messages = log.readings.filter((reading) => reading.kind === 'event' && reading.event_type === 'message');
  assert.equal(messages.length, (WAITING_READINGS_MAX + surplus) / 1_000, 'no event is lost');
  assert.equal(log.readings.filter((reading) => 'tool' in reading && reading.tool === 'T17').length, 1);
  const weights = log.readings.map((reading) => ('sampling_factor' in reading ? reading.sampling_factor : 1));
  const gapCount = log.readings.filter(isGap).length;
  assert.equal(weights.reduce((sum, weight) => sum + weight, 0) - gapCount, WAITING_READINGS_MAX + surplus);
  const gaps = log.readings.filter(isGap);
  assert.deepEqual(gaps.map((gap) => gap.machine_id).toSorted(), ['CNC-0', 'CNC-1', 'CNC-2']);
  let told = 0;
  for (const gap of gaps) {
    const { start_time, end_time, readings } = gap.details ?? {};
    told += Number(readings);
    assert.ok(typeof start_time === 'string' && typeof end_time === 'string');
    assert.ok(start_time < timestampOf(1.7e15 + APPENDS_MAX * 100 + 3), 'what was under way is not dropped');
    assert.ok(end_time > timestampOf(1.7e15 + surplus - 100));
  }
  assert.equal(told, losses);
  assert.equal(log.readings.length - gaps.length + losses, WAITING_READINGS_MAX + surplus);
  assert.ok(lines.some((line) => line.level === 'error'));
});

test('events alone may take more room, but not all there is', async () => {
  const { log, batcher } = setup();
  log.failing = true;
  const text = 'x'.repeat(4_000);
  const count = Math.ceil((WAITING_BYTES_HARD_MAX * 1.2) / text.length);
  for (let index = 0; index < count; index += 1) batcher.accept(event(index, text));
  batcher.flush();
  assert.ok(batcher.losses > 0 && batcher.losses < count * 0.4, `${batcher.losses} of ${count} lost`);
  log.failing = false;
  await until(() => log.readings.some(isGap));
  await batcher.drain(never);
});

test('a drain that may not wait says what is not in the log', async () => {
  const { log, batcher } = setup();
  log.failing = true;
  batcher.accept(sample(1));
  batcher.accept(sample(2));
  assert.equal(await batcher.drain(AbortSignal.timeout(30)), 2);
});

test('the time from emit to durable is measured for each reading', async () => {
  const { batcher } = setup({ readingsMax: 5 });
  for (let index = 0; index < 10; index += 1) batcher.accept(sample(index));
  await batcher.drain(never);
  const latency = batcher.metrics().find((metric) => metric.name === 'millwright_append_latency_seconds');
  assert.equal(latency?.points.find((point) => point.suffix === '_count')?.value, 10);
});

test('a source that can wait is made to while the log does not keep up, and loses nothing', async () => {
  const { log, batcher } = setup();
  assert.equal(batcher.room(), undefined);
  log.held = [];
  let given = 0;
  for (; batcher.room() === undefined; given += 1) batcher.accept(sample(given));
  assert.ok(given > ROOM_READINGS_MAX && given <= ROOM_READINGS_MAX + 100, `${given}`);
  const room = batcher.room();
  assert.equal(batcher.room(), room, 'all sources share one wait');
  const held = log.held;
  log.held = undefined;
  for (const release of held) release();
  await room;
  assert.equal(batcher.room(), undefined);
  assert.equal(await batcher.drain(never), 0);
  assert.equal(log.readings.length, given);
  assert.equal(batcher.losses, 0);
});

test('a reading that no hub would understand does not hang what must be given up', async () => {
  const { log, batcher } = setup();
  log.failing = true;
  const broken: Reading = { machine_id: 'CNC-1', timestamp: 'yesterday', kind: 'event', event_type: 'message' };
  const text = 'x'.repeat(4_000);
  const count = Math.ceil((WAITING_BYTES_HARD_MAX * 1.2) / text.length);
  for (let index = 0; index < count; index += 1) batcher.accept(index % 50 === 0 ? broken : event(index, text));
  batcher.flush();
  assert.ok(batcher.losses > 0);
  assert.equal(batcher.readings, batcher.waitingReadings + batcher.losses);
  await batcher.drain(AbortSignal.timeout(1));
});

test('after a stall the next one begins with narrow intervals again', async () => {
  const { log, batcher } = setup();
  for (let stall = 0; stall < 2; stall += 1) {
    log.held = [];
    const start = stall * 10 * WAITING_READINGS_MAX;
    // One machine at 10 Hz, for so long that all of it waits.
    for (let index = 0; index < WAITING_READINGS_MAX * 1.2; index += 1) {
      const timestamp = timestampOf(1.7e15 + (start + index) * 100_000);
      batcher.accept({ machine_id: 'CNC-0', timestamp, temperature: index });
    }
    const { held } = log;
    log.held = undefined;
    for (const release of held) release();
    await until(() => batcher.waitingReadings === 0);
  }
  const factors = log.readings.map((reading) => ('sampling_factor' in reading ? (reading.sampling_factor ?? 1) : 1));
  assert.equal(Math.max(...factors), 2, 'the narrowest intervals were enough both times');
  await batcher.drain(never);
});

test('what is on its way to the log counts to what it holds, so it is not taken beyond its limit', async () => {
  const { log, batcher } = setup({ readingsMax: 10, delayMs: 60_000 });
  log.roomBytes = 5_000;
  log.held = [];
  for (let index = 0; index < 1_000; index += 1) batcher.accept(sample(index));
  const took = 1_000 - batcher.losses;
  log.held.splice(0).forEach((goOn) => goOn());
  log.held = undefined;
  await batcher.drain(never);
  const bytes = log.sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(took > 10 && bytes > 4_000 && bytes < 6_500, `${took} readings, ${bytes} bytes`);
});
