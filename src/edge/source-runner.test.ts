import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/support/until.ts';
import { type Clock, now, systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { samplingFactorOf } from '../model/merge.ts';
import type { MachineEvent, Reading, Sample } from '../model/reading.ts';
import type { Driver, DriverContext } from '../ports/driver.ts';
import { RECONNECT_LIMITS, SourceRunner } from './source-runner.ts';

/** What a driver does in its n-th run; the last step stops the runner. */
type Step = (context: DriverContext, runner: SourceRunner) => void | Promise<void>;

interface Outcome {
  readonly runner: SourceRunner;
  readonly readings: Reading[];
  readonly sleepsMs: number[];
}

/** Runs the steps as the runs of one driver, with waits that take no time. */
async function run(steps: readonly Step[]): Promise<Outcome> {
  const stop = new AbortController();
  const readings: Reading[] = [];
  const sleepsMs: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => {
      sleepsMs.push(ms);
    },
  };
  let turn = 0;
  const driver: Driver = {
    run: async (context) => {
      const step = steps[turn];
      turn += 1;
      if (turn === steps.length) stop.abort();
      await step?.(context, runner);
    },
  };
  const sensor = {
    name: 'lathe',
    type: 'shdr',
    machineId: 'CNC-001',
    samplingIntervalMs: 100,
    priority: 1,
    options: {},
  };
  const accept = (reading: Reading): void => void readings.push(reading);
  const runner: SourceRunner = new SourceRunner({
    sensor,
    driver,
    accept,
    room: () => undefined,
    clock,
    random: () => 1,
    logger: silentLogger,
  });
  await runner.run(stop.signal);
  return { runner, readings, sleepsMs };
}

function emitState(context: DriverContext, state: 'running' | 'idle'): void {
  const { machineId: machine_id, clock } = context;
  const event: MachineEvent = { machine_id, timestamp: now(clock), kind: 'event', event_type: 'state', state };
  context.emit(event);
}

function refuse(): never {
  throw new MillwrightError('connection_failed', 'nobody at 10.0.0.7:7878');
}

