import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { type Clock, now, systemClock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { samplingFactorOf } from '../../model/merge.ts';
import { decodeReading, type MachineEvent, type Reading, type Sample } from '../../model/reading.ts';
import type { SourceStatus } from '../../model/status.ts';
import { timestampOf } from '../../model/time.ts';
import type { Driver, DriverContext } from '../../ports/driver.ts';
import type { SensorSettings } from '../settings.ts';
import { RECONNECT_LIMITS, SourceRunner, watchSources } from './runner.ts';
import { CONNECTING_MS_MAX, PROBLEMS_MAX, SourceStanding } from './standing.ts';

const LATHE: SensorSettings = {
  name: 'lathe',
  type: 'shdr',
  machineId: 'CNC-001',
  samplingIntervalMs: 100,
  priority: 1,
  options: {},
};

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
  const accept = (reading: Reading): void => void readings.push(reading);
  const runner: SourceRunner = new SourceRunner({
    sensor: LATHE,
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

test('a reason that holds what no hub takes is told all the same', async () => {
  const { readings } = await run([
    (context) => {
      context.connected();
      throw new MillwrightError('connection_failed', 'gpiomon\0 said \ud800 <script>alert(1)</script>');
    },
    (context) => context.connected(),
  ]);
  const lost = readings.find((one) => one.kind === 'event' && one.event_type === 'connection');
  assert.ok(lost !== undefined && 'reading' in decodeReading(structuredClone(lost)), JSON.stringify(lost));
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
  const runner: SourceRunner = new SourceRunner({ sensor: LATHE, driver, ...parts });
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
    sensor: LATHE,
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
      context.answered(null);
      context.problem('r4', 'illegal data address');
      context.problem('r5', 'device failure');
      context.problem('r5', 'device busy');
      context.problem('r5', null);
      shown = runner.status().problems;
    },
    () => {},
  ]);
  assert.deepEqual(shown, [{ item: 'r4', reason: 'illegal data address' }]);
  const { reads, latency_ms, problems, errors } = runner.status();
  // One unanswered request, two parts, one lost connection.
  assert.deepEqual({ reads, latency_ms, problems, errors }, { reads: 1, latency_ms: 12, problems: [], errors: 4 });
});

test('of more parts than can be kept apart the first are shown, and each can still be cleared', async () => {
  let shown = 0;
  await run([
    (context, runner) => {
      context.connected();
      for (let part = 0; part < 2 * PROBLEMS_MAX; part += 1) context.problem(`r${part}`, 'no');
      context.problem('r0', null);
      shown = runner.status().problems.length;
    },
    () => {},
  ]);
  assert.equal(shown, PROBLEMS_MAX - 1);
});

test('the latency is that of the newest answer, and of 95 in 100 of the newest hundred', async () => {
  let during: SourceStatus | undefined;
  await run([
    (context, runner) => {
      context.connected();
      for (let answer = 0; answer < 100; answer += 1) context.answered(9_999);
      for (let answer = 1; answer <= 100; answer += 1) context.answered(answer);
      during = runner.status();
    },
    () => {},
  ]);
  assert.deepEqual([during?.latency_ms, during?.latency_p95_ms, during?.reads], [100, 95, 200]);
});

interface Watched {
  readonly clock: ManualClock;
  readonly runner: SourceRunner;
  readonly events: MachineEvent[];
  /** What the driver is doing now. */
  readonly context: () => DriverContext;
  readonly end: (error?: MillwrightError) => Promise<void>;
  readonly status: () => SourceStatus;
  /** Room in the log, as the test has it. */
  room: Promise<void> | undefined;
}

/** A source whose runs end as the test says, watched as the edge does it. */
async function watch(
  test: TestContext,
  own: Partial<SensorSettings> = {},
  clock: ManualClock = new ManualClock('2026-01-01T08:00:00.000000Z'),
): Promise<Watched> {
  const readings: Reading[] = [];
  const stop = new AbortController();
  let runs = 0;
  let context: DriverContext | undefined;
  let finish = (_error?: MillwrightError): void => {};
  const driver: Driver = {
    run: (given) => {
      runs += 1;
      context = given;
      return new Promise((resolve, reject) => {
        finish = (error) => (error === undefined ? resolve() : reject(error));
      });
    },
  };
  const watched: Watched = {
    ...{ clock, room: undefined },
    get runner() {
      return runner;
    },
    get events() {
      return readings.filter((one): one is MachineEvent => one.kind === 'event' && one.event_type === 'connection');
    },
    context: () => context!,
    status: () => runner.status(),
    end: async (error) => {
      const before = clock.sleepers;
      finish(error);
      await until(() => clock.sleepers > before);
    },
  };
  const runner: SourceRunner = new SourceRunner({
    sensor: { ...LATHE, ...own },
    accept: (reading) => void readings.push(reading),
    room: () => watched.room,
    ...{ driver, clock, random: () => 1, logger: silentLogger },
  });
  const running = Promise.all([runner.run(stop.signal), watchSources(() => [runner], clock, stop.signal)]);
  await until(() => runs === 1);
  test.after(async () => {
    stop.abort();
    finish();
    await running;
  });
  return watched;
}

