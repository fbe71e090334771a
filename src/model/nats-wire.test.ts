import assert from 'node:assert/strict';
import { test } from 'node:test';
import { natsMessageId, parseNatsMessageId, STATUS_SUBJECTS, statusSubject, subjectToken } from './nats-wire.ts';

const GATEWAYS = [
  'pi-1',
  'hall 2',
  'hall/2',
  'a.b',
  '.',
  '*',
  '>',
  'a.*.>',
  '$SYS',
  '_INBOX',
  '100 %',
  '%2F',
  "O'Neil (old)!~",
  'Würzburg',
  '工場',
  '🏭 1',
  'line\none',
  'line\r\nNats-Msg-Id: forged',
  'tab\there',
  '\u00a0',
  '\u2028',
  '\ufeff',
  'x'.repeat(128),
  '工'.repeat(128),
];

test('a message id tells the identity of a batch of any gateway, in characters fit for a header', () => {
  for (const gatewayId of GATEWAYS) {
    for (const sequence of [1, 42, 999_999_999_999_999]) {
      const id = { gatewayId, epoch: 'a_B-9', sequence };
      assert.match(natsMessageId(id), /^[\x21-\x7e]+$/);
      assert.deepEqual(parseNatsMessageId(natsMessageId(id)), id);
    }
  }
  assert.equal(natsMessageId({ gatewayId: 'hall/2', epoch: 'a_B-9', sequence: 42 }), 'hall%2F2/a_B-9/42');
});

test('what is not of the form, to the letter, is an id of somebody else', () => {
  for (const messageId of [
    '',
    'g',
    'g/e',
    'g/e/',
    'g/e/x',
    'g/e/0',
    'g/e/01',
    'g/e/1.5',
    'g/e/-1',
    'g/e/1 ',
    ' g/e/1',
    'g/e/1\n',
    'g/e/1234567890123456',
    '/e/1',
    'g//1',
    'g/e e/1',
    'hall/2/e/1',
    'hall 2/e/1',
    'hall%2f2/e/1',
    '%67/e/1',
    'g%/e/1',
    'g%FF/e/1',
    'g%00/e/1',
    'Würzburg/e/1',
    `${'x'.repeat(129)}/e/1`,
    `g/${'e'.repeat(129)}/1`,
  ]) {
    assert.equal(parseNatsMessageId(messageId), undefined, messageId);
  }
});

test('the token of a gateway is one token of a subject, and its own', () => {
  for (const gatewayId of GATEWAYS) assert.match(subjectToken(gatewayId), /^[^\s.*>]+$/, gatewayId);
  assert.equal(new Set(GATEWAYS.map(subjectToken)).size, GATEWAYS.length);
  assert.equal(subjectToken('CNC-GW_7'), 'CNC-GW_7');
  assert.equal(subjectToken('a.b *'), 'a%2Eb%20%2A');
});

test('the status of every gateway is among what hubs subscribe to', () => {
  assert.equal(statusSubject('hall 2.1'), 'MILLWRIGHT_STATUS.hall%202%2E1');
  for (const gatewayId of GATEWAYS) assert.ok(statusSubject(gatewayId).startsWith(STATUS_SUBJECTS.slice(0, -1)));
});
