/** Files of real measuring systems, read whole: counted and summed here in another way than the driver does. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Measurement } from '../../model/reading.ts';
import { Bench } from './driver.test-support.ts';

const FOLDER = fileURLToPath(new URL('../../../test/data/quality/', import.meta.url));

async function read(name: string, format: string, count: number): Promise<Measurement[]> {
  const bench = await Bench.make();
  try {
    copyFileSync(path.join(FOLDER, name), path.join(bench.folder, name));
    bench.start({ format });
    await bench.until(() => bench.log.length >= count);
    await bench.restart();
    copyFileSync(path.join(FOLDER, name), path.join(bench.folder, `copy-${name}`));
    const journal = path.join(bench.state, 'read.journal');
    await bench.until(() => new RegExp(`copy-${name}.*"isDone":true`).test(readFileSync(journal, 'utf8')));
    assert.deepEqual([bench.errors, bench.events, bench.log.length], [[], [], count]);
    return bench.measurements;
  } finally {
    await bench.stop();
    await rm(bench.root, { recursive: true, force: true });
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

test('every result of a QIF 3.0 file of a real vendor', async () => {
  const text = readFileSync(path.join(FOLDER, 'widget-results.qif'), 'utf8');
  const results = text.slice(text.indexOf('<MeasuredCharacteristics>'), text.indexOf('</MeasuredCharacteristics>'));
  const values = [...results.matchAll(/<Value>([^<]+)</g)].map((match) => Number(match[1]));
  const declared = Number(/<CharacteristicMeasurements n="(\d+)"/.exec(text)?.[1]);
  assert.equal(values.length, declared);
  const measurements = await read('widget-results.qif', 'qif', declared);
  assert.equal(sum(measurements.map(({ measured_value }) => measured_value)), sum(values));
  assert.deepEqual(
    measurements.map(({ details }) => details?.['status']),
    [...results.matchAll(/<CharacteristicStatusEnum>([A-Z_]+)</g)].map((match) => match[1]),
  );
  // By hand, from the file: a deviation of 0.13 from 19, of result 50; and a form that may be 0.25.
  const byId = (id: string): Measurement | undefined =>
    measurements.find(({ details }) => details?.['measurement_id'] === id);
  const { characteristic, unit, timestamp, nominal_value, lower_limit, upper_limit } = byId('50') ?? {};
  assert.deepEqual(
    { characteristic, unit, timestamp, nominal_value, lower_limit, upper_limit },
    {
      characteristic: '10.diameter',
      unit: 'mm',
      timestamp: '2015-10-23T14:03:55Z',
      nominal_value: 19,
      lower_limit: 18.87,
      upper_limit: 19.13,
    },
  );
  assert.deepEqual(
    [byId('16')?.lower_limit, byId('16')?.upper_limit, byId('16')?.nominal_value],
    [undefined, 0.25, undefined],
  );
});

test('every value of an AQDEF file', async () => {
  const text = readFileSync(path.join(FOLDER, 'testmeasures.dfq'), 'latin1');
  const values = [...text.matchAll(/\d\.\d{14}E[+-]\d+/g)].map((match) => Number(match[0]));
  assert.equal(values.length, (text.split('\x0f').length - 1) * 2);
  const measurements = await read('testmeasures.dfq', 'aqdef', values.length);
  assert.deepEqual(
    measurements.map(({ measured_value }) => measured_value),
    values,
  );
  const [first, second] = measurements;
  assert.deepEqual(
    [first?.characteristic, first?.part_id, first?.unit, first?.nominal_value, first?.lower_limit, first?.upper_limit],
    ['Diameter', 'Teil 123.456.789', 'cm', 250, 200, 300],
  );
  assert.deepEqual([first?.timestamp, second?.characteristic], ['2002-05-17T05:54:58Z', 'Diameter before drill']);
  assert.equal(measurements.at(-1)?.timestamp, '2002-05-18T18:14:57Z');
});