test('a polled source that is not heard for ten seconds is silent while nothing happens, and speaks again', async (t) => {
  const watched = await watch(t);
  const { clock, context, status } = watched;
  context().connected();
  context().samplingIntervalMs();
  emitSample(context());
  await clock.step(10_000);
  assert.deepEqual([status().state, status().silent_after_seconds], ['ok', 10]);
  await clock.step(32_000);
  const { state, state_since, last_error, last_error_at, last_contact, errors } = status();
  const heard = '2026-01-01T08:00:00.000000Z';
  assert.deepEqual(
    { state, state_since, last_error, last_error_at, last_contact, errors },
    {
      ...{ state: 'silent', last_error: 'no sign of life for 42 s', errors: 1 },
      ...{ state_since: heard, last_error_at: heard, last_contact: heard },
    },
  );
  context().answered(null);
  assert.equal(status().state, 'silent', 'a request that was not answered is no sign of life');
  emitSample(context());
  assert.equal(status().state, 'ok');
  assert.equal(status().state_since, '2026-01-01T08:00:42.000000Z');
  await clock.step(5_000);
  assert.deepEqual([status().last_error, status().last_error_at], ['was silent for 42 s', heard], 'it stays readable');
  assert.deepEqual(
    watched.events.map(({ timestamp, text, details }) => ({ timestamp, text, details })),
    [
      // Of the time when it was heard: the event itself must not look like a sign of life.
      { timestamp: heard, text: 'no sign of life for 11 s', details: { silent: true } },
      {
        timestamp: '2026-01-01T08:00:42.000000Z',
        text: 'was silent for 42 s',
        details: { silent: false, silent_seconds: 42 },
      },
    ],
  );
});

test('a driver that knows when the next sign of life is due says so, and is not called silent before', async (t) => {
  const { clock, context, status } = await watch(t);
  context().connected();
  context().samplingIntervalMs();
  assert.equal(status().silent_after_seconds, 10);
  context().alive(60_000);
  assert.equal(status().silent_after_seconds, 180, 'the driver knows that the next sign is due later');
  await clock.step(180_000);
  assert.equal(status().state, 'ok');
  await clock.step(1);
  assert.equal(status().state, 'silent');
});

test('silence is judged by the interval that thinning has made of it', async (t) => {
  const { context, status, runner } = await watch(t, { samplingIntervalMs: 5_000 });
  context().connected();
  context().samplingIntervalMs();
  assert.equal(status().silent_after_seconds, 15);
  // No poll is made slower than once a second: what is left of the factor is merged.
  runner.setSamplingFactor(64);
  context().samplingIntervalMs();
  assert.equal(status().silent_after_seconds, 15);
});

test('a source that reports on change is judged by its heartbeat, if it has one, and for each connection anew', async (t) => {
  const { clock, context, status, end } = await watch(t);
  context().connected();
  emitSample(context());
  context().alive();
  await clock.step(3_600_000);
  const { state, silent_after_seconds, last_reading } = status();
  assert.deepEqual(
    { state, silent_after_seconds, last_reading },
    { state: 'ok', silent_after_seconds: null, last_reading: '2026-01-01T08:00:00.000000Z' },
  );
  context().alive(5_000);
  await clock.step(15_001);
  assert.equal(status().state, 'silent');
  await end();
  await clock.step(RECONNECT_LIMITS.firstMs);
  context().connected();
  assert.equal(status().silent_after_seconds, null);
});

test('silent_after is the judge where it is given, of every source', async (t) => {
  const { clock, context, status } = await watch(t, { silentAfterMs: 2_000 });
  context().connected();
  context().samplingIntervalMs();
  context().alive(60_000);
  await clock.step(2_000);
  assert.equal(status().state, 'ok');
  await clock.step(1);
  assert.equal(status().state, 'silent');
});

