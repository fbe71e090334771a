/** Recordings of real machines: a spindle's temperature that flips, and clocks of years ago that were right. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { MachineEvent, Reading, Sample } from '../../model/reading.ts';
import { microsOf, parseTimestamp } from '../../model/time.ts';
import type { PlausibilityOptions } from './options.ts';
import { create } from './processor.ts';

const FOLDER = new URL('../../../test/data/mtconnect/', import.meta.url);
const CLOCK = { notBeforeMicros: microsOf('2010-01-01T00:00:00Z'), futureMs: 600_000, pastMs: null };

/** Every number of a recording, a sample each: lines of `timestamp|item|value|item|value`. */
function samplesOf(file: string): Sample[] {
  const lines = readFileSync(new URL(file, FOLDER), 'utf8').split(/\r?\n/);
  return lines.flatMap((line): Sample[] => {
    const [stamp = '', ...pairs] = line.split('|');
    const timestamp = parseTimestamp(stamp);
    const fields = pairs.flatMap((item, index) => {
      const text = pairs[index + 1] ?? '';
      return index % 2 === 0 && /^-?\d+(\.\d+)?$/.test(text) ? [[item, Number(text)]] : [];
    });
    return timestamp === undefined || fields.length === 0
      ? []
      : [{ machine_id: 'M-1', timestamp, ...Object.fromEntries(fields) }];
  });
}

/** By hand, from the values alone: how many are away from both their neighbours, which are alike, and back in that time. */
function flipsOf(samples: readonly Sample[], { name, by, withinMs }: { name: string; by: number; withinMs: number }) {
  const said = samples.flatMap((one) => {
    const value = one[name];
    return typeof value === 'number' ? [{ value, ms: microsOf(one.timestamp) / 1000 }] : [];
  });
  const isFar = (a: number, b: number): boolean => Math.abs(a - b) >= by;
  let flips = 0;
  for (let index = 1; index < said.length - 1; index += 1) {
    const [before, it, after] = [said[index - 1]!, said[index]!, said[index + 1]!];
    const isFlip = isFar(before.value, it.value) && !isFar(before.value, after.value);
    if (!isFlip || after.ms - it.ms > withinMs) continue;
    flips += 1;
    // What comes back is no flip of the flip.
    index += 1;
  }
  return { values: said.length, flips };
}

function run(options: PlausibilityOptions, samples: readonly Sample[]): Reading[] {
  const processor = create(options);
  return samples.flatMap((one) => processor.process(one));
}

test('the spindle temperature of the Mazak flips between 0 and what it is', () => {
  const samples = samplesOf('nist-mazak01-2017-04-26.shdr');
  for (const [withinMs, expected] of [
    [1_000, 4],
    [2_000, 2_462],
  ] as const) {
    const flip = { by: 5, withinMs, action: 'remove' } as const;
    const options = { signals: { S2temp: { range: null, flip, rate: null, stuck: null } }, clock: CLOCK };
    const out = run(options, samples);
    const flips = out.filter((one) => one.kind === undefined && one['S2temp_quality'] === 'flip');
    const found = flipsOf(samples, { name: 'S2temp', by: 5, withinMs });
    assert.deepEqual([found.values, flips.length], [6_815, expected]);
    assert.equal(found.flips, expected);
    const events = out.filter((one): one is MachineEvent => one.kind === 'event');
    assert.ok(events.length <= Math.max(8, expected / 10), `${events.length} events`);
    const told = events.reduce((sum, { details }) => sum + Number(details?.['readings'] ?? 0), 0);
    assert.ok(told >= expected - 50 && told <= expected, `${told} of ${expected} told with the ends of their runs`);
  }
});

test('a range finds every zero of it', () => {
  const samples = samplesOf('nist-mazak01-2017-04-26.shdr');
  const range = { min: 1, max: 80, action: 'remove' } as const;
  const options = { signals: { S2temp: { range, flip: null, rate: null, stuck: null } }, clock: CLOCK };
  const out = run(options, samples);
  const removed = out.filter((one) => one.kind === undefined && one['S2temp_quality'] === 'out_of_range');
  assert.equal(removed.length, samples.filter((one) => one['S2temp'] === 0).length);
  assert.ok(out.every((one) => one.kind !== undefined || one['S2temp'] !== 0));
});

for (const file of ['nist-mazak01-2017-04-26.shdr', 'nist-gfagie01-2016-11-07.shdr', 'okuma-multus-u3000.shdr']) {
  test(`${file}: recorded years ago, with rows of days before at its top, and no clock is blamed`, () => {
    const samples = samplesOf(file);
    assert.ok(samples.length > 1_000);
    assert.deepEqual(run({ signals: {}, clock: CLOCK }, samples), samples);
  });
}
