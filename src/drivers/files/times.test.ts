import assert from 'node:assert/strict';
import { test } from 'node:test';
import { microsOf, timestampOf } from '../../model/time.ts';
import { isoTime, isZone, timeReader } from './times.ts';

const CASES: readonly [format: string, zone: string, text: string, expected: string | undefined][] = [
  ['iso', 'UTC', '2026-01-01T08:00:00.5', '2026-01-01T08:00:00.500000Z'],
  ['iso', 'UTC', '2026-01-01 08:00', '2026-01-01T08:00:00.000000Z'],
  ['iso', 'Europe/Berlin', '2026-07-01T08:00:00', '2026-07-01T06:00:00.000000Z'],
  ['iso', 'Europe/Berlin', '2026-07-01T08:00:00+00:00', '2026-07-01T08:00:00.000000Z'],
  ['iso', '+05:30', '2026-01-01T08:00:00', '2026-01-01T02:30:00.000000Z'],
  ['iso', 'UTC', '2026-02-30T08:00:00', undefined],
  ['unix_s', 'UTC', '1767254400.25', '2026-01-01T08:00:00.250000Z'],
  ['unix_s', 'UTC', '1767254400.123457', '2026-01-01T08:00:00.123457Z'],
  ['unix_s', 'UTC', '1767254400.000003', '2026-01-01T08:00:00.000003Z'],
  ['unix_ms', 'UTC', '1767254400250', '2026-01-01T08:00:00.250000Z'],
  ['unix_ms', 'UTC', 'soon', undefined],
  ['dd.MM.yyyy HH:mm:ss', 'UTC', '31.12.2025 23:59:59', '2025-12-31T23:59:59.000000Z'],
  ['dd.MM.yyyy HH:mm:ss', 'UTC', '31.11.2025 23:59:59', undefined],
  ['dd.MM.yyyy HH:mm:ss', 'UTC', '1.1.2025 1:2:3', undefined],
  ['M/d/yyyy h:mm:ss a', 'America/New_York', '1/2/2026 12:05:06 AM', '2026-01-02T05:05:06.000000Z'],
  ['M/d/yyyy h:mm a', 'UTC', '1/2/2026 12:05 pm', '2026-01-02T12:05:00.000000Z'],
  ['M/d/yyyy h:mm a', 'UTC', '1/2/2026 13:05 pm', undefined],
  ['yyyyMMddHHmmssSSS', 'UTC', '20260102030405678', '2026-01-02T03:04:05.678000Z'],
  // Clocks go back at 3:00: 2:30 happens twice, and the earlier one is taken. They go forward: 2:30 does not happen.
  ['iso', 'Europe/Berlin', '2026-10-25T02:30:00', '2026-10-25T00:30:00.000000Z'],
  ['iso', 'Europe/Berlin', '2026-03-29T02:30:00', '2026-03-29T01:30:00.000000Z'],
];

test('times in every format and zone', () => {
  for (const [format, zone, text, expected] of CASES) {
    const read = timeReader(format, zone);
    const found = read?.(text);
    assert.equal(
      found === undefined ? undefined : timestampOf(microsOf(found)),
      expected,
      `${text} as ${format} in ${zone}`,
    );
  }
});

test('a pattern has the least that a time needs, and nothing twice', () => {
  for (const pattern of ['', 'dd.MM.yyyy', 'HH:mm', 'yyyy-MM-dd HH:mm yyyy']) {
    assert.equal(timeReader(pattern, 'UTC'), undefined, pattern);
  }
});

test('zones are those that there are', () => {
  assert.deepEqual(['UTC', '+02:00', 'Europe/Berlin', 'Mars/Base', '+2'].map(isZone), [true, true, true, false, false]);
  assert.equal(isoTime('yesterday', 'UTC'), undefined);
});