test('an edge that was itself stopped takes that for no silence, nor for a driver that hangs', async (t) => {
  class StoppedClock extends ManualClock {
    stoppedMs = 0;

    override monotonicMs(): number {
      return super.monotonicMs() + this.stoppedMs;
    }
  }
  const clock = new StoppedClock('2026-01-01T08:00:00.000000Z');
  const watched = await watch(t, { silentAfterMs: 2_000 }, clock);
  clock.stoppedMs += 60_000;
  await clock.step(1_000);
  assert.equal(watched.status().state, 'connecting');
  watched.context().connected();
  clock.stoppedMs += 60_000;
  await clock.step(1_000);
  assert.equal(watched.status().state, 'ok');
  await clock.step(2_001);
  assert.equal(watched.status().state, 'silent', 'nobody has spoken since');
  await clock.step(1_000);
  clock.stoppedMs += 60_000;
  await clock.step(1_000);
  assert.deepEqual([watched.status().state, watched.status().errors], ['silent', 1], 'it was so before');
});

test('a driver that waits for room in the log does not make its source silent', async (t) => {
  const watched = await watch(t);
  const { clock, context, status } = watched;
  context().connected();
  context().samplingIntervalMs();
  const room = Promise.withResolvers<void>();
  watched.room = room.promise;
  const waiting = context().room();
  await clock.step(60_000);
  assert.equal(status().state, 'ok');
  room.resolve();
  await waiting;
  await clock.step(10_000);
  assert.equal(status().state, 'ok');
  await clock.step(1);
  assert.equal(status().state, 'silent');
});

test('what only a person can mend is misconfigured, and tried again slowly at once', async (t) => {
  const { clock, context, status, end } = await watch(t);
  await end(new MillwrightError('config_invalid', 'register 4: illegal data address'));
  assert.deepEqual([status().state, status().last_error], ['misconfigured', 'register 4: illegal data address']);
  const first = context();
  await clock.step(RECONNECT_LIMITS.maxMs - 1);
  assert.equal(context(), first);
  assert.equal(status().state_since, '2026-01-01T08:00:00.000000Z');
  await clock.step(1);
  assert.equal(status().state, 'misconfigured', 'a try that is under way mends nothing yet');
  context().connected();
  assert.equal(status().state, 'ok');
  assert.equal(status().last_error, 'register 4: illegal data address', 'it stays readable');
});

test('a source that fails is failing since its first failure, also while it is tried', async (t) => {
  const { clock, context, status, end } = await watch(t);
  assert.equal(status().state, 'connecting');
  await clock.step(5_000);
  await end(new MillwrightError('connection_failed', 'refused'));
  await clock.step(1_500);
  await end(new MillwrightError('connection_failed', 'refused again'));
  await clock.step(500);
  const { state, state_since, last_error, last_error_at, errors } = status();
  assert.deepEqual(
    { state, state_since, last_error, last_error_at, errors },
    {
      ...{ state: 'failing', last_error: 'refused again', errors: 2 },
      ...{ state_since: '2026-01-01T08:00:05.000000Z', last_error_at: '2026-01-01T08:00:06.500000Z' },
    },
  );
  await clock.step(1_500);
  context().connected();
  await clock.step(10_000);
  assert.deepEqual([status().state, status().last_error], ['ok', 'refused again']);
});

test('a driver that neither connects nor gives up is seen to fail', async (t) => {
  const watched = await watch(t);
  const { clock, context, status } = watched;
  await clock.step(CONNECTING_MS_MAX);
  assert.equal(status().state, 'connecting');
  await clock.step(12_000);
  const { state, last_error, errors } = status();
  assert.deepEqual(
    { state, last_error, errors },
    { state: 'failing', last_error: 'has not connected for 42 s', errors: 1 },
  );
  context().connected();
  assert.equal(status().state, 'ok');
  assert.deepEqual(watched.events, []);
});

test('a connection that ends in a silence is lost, and does not speak again', async (t) => {
  const watched = await watch(t);
  const { clock, context, status, end } = watched;
  context().connected();
  context().samplingIntervalMs();
  await clock.step(20_000);
  await end(new MillwrightError('connection_failed', 'reset by peer'));
  assert.deepEqual([status().state, status().last_error, status().errors], ['failing', 'reset by peer', 2]);
  await clock.step(RECONNECT_LIMITS.firstMs);
  context().connected();
  assert.deepEqual(
    watched.events.map(({ details }) => details),
    [{ silent: true }, { connected: false }, { connected: true }],
  );
});

test('ages stay true when the clock of the gateway is set', async () => {
  let wallMicros = 0;
  const clock: Clock = { ...systemClock, nowMicros: () => wallMicros, monotonicMs: () => 0 };
  const standing = new SourceStanding({ clock, silentAfterMs: undefined });
  standing.connected();
  wallMicros = 1.75e15;
  assert.equal(standing.status().last_contact, timestampOf(1.75e15), 'not of the year 1970');
});
