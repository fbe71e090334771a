import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drainText, fullPart, logWarnings, sizeText } from './log-standing.ts';

const GB = 1e9;
const calm = { bytes: 0.5 * GB, bytes_max: 4 * GB, bytes_possible: null, readings_thinned: 0, readings_dropped: 0 };

test('a log with room says how large it is, and nothing else', () => {
  assert.equal(sizeText(calm), '500.0 MB of 4.0 GB');
  assert.deepEqual(logWarnings(calm), []);
  assert.deepEqual(logWarnings({ ...calm, bytes: 0.8 * 4 * GB }), []);
});

test('a log that is nearly full says so, and whether its limit or its disk is short', () => {
  const full = { ...calm, bytes: 3.7 * GB };
  assert.deepEqual(logWarnings(full), ['The log is 93 % full: 3.7 GB of 4.0 GB.']);
  assert.deepEqual(logWarnings({ ...full, bytes_possible: 9 * GB }), logWarnings(full));
  assert.deepEqual(logWarnings({ ...calm, bytes_possible: 0.5 * GB }), [
    'The log is 100 % full: 500.0 MB of 500.0 MB, more does not fit on its disk.',
  ]);
  assert.equal(fullPart({ ...calm, bytes_possible: 0 }), 1);
});

test('what was given up is told with its number', () => {
  assert.deepEqual(logWarnings({ ...calm, readings_thinned: 12_000, readings_dropped: 500 }), [
    'To keep the log within its limit, 12\u202f000 readings were merged into wider intervals and 500 readings were dropped since the start.',
  ]);
  assert.deepEqual(logWarnings({ ...calm, readings_dropped: 1 }), [
    'To keep the log within its limit, 1 reading was dropped since the start.',
  ]);
});

test('an older gateway that tells none of it', () => {
  assert.equal(fullPart({ bytes: 1000 }), null);
  assert.equal(sizeText({ bytes: 1000 }), '1.0 KB');
  assert.deepEqual(logWarnings({ bytes: 1000 }), []);
  assert.equal(drainText([{ name: 'hub' }]), null);
});

test('a backlog is drained when the slowest sink is through', () => {
  assert.equal(drainText([{ drained_in_seconds: null }, { drained_in_seconds: 240 }]), 'drained in about 4 min');
  assert.equal(drainText([{ drained_in_seconds: 240 }, { drained_in_seconds: 7200 }]), 'drained in about 2 h');
});
