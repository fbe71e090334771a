/** What the control promises, shown on a simulated log; the figure in `docs/adaptive-sampling.md` is of the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SensorLoad } from './controller.ts';
import { leastLoss, MACHINES, simulate, type SimulationStep, tooSlowLink } from './simulation.test-support.ts';

const WEIGHTS = [0.5, 1, 2, 4, 8, 16];

test('the queue is O(V) and the fidelity lost above the least possible is O(1/V)', () => {
  const results = WEIGHTS.map((fidelityWeight) => ({ fidelityWeight, ...simulate(tooSlowLink(fidelityWeight)) }));
  for (const { fidelityWeight, queueMean, queueMax, lossMean, loadMean } of results) {
    const excess = lossMean - leastLoss(MACHINES, loadMean);
    assert.ok(queueMean <= 4 + 5 * fidelityWeight, `V ${fidelityWeight}: mean queue ${queueMean}`);
    assert.ok(queueMax <= 60 + 5 * fidelityWeight, `V ${fidelityWeight}: highest queue ${queueMax}`);
    assert.ok(excess <= 0.15 / fidelityWeight, `V ${fidelityWeight}: ${excess} above the least loss`);
    assert.ok(excess >= -1e-9, `V ${fidelityWeight}: no policy loses less`);
  }
  for (const [index, { lossMean, queueMean }] of results.slice(1).entries()) {
    assert.ok(lossMean < results[index]!.lossMean, 'more weight loses less fidelity');
    assert.ok(queueMean > results[index]!.queueMean, 'and has a longer queue');
  }
});

test('what the link can carry is used, and the log stays near its comfortable level', () => {
  const { loadMean, steps } = simulate(tooSlowLink(1));
  assert.ok(Math.abs(loadMean - 0.6) < 0.01, `sampled ${loadMean} where 0.6 fits`);
  assert.ok(Math.max(...steps.map(({ logUse }) => logUse)) < 0.6);
});

test('a link that is always too slow makes no oscillation', () => {
  // Arrivals and link stray from nothing to the double from one interval to the next.
  const wild = simulate(tooSlowLink(1));
  const intervals = wild.steps.length / 2;
  assert.ok(wild.changes < (intervals / 60) * MACHINES.length, `${wild.changes} changes in ${intervals} intervals`);
  const calm = simulate({ ...tooSlowLink(1), spread: 0.1 });
  assert.ok(calm.changes < wild.changes, `${calm.changes} when it is calm`);
});

test('an outage of a day that takes a tenth of the cap thins nothing', () => {
  const day = 17_280;
  const capacityAt = (interval: number): number => (interval > 100 && interval < 100 + day ? 0 : 1.5);
  const { steps } = simulate({ ...tooSlowLink(1), intervalsToFill: 10 * day, intervals: day + 2_000, capacityAt });
  assert.ok(steps.every(({ factors }) => factors.every((factor) => factor === 1)));
});

for (const [name, intervalsToFill] of [
  ['ten minutes', 120],
  ['an hour', 720],
  ['six hours', 4_320],
] as const) {
  test(`an outage three times as long as the log can take at the full rate is survived: ${name}`, () => {
    const begins = 200;
    const ends = begins + 3 * intervalsToFill;
    const capacityAt = (interval: number): number => (interval >= begins && interval < ends ? 0 : 1.5);
    const intervals = ends + 2 * intervalsToFill;
    const { steps } = simulate({ ...tooSlowLink(1), intervalsToFill, intervals, capacityAt, spread: 0.3 });
    const first = steps.findIndex(isThinned);
    assert.ok(first >= begins && steps[first]!.logUse < 0.55, `begins at a use of ${steps[first]?.logUse}`);
    assert.ok(Math.max(...steps.map(({ logUse }) => logUse)) < 0.9, 'the cap is not reached');
    assert.ok(!isThinned(steps.at(-1)!), 'all is as before in the end');
    for (const [index, { name }] of MACHINES.entries()) {
      const changes = steps.slice(1).map(({ factors }, at) => Math.sign(factors[index]! - steps[at]!.factors[index]!));
      const rises = changes.lastIndexOf(1);
      const falls = changes.indexOf(-1);
      assert.ok(rises < falls, `${name}: up while it lasts, then down, and never back`);
    }
  });
}

test('one sensor alone is held as tightly as many', () => {
  const sensors: SensorLoad[] = [{ name: 'one', share: 1, priority: 1 }];
  const { lossMean, loadMean, queueMax } = simulate({ ...tooSlowLink(2), sensors });
  assert.ok(lossMean - leastLoss(sensors, loadMean) < 0.01);
  assert.ok(queueMax < 70, `${queueMax}`);
});

function isThinned({ factors }: SimulationStep): boolean {
  return factors.some((factor) => factor > 1);
}
