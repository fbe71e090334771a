import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOWN_INTERVALS, FACTOR_MAX, QUEUE_MARGIN, SamplingController, type SensorLoad } from './controller.ts';
import { type Pressure, QUEUE_AT_LIMIT } from './pressure.ts';

const PROBE_INTERVALS = 120;
const ONE: SensorLoad[] = [{ name: 'lathe', share: 1, priority: 1 }];

function controller(fidelityWeight = 1): SamplingController {
  return new SamplingController({ fidelityWeight, probeIntervals: PROBE_INTERVALS });
}

/** A pressure whose queue is that, whatever the load. */
function pressed(queue: number): Pressure[] {
  const present = 0.9 + (0.1 * queue) / QUEUE_AT_LIMIT;
  return [{ name: 'memory', present, fixed: present, perLoad: 0 }];
}

/** Where a controller comes to rest under that queue. */
function settled(sensors: readonly SensorLoad[], queue: number, fidelityWeight = 1): number[] {
  const one = controller(fidelityWeight);
  for (let interval = 0; interval < 20; interval += 1) one.step(sensors, pressed(queue));
  return sensors.map(({ name }) => one.factorOf(name));
}

test('the factor is the one of least cost, but for the margin', () => {
  const sensors: SensorLoad[] = [
    { name: 'lathe', share: 0.7, priority: 1 },
    { name: 'mill', share: 0.2, priority: 1 },
    { name: 'saw', share: 0.1, priority: 4 },
  ];
  for (const fidelityWeight of [0.1, 1, 7]) {
    for (const queue of [1, 30, 77, 200, 505, 3_000, 100_000]) {
      const wanted = sensors.map(({ share, priority }) => {
        const cost = (factor: number): number =>
          (fidelityWeight * priority * (factor - 1)) / sensors.length + ((queue - QUEUE_MARGIN) * share) / factor;
        const factors = [1, 2, 4, 8, 16, 32, 64];
        return factors.reduce((best, factor) => (cost(factor) < cost(best) ? factor : best));
      });
      assert.deepEqual(settled(sensors, queue, fidelityWeight), wanted, `V ${fidelityWeight}, Q ${queue}`);
    }
  }
});

test('what gives more of the load is thinned more, what has priority less, and nothing beyond the limit', () => {
  const sensors: SensorLoad[] = [
    { name: 'most', share: 0.6, priority: 1 },
    { name: 'some', share: 0.2, priority: 1 },
    { name: 'prior', share: 0.2, priority: 10 },
    { name: 'silent', share: 0, priority: 1 },
  ];
  assert.deepEqual(settled(sensors, 200), [16, 8, 4, 1]);
  assert.deepEqual(settled(ONE, 1e9), [FACTOR_MAX]);
});

test('a factor rises one step an interval', () => {
  const one = controller();
  const factors = [1, 2, 3, 4].map(() => {
    one.step(ONE, pressed(1e6));
    return one.factorOf('lathe');
  });
  assert.deepEqual(factors, [2, 4, 8, 16]);
});

test('a factor falls only when a lower one has been wanted for long enough on end', () => {
  const one = controller();
  for (let interval = 0; interval < 3; interval += 1) one.step(ONE, pressed(40));
  assert.equal(one.factorOf('lathe'), 4);
  for (let interval = 1; interval < DOWN_INTERVALS; interval += 1) one.step(ONE, pressed(0));
  one.step(ONE, pressed(20));
  for (let interval = 1; interval < DOWN_INTERVALS; interval += 1) one.step(ONE, pressed(0));
  assert.equal(one.factorOf('lathe'), 4, 'one interval in between began the count again');
  one.step(ONE, pressed(0));
  assert.equal(one.factorOf('lathe'), 2);
});

test('a queue between two break-even points moves nothing, whichever factor is held', () => {
  const within = 2 + QUEUE_MARGIN / 2;
  assert.deepEqual(settled(ONE, within), [1]);
  const one = controller();
  one.step(ONE, pressed(2 + QUEUE_MARGIN + 1));
  for (let interval = 0; interval < 500; interval += 1) one.step(ONE, pressed(within));
  assert.equal(one.factorOf('lathe'), 2);
});

test('a load that would be too much is not brought back, but is tried once in a while', () => {
  const one = controller();
  const linkTooSlow: Pressure[] = [{ name: 'log', present: 0, fixed: 0, perLoad: 0.9 }];
  one.step(ONE, linkTooSlow);
  assert.equal(one.factorOf('lathe'), 2);
  const changes: number[] = [];
  for (let interval = 1; interval <= 3 * PROBE_INTERVALS; interval += 1) {
    const before = one.factorOf('lathe');
    one.step(ONE, linkTooSlow);
    if (one.factorOf('lathe') !== before) changes.push(interval);
  }
  const probes = [PROBE_INTERVALS, 2 * PROBE_INTERVALS + 1];
  assert.deepEqual(
    changes,
    probes.flatMap((interval) => [interval, interval + 1]),
  );
});
