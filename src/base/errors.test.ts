import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODES, hasCode, messageOf, MillwrightError } from './errors.ts';

test('an error has a code, a cause and what the peer asked for', () => {
  const cause = new Error('inner');
  const error = new MillwrightError('try_later', 'wait', { cause, retryAfterMs: 500 });
  assert.equal(error.code, 'try_later');
  assert.equal(error.retryAfterMs, 500);
  assert.equal(error.cause, cause);
  assert.equal(error.name, 'MillwrightError');
  assert.ok(hasCode(error, 'try_later'));
  assert.ok(!hasCode(error, 'not_found'));
  assert.ok(!hasCode(Object.assign(new Error('x'), { code: 'try_later' }), 'try_later'));
  assert.equal('cause' in new MillwrightError('not_found', 'x'), false);
});

test('the table names every code by itself', () => {
  for (const [key, value] of Object.entries(ERROR_CODES)) assert.equal(key, value);
});

test('a message tells the causes, and a system error without words its code', () => {
  const refused = Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
  assert.equal(
    messageOf(new MillwrightError('connection_failed', 'cannot connect', { cause: refused })),
    'cannot connect: ECONNREFUSED',
  );
  assert.equal(messageOf(new TypeError('')), 'TypeError');
  assert.equal(messageOf('plain'), 'plain');
  assert.equal(messageOf(undefined), 'undefined');
  const ring = new Error('ring');
  ring.cause = ring;
  assert.equal(messageOf(ring), Array(9).fill('ring').join(': '));
});