test('a driver that fails is called again, with waits that grow to their limit', async () => {
  const { sleepsMs, runner, readings } = await run([...new Array<Step>(8).fill(refuse), () => {}]);
  assert.deepEqual(sleepsMs, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(RECONNECT_LIMITS.maxMs, 30_000);
  assert.equal(readings.length, 0, 'no connection stood, so none was lost');
  assert.equal(runner.status().last_error, 'nobody at 10.0.0.7:7878');
  assert.equal(runner.status().state, 'stopped');
});

test('whatever a driver throws stays inside', async () => {
  const { runner } = await run([
    () => {
      throw new TypeError('x is undefined');
    },
    () => {},
  ]);
  assert.equal(runner.status().last_error, 'x is undefined');
});

test('a connection that stood makes the next wait short', async () => {
  const { sleepsMs } = await run([refuse, refuse, (context) => context.connected(), () => {}]);
  assert.deepEqual(sleepsMs, [1_000, 2_000, 1_000]);
});

test('a lost connection says so and makes the machine offline, once; its return is said too', async () => {
  const { readings, runner } = await run([
    (context) => {
      context.connected();
      emitState(context, 'running');
      throw new MillwrightError('connection_failed', 'silent for 20 s');
    },
    refuse,
    (context) => {
      context.connected();
      emitState(context, 'idle');
    },
    () => {},
  ]);
  const events = readings.filter((reading): reading is MachineEvent => reading.kind === 'event');
  assert.deepEqual(
    events.map(({ event_type, state, previous_state, text, details }) => ({
      event_type,
      ...(state === undefined ? {} : { state }),
      ...(previous_state === undefined ? {} : { previous_state }),
      ...(text === undefined ? {} : { text }),
      ...(details === undefined ? {} : { details }),
    })),
    [
      { event_type: 'state', state: 'running' },
      { event_type: 'connection', text: 'silent for 20 s', details: { connected: false } },
      { event_type: 'state', state: 'offline', previous_state: 'running', text: 'silent for 20 s' },
      { event_type: 'connection', details: { connected: true } },
      { event_type: 'state', state: 'idle' },
      { event_type: 'connection', text: 'the source closed the connection', details: { connected: false } },
      { event_type: 'state', state: 'offline', previous_state: 'idle', text: 'the source closed the connection' },
    ],
  );
  assert.ok(events.every((event) => event.machine_id === 'CNC-001'));
  assert.equal(runner.status().reconnects, 1);
});

test('a source that says no state cannot make its machine offline', async () => {
  const { readings } = await run([
    (context) => {
      context.connected();
      context.emit({ machine_id: 'CNC-001', timestamp: now(context.clock), temperature: 21 });
    },
    () => {},
  ]);
  const events = readings.filter((reading): reading is MachineEvent => reading.kind === 'event');
  assert.deepEqual(
    events.map((event) => event.event_type),
    ['connection'],
  );
});

test('the status tells state, contacts and counts', async () => {
  let during: ReturnType<SourceRunner['status']> | undefined;
  const sensor = {
    name: 'lathe',
    type: 'shdr',
    machineId: 'CNC-001',
    samplingIntervalMs: 100,
    priority: 1,
    options: {},
  };
  const stop = new AbortController();
  const driver: Driver = {
    run: async (context) => {
      assert.equal(runner.status().state, 'connecting');
      assert.equal(runner.status().last_contact, null);
      context.connected();
      context.alive();
      assert.equal(runner.status().last_reading, null);
      context.emit({ machine_id: 'CNC-001', timestamp: now(context.clock), temperature: 21 });
      assert.equal(context.samplingIntervalMs(), 100);
      during = runner.status();
      stop.abort();
    },
  };
  const parts = {
    accept: () => {},
    room: () => undefined,
    clock: systemClock,
    random: Math.random,
    logger: silentLogger,
  };
  const runner: SourceRunner = new SourceRunner({ sensor, driver, ...parts });
  await runner.run(stop.signal);
  assert.equal(during?.state, 'ok');
  assert.equal(during?.readings, 1);
  assert.ok(during?.last_reading !== null && during?.last_reading === during?.last_contact);
});

interface Thinned {
  readonly clock: ManualClock;
  readonly runner: SourceRunner;
  readonly readings: Reading[];
  readonly context: DriverContext;
  /** Ends the driver's run. */
  readonly disconnect: () => void;
  readonly end: () => Promise<void>;
}

/** A runner whose driver stays in its run, so that a test can speak for it. */
async function open(): Promise<Thinned> {
  const clock = new ManualClock('2026-01-01T08:00:00Z');
  const readings: Reading[] = [];
  const stop = new AbortController();
  let finish = (): void => {};
  const begun = Promise.withResolvers<DriverContext>();
  const driver: Driver = {
    run: (context) => {
      begun.resolve(context);
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
  };
  const runner = new SourceRunner({
    sensor: { name: 'lathe', type: 'shdr', machineId: 'CNC-001', samplingIntervalMs: 100, priority: 1, options: {} },
    driver,
    accept: (reading) => void readings.push(reading),
    room: () => undefined,
    clock,
    random: () => 1,
    logger: silentLogger,
  });
  const running = runner.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    finish();
    await running;
  };
  return { clock, runner, readings, context: await begun.promise, disconnect: () => finish(), end };
}

function emitSample({ machineId: machine_id, clock, ...context }: DriverContext, fields: Partial<Sample> = {}): void {
  context.emit({ machine_id, timestamp: now(clock), ...fields });
}

function factors(readings: readonly Reading[]): number[] {
  return readings.filter((reading) => reading.kind === undefined).map((reading) => samplingFactorOf(reading as Sample));
}

test('a driver that asks for its interval is given a longer one, and its samples say so', async () => {
  const { clock, runner, readings, context, end } = await open();
  emitSample(context);
  assert.equal(context.samplingIntervalMs(), 100);
  emitSample(context);
  runner.setSamplingFactor(4);
  emitSample(context);
  assert.equal(context.samplingIntervalMs(), 400);
  emitState(context, 'running');
  emitSample(context);
  runner.setSamplingFactor(1);
  emitSample(context);
  assert.equal(context.samplingIntervalMs(), 100);
  emitSample(context);
  assert.deepEqual(factors(readings), [1, 1, 1, 4, 4, 1], 'a sample stands for the wait before it');
  assert.equal(readings.filter((reading) => 'sampling_factor' in reading).length, 2);
  assert.equal(clock.sleepers, 0);
  await end();
});

test('the first sample of a new connection stands for itself', async () => {
  const { clock, runner, readings, context, disconnect, end } = await open();
  runner.setSamplingFactor(4);
  context.connected();
  assert.equal(context.samplingIntervalMs(), 400);
  disconnect();
  await until(() => clock.sleepers === 1);
  await clock.step(RECONNECT_LIMITS.firstMs);
  emitSample(context);
  assert.deepEqual(factors(readings), [1]);
  await end();
});

test('a polled machine is never looked at less than once a second; the rest of the factor is merged', async () => {
  const { clock, runner, readings, context, end } = await open();
  context.samplingIntervalMs();
  runner.setSamplingFactor(64);
  for (let elapsedMs = 0; elapsedMs < 64_000; elapsedMs += 800) {
    assert.equal(context.samplingIntervalMs(), 800);
    emitSample(context, { temperature: elapsedMs });
    if (elapsedMs === 32_000) emitState(context, 'running');
    await clock.step(800);
  }
  await end();
  assert.equal(
    factors(readings).reduce((sum, factor) => sum + factor, 0),
    640,
  );
  assert.ok(readings.length <= 14, `${readings.length} of 640`);
  assert.equal(runner.samplesInFull, 640);
});

test('a driver that reports on change has its samples merged, and keeps none when it ends', async () => {
  const { runner, readings, context, end } = await open();
  runner.setSamplingFactor(2);
  emitSample(context, { coolant: 'on' });
  for (let index = 0; index < 5; index += 1) emitSample(context, { temperature: index });
  assert.equal(readings.length, 0);
  assert.equal(runner.status().sampling_factor, 2);
  await end();
  assert.deepEqual(readings, [
    {
      machine_id: 'CNC-001',
      timestamp: '2026-01-01T08:00:00.000000Z',
      coolant: 'on',
      temperature: 4,
      sampling_factor: 6,
    },
  ]);
  assert.equal(runner.samplesInFull, 6);
});

test('what is held goes out before the connection is said to be lost', async () => {
  const { runner, readings, context, disconnect, end } = await open();
  context.connected();
  runner.setSamplingFactor(8);
  emitSample(context, { temperature: 20 });
  assert.equal(readings.length, 0);
  disconnect();
  await until(() => readings.length === 2);
  assert.deepEqual(
    readings.map((reading) => (reading.kind === 'event' ? reading.event_type : (reading as Sample).temperature)),
    [20, 'connection'],
  );
  await end();
});

test('the mean over time stays right while the factor follows the signal', async () => {
  const { clock, runner, readings, context, end } = await open();
  let sum = 0;
  let count = 0;
  const signal = (ms: number): number => 20 + 10 * Math.sin((2 * Math.PI * ms) / 60_000);
  let dueMs = 0;
  for (let elapsedMs = 0; elapsedMs < 600_000; elapsedMs += 100) {
    const temperature = signal(elapsedMs);
    sum += temperature;
    count += 1;
    if (elapsedMs === dueMs) {
      emitSample(context, { temperature });
      // Thinned where it is warm: a mean of the samples alone would be too cold.
      runner.setSamplingFactor(temperature > 20 ? 8 : 1);
      dueMs += context.samplingIntervalMs();
    }
    await clock.step(100);
  }
  await end();
  const samples = readings as Sample[];
  const weight = samples.reduce((all, sample) => all + samplingFactorOf(sample), 0);
  const weighted = samples.reduce((all, one) => all + samplingFactorOf(one) * (one.temperature ?? 0), 0) / weight;
  const plain = samples.reduce((all, one) => all + (one.temperature ?? 0), 0) / samples.length;
  assert.ok(Math.abs(weighted - sum / count) < 0.1, `${weighted} for ${sum / count}`);
  assert.ok(plain < 17, `${plain}: without the factor it would be wrong`);
  assert.ok(samples.length < 0.7 * count);
});

test('what cannot be read is shown with its reason until it can, or the connection ends; answers are counted', async () => {
  let shown: unknown;
  const { runner } = await run([
    (context, runner) => {
      context.connected();
      context.answered(12);
      context.problem('r4', 'illegal data address');
      context.problem('r5', 'device failure');
      context.problem('r5', null);
      shown = runner.status().problems;
    },
    () => {},
  ]);
  assert.deepEqual(shown, [{ item: 'r4', reason: 'illegal data address' }]);
  const { reads, latency_ms, problems } = runner.status();
  assert.deepEqual({ reads, latency_ms, problems }, { reads: 1, latency_ms: 12, problems: [] });
});
