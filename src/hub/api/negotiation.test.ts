import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codingOf, preferred } from './negotiation.ts';

const TYPES = ['application/json', 'application/x-ndjson', 'text/csv'] as const;

test('the greatest weight wins, and between equals what we offer first', () => {
  assert.equal(preferred('text/csv', TYPES), 'text/csv');
  assert.equal(preferred('text/csv;q=0.5, application/x-ndjson; q=0.8', TYPES), 'application/x-ndjson');
  assert.equal(preferred('text/csv, application/json', TYPES), 'application/json');
  assert.equal(preferred('TEXT/CSV;header=present', TYPES), 'text/csv');
});

test('a wildcard counts less than the type itself', () => {
  assert.equal(preferred('*/*', TYPES), 'application/json');
  assert.equal(preferred('text/*, application/json;q=0.9', TYPES), 'text/csv');
  assert.equal(preferred('text/html, application/xhtml+xml, */*;q=0.8', TYPES), 'application/json');
  assert.equal(preferred('*/*, application/json;q=0', TYPES), 'application/x-ndjson');
});

test('nothing is preferred where nothing fits', () => {
  for (const header of [undefined, '', 'image/png', 'text/csv;q=0', ';;,', 'text/csv;q=x']) {
    assert.equal(preferred(header, TYPES), undefined);
  }
});

test('an answer is packed only as the client says', () => {
  assert.equal(codingOf('gzip, deflate, br, zstd'), 'zstd');
  assert.equal(codingOf('gzip, deflate'), 'gzip');
  assert.equal(codingOf('zstd;q=0, gzip;q=0.1'), 'gzip');
  assert.equal(codingOf('identity, gzip;q=0.5'), 'identity');
  for (const header of [undefined, '', '*', 'br']) assert.equal(codingOf(header), 'identity');
});
