import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Pressure, PressureMeter, type PressureName, QUEUE_AT_LIMIT, queueOf, type Usage } from './pressure.ts';

const INTERVAL_MS = 5_000;
const HORIZON_MS = 600_000;
const MB = 1_000_000;
const CAP = 1_000 * MB;

/** Measures once an interval; `at` gives the usage of each, numbered from 0. */
function measured(intervals: number, at: (interval: number) => Partial<Usage>, load = 1): readonly Pressure[] {
  const meter = new PressureMeter({ horizonMs: HORIZON_MS, cpuPercentMax: 50, memoryBytesMax: 200 * MB });
  let pressures: readonly Pressure[] = [];
  for (let interval = 0; interval < intervals; interval += 1) {
    const usage: Usage = {
      log: { bytes: 0, bytesAppended: 0, bytesMax: CAP, bytesPossible: null },
      waiting: { readings: 0, readingsMax: 20_000 },
      cpuMs: 0,
      memoryBytes: 70 * MB,
      ...at(interval),
    };
    pressures = meter.measure(usage, load, interval * INTERVAL_MS);
  }
  return pressures;
}

function queue(pressures: readonly Pressure[], name: PressureName, load = 1): number {
  const pressure = pressures.find((one) => one.name === name);
  assert.ok(pressure, `${name} is measured`);
  return queueOf(pressure, load);
}

/** A link that is down: what is written stays. */
function outage(bytesPerInterval: number): (interval: number) => Partial<Usage> {
  return (interval) => {
    const bytes = bytesPerInterval * interval;
    return { log: { bytes, bytesAppended: bytes, bytesMax: CAP, bytesPossible: null } };
  };
}

test('the log is judged by what it will hold at the horizon, for any load asked about', () => {
  const pressures = measured(41, outage(5 * MB));
  // 200 MB now and 600 MB to come in 120 intervals, of 1,000 MB; comfortable is half.
  assert.ok(Math.abs(queue(pressures, 'log') - 0.6 * QUEUE_AT_LIMIT) < 1e-6);
  assert.equal(queue(pressures, 'log', 0.5), 0);
});

test('an outage that fits is no pressure: a day of it at a tenth of the cap', () => {
  const day = 86_400_000 / INTERVAL_MS;
  assert.equal(queue(measured(day, outage((0.1 * CAP) / day)), 'log'), 0);
});

test('what has been thinned is reckoned back to the full rate', () => {
  const thinned = measured(41, outage(MB), 0.25);
  // 40 MB now; at the full rate 480 MB would come, of 1,000 MB.
  assert.equal(queue(thinned, 'log', 0.25), 0);
  assert.ok(Math.abs(queue(thinned, 'log', 1) - 0.04 * QUEUE_AT_LIMIT) < 1e-6);
});

test('neither a burst nor the removal of a settled segment is taken for a trend', () => {
  const burst = measured(25, (interval) => {
    const bytes = interval < 12 ? 0 : 80 * MB;
    return { log: { bytes, bytesAppended: bytes, bytesMax: CAP, bytesPossible: null } };
  });
  assert.equal(queue(burst, 'log'), 0);
  // All is delivered, but bytes leave only by whole segments; at such a rate the cap would be full in six minutes.
  for (let intervals = 1; intervals < 200; intervals += 1) {
    const sawtooth = measured(intervals, (interval) => {
      const bytesAppended = interval * 0.7 * MB;
      return { log: { bytes: bytesAppended % (4 * MB), bytesAppended, bytesMax: 50 * MB, bytesPossible: null } };
    });
    assert.equal(queue(sawtooth, 'log'), 0, `after ${intervals} intervals`);
  }
});

test('a disk that is not known is no pressure', () => {
  const names = measured(30, () => ({})).map(({ name }) => name);
  assert.deepEqual(names, ['waiting', 'cpu', 'memory', 'log']);
});

test('the disk counts by what the log has of what it may have there', () => {
  const disk = (bytesPossible: number): number =>
    queue(
      measured(1, () => ({ log: { bytes: 60 * MB, bytesAppended: 60 * MB, bytesMax: CAP, bytesPossible } })),
      'disk',
    );
  assert.equal(disk(10_000 * MB), 0);
  assert.equal(disk(120 * MB), 0);
  assert.equal(disk(80 * MB), QUEUE_AT_LIMIT / 2);
  assert.equal(disk(60 * MB), QUEUE_AT_LIMIT);
});

test('readings that wait for the log, and memory, count as they are', () => {
  const pressures = measured(1, () => ({
    waiting: { readings: 15_000, readingsMax: 20_000 },
    memoryBytes: 195 * MB,
  }));
  assert.ok(Math.abs(queue(pressures, 'waiting') - QUEUE_AT_LIMIT / 2) < 1e-6);
  assert.ok(Math.abs(queue(pressures, 'memory') - 0.75 * QUEUE_AT_LIMIT) < 1e-6);
});

test('processor time counts when it has been used for two minutes, and follows the load', () => {
  const busy = (intervals: number): readonly Pressure[] =>
    measured(intervals, (interval) => ({ cpuMs: interval * INTERVAL_MS * 0.5 }));
  assert.equal(queue(busy(20), 'cpu'), 0);
  assert.ok(Math.abs(queue(busy(30), 'cpu') - QUEUE_AT_LIMIT) < 1e-6, 'half a core of half a core');
  assert.equal(queue(busy(30), 'cpu', 0.5), 0);
});
