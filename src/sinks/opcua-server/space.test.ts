import assert from 'node:assert/strict';
import { test } from 'node:test';
import { microsOf } from '../../model/time.ts';
import { dateOf } from './space.ts';

test('a time before the beginning of OPC UA is its beginning', () => {
  const shown = (time: string): string => dateOf(microsOf(time)).toISOString();
  assert.equal(shown('0001-01-01T00:00:00.000000Z'), '1601-01-01T00:00:00.000Z');
  assert.equal(shown('2026-01-01T08:00:00.123456Z'), '2026-01-01T08:00:00.123Z');
});
