import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/random.ts';
import { isAtLeast, microsOf, parseTimestamp, timestampOf } from './time.ts';

test('what is canonical stays as it is', () => {
  for (const text of [
    '2026-01-01T08:00:00Z',
    '2026-01-01T08:00:00.1Z',
    '2024-02-29T23:59:59.123456Z',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999Z',
  ]) {
    assert.equal(parseTimestamp(text), text);
  }
});

test('every other form becomes canonical, and digits beyond the microsecond are cut', () => {
  const cases: [string, string][] = [
    ['2022-08-08T13:51:34.7167146Z', '2022-08-08T13:51:34.716714Z'],
    ['2022-08-08T13:51:34.999999999999Z', '2022-08-08T13:51:34.999999Z'],
    ['2026-01-01t08:00:00z', '2026-01-01T08:00:00.000000Z'],
    ['2026-01-01 08:00:00,5Z', '2026-01-01T08:00:00.500000Z'],
    ['2026-01-01T01:30:00.25+02:00', '2025-12-31T23:30:00.250000Z'],
    ['2025-12-31T23:30:00-0100', '2026-01-01T00:30:00.000000Z'],
    ['2026-01-01T08:00:00-00:00', '2026-01-01T08:00:00.000000Z'],
    ['0001-01-01T00:00:00-23:59', '0001-01-01T23:59:00.000000Z'],
  ];
  for (const [text, expected] of cases) assert.equal(parseTimestamp(text), expected, text);
});

test('a time without zone is one only where UTC is assumed', () => {
  assert.equal(parseTimestamp('2026-01-01T08:00:00.5'), undefined);
  assert.equal(parseTimestamp('2026-01-01T08:00:00.5', { assumeUtc: true }), '2026-01-01T08:00:00.500000Z');
  assert.equal(parseTimestamp('2026-01-01T08:00:00+01:00', { assumeUtc: true }), '2026-01-01T07:00:00.000000Z');
});

test('what is no time of the calendar is none', () => {
  for (const text of [
    '',
    '2026-01-01',
    '2026-01-01T08:00Z',
    '2026-13-01T08:00:00Z',
    '2026-00-01T08:00:00Z',
    '2026-01-00T08:00:00Z',
    '2026-04-31T08:00:00Z',
    '2025-02-29T08:00:00Z',
    '1900-02-29T08:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T08:60:00Z',
    '2026-01-01T08:00:60Z',
    '0000-01-01T08:00:00Z',
    '2026-01-01T08:00:00+24:00',
    '2026-01-01T08:00:00+01:60',
    '2026-01-01T08:00:00.Z',
    '2026-01-01T08:00:00.1234567890123Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    '+2026-01-01T08:00:00Z',
    ' 2026-01-01T08:00:00Z',
    '2026-01-01T08:00:00Z\n',
    '1767254400',
  ]) {
    assert.equal(parseTimestamp(text), undefined, text);
  }
  assert.equal(parseTimestamp('2000-02-29T08:00:00Z'), '2000-02-29T08:00:00Z');
});

test('microseconds go there and back', () => {
  assert.equal(microsOf('1970-01-01T00:00:00Z'), 0);
  assert.equal(microsOf('1970-01-01T00:00:00.000001Z'), 1);
  assert.equal(microsOf('1970-01-01T00:00:01.5Z'), 1_500_000);
  assert.equal(microsOf('1969-12-31T23:59:59.999999Z'), -1);
  assert.equal(timestampOf(0), '1970-01-01T00:00:00.000000Z');
  assert.equal(timestampOf(-1), '1969-12-31T23:59:59.999999Z');
  assert.equal(timestampOf(1.9), '1970-01-01T00:00:00.000001Z');
  const random = seededRandom(1);
  for (let round = 0; round < 20_000; round += 1) {
    const micros = Math.floor((random() * 2 - 1) * Number.MAX_SAFE_INTEGER);
    assert.equal(microsOf(timestampOf(micros)), micros);
  }
});

test('the last microsecond of a second stays in it, to the end of the safe integers', () => {
  for (let year = 1990; year <= 2254; year += 1) {
    const text = `${year}-06-30T23:59:59.999999Z`;
    assert.equal(timestampOf(microsOf(text)), text);
  }
});

test('times before the year 1 and after 9999 become the first and the last that can be said', () => {
  for (const text of ['0001-01-01T00:00:00.000000Z', '9999-12-31T23:59:59.999999Z']) {
    assert.equal(timestampOf(microsOf(text)), text);
    assert.equal(timestampOf(microsOf(text) + 3e11 * (text < '1' ? -1 : 1)), text);
  }
});

test('timestamps of different decimals are compared as times', () => {
  assert.equal(isAtLeast('2026-01-01T08:00:00Z', '2026-01-01T08:00:00.000000Z'), true);
  assert.equal(isAtLeast('2026-01-01T08:00:00.5Z', '2026-01-01T08:00:00.50Z'), true);
  assert.equal(isAtLeast('2026-01-01T08:00:00Z', '2026-01-01T08:00:00.1Z'), false);
  assert.equal(isAtLeast('2026-01-01T08:00:00.09Z', '2026-01-01T08:00:00.1Z'), false);
});
