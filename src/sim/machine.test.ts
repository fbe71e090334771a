import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CYCLE_SECONDS, machineAt, STATE_CYCLE, STATE_SECONDS } from './machine.ts';

const MACHINE = { seed: 7, phaseSeconds: 0 };

/** Values every 100 ms over that many seconds. */
function run(seconds: number, from = 0): ReturnType<typeof machineAt>[] {
  return Array.from({ length: seconds * 10 }, (_, index) => machineAt(MACHINE, from + index / 10));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
}

test('the same seed and time give the same values, another seed gives others', () => {
  assert.deepEqual(machineAt(MACHINE, 12.3), machineAt(MACHINE, 12.3));
  assert.notEqual(machineAt(MACHINE, 12.3).temperatureC, machineAt({ ...MACHINE, seed: 8 }, 12.3).temperatureC);
});

test('temperature is a sine of 15 °C at 0.1 Hz about 25 °C, with noise of 2 °C', () => {
  const noise = Array.from({ length: 20_000 }, (_, index) => {
    const seconds = index / 10;
    return machineAt(MACHINE, seconds).temperatureC - 25 - 15 * Math.sin(0.2 * Math.PI * seconds);
  });
  assert.ok(Math.abs(mean(noise)) < 0.06, `mean of the noise ${mean(noise)}`);
  assert.ok(Math.abs(deviation(noise) - 2) < 0.06, `deviation of the noise ${deviation(noise)}`);
});

test('the spindle turns at 2500 ± 500 rpm at 0.05 Hz, with noise of 100 rpm', () => {
  const noise: number[] = [];
  for (let cycle = 0; cycle < 30; cycle += 1) {
    for (let tick = 0; tick < STATE_SECONDS * 10; tick += 1) {
      const seconds = cycle * CYCLE_SECONDS + tick / 10;
      noise.push(machineAt(MACHINE, seconds).spindleSpeedRpm - 2500 - 500 * Math.sin(0.1 * Math.PI * seconds));
    }
  }
  assert.ok(Math.abs(mean(noise)) < 5, `mean of the noise ${mean(noise)}`);
  assert.ok(Math.abs(deviation(noise) - 100) < 4, `deviation of the noise ${deviation(noise)}`);
});

test('the tool path is a circle of 50 mm about (100, 100), and z stays within 10 ± 5 mm', () => {
  const values = run(CYCLE_SECONDS);
  for (const { xMm, yMm, zMm } of values) {
    assert.ok(Math.abs(Math.hypot(xMm - 100, yMm - 100) - 50) < 0.002, `(${xMm}, ${yMm})`);
    assert.ok(zMm >= 5 && zMm <= 15, `${zMm}`);
  }
  assert.ok(new Set(values.map((value) => value.xMm)).size > 100, 'the tool moves');
});

test('the feed rate is that of the tool path', () => {
  for (let tick = 1; tick < STATE_SECONDS * 10; tick += 1) {
    const [before, after] = [machineAt(MACHINE, (tick - 1) / 10), machineAt(MACHINE, tick / 10)];
    const distanceMm = Math.hypot(after.xMm - before.xMm, after.yMm - before.yMm, after.zMm - before.zMm);
    assert.ok(
      Math.abs(distanceMm * 600 - after.feedRateMmPerMin) < 40,
      `${distanceMm * 600} ${after.feedRateMmPerMin}`,
    );
  }
});

test('the states follow each other every 30 s, shifted by the phase', () => {
  for (let index = 0; index < 8; index += 1) {
    const expected = STATE_CYCLE[index % 4];
    assert.equal(machineAt(MACHINE, index * STATE_SECONDS).state, expected);
    assert.equal(machineAt(MACHINE, index * STATE_SECONDS + 29.9).state, expected);
  }
  assert.equal(machineAt({ seed: 7, phaseSeconds: 45 }, 0).state, 'idle');
});

test('a machine that does not run neither feeds nor cuts, and its spindle stops', () => {
  for (const value of run(CYCLE_SECONDS - STATE_SECONDS, STATE_SECONDS)) {
    assert.equal(value.feedRateMmPerMin, 0);
    assert.equal(value.spindleLoadPercent, 0);
  }
  assert.ok(machineAt(MACHINE, 31).spindleSpeedRpm > 500, 'winds down');
  for (const value of run(87, 33)) assert.equal(value.spindleSpeedRpm, 0);
});

test('load and program line are plausible while running, and the base load is always drawn', () => {
  const running = run(STATE_SECONDS);
  for (const [index, value] of running.entries()) {
    assert.ok(value.spindleLoadPercent > 10 && value.spindleLoadPercent < 90, `${value.spindleLoadPercent} %`);
    assert.ok(value.programLine >= (running[index - 1]?.programLine ?? 0));
    assert.ok(value.powerKw > 2 && value.powerKw < 10, `${value.powerKw} kW`);
  }
  assert.ok((running.at(-1)?.programLine ?? 0) > 100);
  for (const value of run(80, 40)) assert.ok(value.powerKw >= 0.8 && value.powerKw < 1.2, `${value.powerKw} kW`);
});

test('one part is finished at the end of each running phase', () => {
  assert.equal(machineAt(MACHINE, 29.9).partCount, 0);
  assert.equal(machineAt(MACHINE, 30).partCount, 1);
  assert.equal(machineAt(MACHINE, 149.9).partCount, 1);
  assert.equal(machineAt(MACHINE, 150).partCount, 2);
});

test('an alarm is active in the state alarm only', () => {
  for (const value of run(CYCLE_SECONDS)) assert.equal(value.alarm !== null, value.state === 'alarm');
});

test('values have the resolution of their sensors', () => {
  const decimals = (value: number): number => String(value).split('.')[1]?.length ?? 0;
  for (const value of run(CYCLE_SECONDS)) {
    assert.ok(decimals(value.temperatureC) <= 1);
    assert.ok(decimals(value.spindleSpeedRpm) === 0);
    assert.ok(decimals(value.xMm) <= 3 && decimals(value.yMm) <= 3 && decimals(value.zMm) <= 3);
    assert.ok(decimals(value.feedRateMmPerMin) === 0);
    assert.ok(decimals(value.spindleLoadPercent) <= 1);
    assert.ok(decimals(value.powerKw) <= 2);
  }
});
