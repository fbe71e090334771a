import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, now, systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type { MachineEvent, Reading } from '../model/reading.ts';
import type { Driver, DriverContext } from '../ports/driver.ts';
import { RECONNECT_LIMITS, SourceRunner } from './source-runner.ts';

/** What a driver does in its n-th run; the last step stops the runner. */
type Step = (context: DriverContext, signal: AbortSignal) => void | Promise<void>;

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
    run: async (context, signal) => {
      const step = steps[turn];
      turn += 1;
      if (turn === steps.length) stop.abort();
      await step?.(context, signal);
    },
  };
  const sensor = { name: 'lathe', type: 'shdr', machineId: 'CNC-001', samplingIntervalMs: 100, options: {} };
  const accept = (reading: Reading): void => void readings.push(reading);
  const runner = new SourceRunner({
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
  const sensor = { name: 'lathe', type: 'shdr', machineId: 'CNC-001', samplingIntervalMs: 100, options: {} };
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
  const parts = { accept: () => {}, room: () => undefined, clock: systemClock, random: Math.random, logger: silentLogger };
  const runner: SourceRunner = new SourceRunner({ sensor, driver, ...parts });
  await runner.run(stop.signal);
  assert.equal(during?.state, 'ok');
  assert.equal(during?.readings, 1);
  assert.ok(during?.last_reading !== null && during?.last_reading === during?.last_contact);
});
