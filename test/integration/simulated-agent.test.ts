/** `simulate mtconnect --machines`: the simulated machines by an agent, read by the driver that maps by types. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { Bench, openAgent } from '../../src/drivers/mtconnect/driver.test-support.ts';
import { machineDevices, playMachines } from '../../src/sim/machine-agent.ts';
import { STATE_CYCLE } from '../../src/sim/machine.ts';

/** A cycle of two minutes goes by in some seconds. */
const SPEED = 30;
const fastClock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() * SPEED,
  sleep: (ms, signal) => systemClock.sleep(ms / SPEED, signal),
};

test('a simulated machine goes through its states, and every signal is there without a map', async (context) => {
  const { agent, url } = await openAgent(machineDevices(2));
  const stop = new AbortController();
  const bench = await Bench.make(url);
  context.after(async () => {
    await bench.stop();
    stop.abort();
    await agent.close();
  });
  const playing = playMachines({ agent, machines: 2, intervalMs: 500, clock: fastClock }, stop.signal);
  bench.start({ device: 'M1' });
  const states = (): (string | undefined)[] =>
    bench.events.flatMap(({ event_type, state }) => (event_type === 'state' && state !== 'offline' ? [state] : []));
  await bench.until(() => new Set(states()).size === STATE_CYCLE.length && states().length > STATE_CYCLE.length);
  stop.abort();
  await playing;
  const order = states();
  const first = STATE_CYCLE.indexOf(order[0] as 'running');
  for (const [index, state] of order.entries()) {
    assert.equal(state, STATE_CYCLE[(first + index) % STATE_CYCLE.length], order.join());
  }
  const all = Object.assign({}, ...bench.samples) as { [name: string]: unknown };
  const signals = ['spindle_speed', 'x_pos_mm', 'y_pos_mm', 'z_pos_mm', 'feed_rate_actual', 'temperature'];
  for (const name of [...signals, 'spindle_load_percent', 'active_program_line', 'total_power_kw']) {
    assert.equal(typeof all[name], 'number', name);
  }
  const alarms = bench.events.filter(({ event_type, level }) => event_type === 'condition' && level === 'fault');
  assert.ok(alarms.length > 0 && alarms.every(({ native_code }) => native_code !== undefined));
  const feeds = bench.samples.flatMap(({ feed_rate_actual: feed }) =>
    typeof feed === 'number' && feed > 0 ? [feed] : [],
  );
  assert.ok(
    feeds.every((feed) => feed > 800 && feed < 1_100),
    'mm/s of the standard is mm/min again',
  );
});
