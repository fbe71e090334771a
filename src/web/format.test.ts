import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatAbout,
  formatAge,
  formatBytes,
  formatCount,
  formatNumber,
  formatOffset,
  formatRate,
  formatValue,
  plantTime,
} from './format.ts';

test('ages use two units and change them at the minute, the hour and the day', () => {
  const cases: [number | null, string][] = [
    [null, '—'],
    [-5000, '0 s'],
    [0, '0 s'],
    [42_900, '42 s'],
    [59_999, '59 s'],
    [60_000, '1 m 00 s'],
    [12 * 60_000 + 5000, '12 m 05 s'],
    [3_599_999, '59 m 59 s'],
    [3 * 3_600_000 + 7 * 60_000 + 59_000, '3 h 07 m'],
    [86_399_999, '23 h 59 m'],
    [2 * 86_400_000 + 4 * 3_600_000 + 60_000, '2 d 4 h'],
  ];
  for (const [age, text] of cases) assert.equal(formatAge(age), text);
});

test('how long it will take is told in one unit', () => {
  const minute = 60;
  const cases: [number, string][] = [
    [0, 'under a minute'],
    [59, 'under a minute'],
    [61, 'about 1 min'],
    [3.6 * minute, 'about 4 min'],
    [100 * minute, 'about 2 h'],
    [35 * 60 * minute, 'about 35 h'],
    [50 * 60 * minute, 'about 2 d'],
  ];
  for (const [seconds, text] of cases) assert.equal(formatAbout(seconds), text);
});

test('a number that is not known is a dash and never 0', () => {
  assert.equal(formatNumber(null, 1), '—');
  assert.equal(formatNumber(undefined, 1), '—');
  assert.equal(formatNumber(Number.NaN, 1), '—');
  assert.equal(formatNumber(0, 1), '0.0');
});

test('numbers keep their decimals and have no negative zero', () => {
  assert.equal(formatNumber(2512.4, 0), '2512');
  assert.equal(formatNumber(-12.3456, 3), '−12.346');
  assert.equal(formatNumber(-0.0004, 3), '0.000');
});

test('values are text as it is, numbers with decimals, and a dash for null', () => {
  assert.equal(formatValue('O4711', 0), 'O4711');
  assert.equal(formatValue(45.55, 1), '45.5');
  assert.equal(formatValue(null, 1), '—');
  assert.equal(formatValue('', 1), '—');
  assert.equal(formatValue([1, 2], 1), '[1,2]');
});

test('counts, bytes, rates and clock offsets', () => {
  assert.equal(formatCount(1284417), '1\u202f284\u202f417');
  assert.equal(formatCount(999), '999');
  assert.equal(formatBytes(999), '999 B');
  assert.equal(formatBytes(262_144), '262.1 KB');
  assert.equal(formatBytes(999_960), '1.0 MB');
  assert.equal(formatRate(30.24), '30.2');
  assert.equal(formatRate(12_345), '12\u202f345');
  assert.equal(formatOffset(0.012), '+12 ms');
  assert.equal(formatOffset(-3.4), '−3.4 s');
  assert.equal(formatOffset(-0.9999), '−1.0 s');
  assert.equal(formatOffset(-7200), '−2 h 00 m');
});

test('times are those of the plant, also across the change to winter time', () => {
  const berlin = plantTime('Europe/Berlin');
  assert.equal(berlin.dateTime(Date.parse('2026-10-25T00:30:00Z')), '2026-10-25 02:30:00');
  assert.equal(berlin.dateTime(Date.parse('2026-10-25T01:30:00Z')), '2026-10-25 02:30:00');
  assert.equal(berlin.dateTime(Date.parse('2026-10-25T02:30:00Z')), '2026-10-25 03:30:00');
  assert.equal(berlin.time(Date.parse('2026-07-01T22:00:00Z')), '00:00:00');
  const tokyo = plantTime('Asia/Tokyo');
  assert.equal(tokyo.near(Date.parse('2026-07-01T14:00:00Z'), Date.parse('2026-07-01T14:59:59Z')), '23:00:00');
  assert.equal(
    tokyo.near(Date.parse('2026-07-01T14:00:00Z'), Date.parse('2026-07-01T15:00:00Z')),
    '2026-07-01 23:00:00',
  );
});

test('a zone the browser does not know is shown as UTC', () => {
  assert.equal(plantTime('Mars/Olympus').zone, 'UTC');
});
