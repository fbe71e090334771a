import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { messageOf } from '../../base/errors.ts';
import { schema } from './config.ts';
import type { OpcuaOptions } from './options.ts';

function read(text: string): OpcuaOptions {
  return checkConfig(parseConfig({ file: 'edge.yaml', text, environment: {} }), schema);
}

function refusal(text: string): string {
  try {
    read(text);
  } catch (error) {
    return messageOf(error);
  }
  return '';
}

const NODE = 'nodes: [{ node: i=2258, extra: time }]';
const BASE = `url: opc.tcp://10.0.0.9:4840\nanonymous: true\n`;

test('defaults, and several parts of one node', () => {
  const options = read(`url: opc.tcp://10.0.0.9:4840
user: operator
password: "0123"
nodes:
  - { node: ns=2;s=Axes, index: 0, signal: x_pos_mm }
  - { node: ns=2;s=Axes, index: 1, signal: y_pos_mm, sampling_interval: 50ms }
  - { node: Objects/Machines/CNC-001/State, signal: machine_state, states: { 1: running, true: idle } }
  - { node: ns=2;s=Motor, field: Windings.2.Temperature, extra: winding, scale: 0.1 }
`);
  assert.deepEqual(options.identity, { kind: 'password', user: 'operator', password: '0123' });
  assert.deepEqual(options.security, { policy: 'strongest', mode: 'SignAndEncrypt' });
  assert.equal(options.publishingIntervalMs, 500);
  assert.equal(options.sessionTimeoutMs, 30_000);
  assert.ok(options.queueSize > 1);
  assert.deepEqual(
    options.nodes.map(({ node, samplingIntervalMs, fields }) => [node, samplingIntervalMs, fields.length]),
    [
      ['ns=2;s=Axes', 50, 2],
      ['Objects/Machines/CNC-001/State', 100, 1],
      ['ns=2;s=Motor', 100, 1],
    ],
  );
  assert.deepEqual(options.nodes[2]?.fields[0]?.path, ['Windings', '2', 'Temperature']);
  assert.deepEqual(options.nodes[1]?.fields[0]?.states, { '1': 'running', true: 'idle' });
});

for (const [name, text, message] of [
  [
    'no login',
    `url: opc.tcp://h:4840\n${NODE}`,
    /user: is missing; allowed: one of user, user_certificate and anonymous/,
  ],
  ['two logins', `${BASE}user: x\npassword: y\n${NODE}`, /allowed: one of user, user_certificate and anonymous: true/],
  ['no password', `url: opc.tcp://h\nuser: x\n${NODE}`, /password: is missing; allowed: with user one of password and/],
  ['a password without a user', `${BASE}password: x\n${NODE}`, /password: found .*; allowed: with user one of/],
  ['a certificate without its key', `url: opc.tcp://h\nuser_certificate: x\n${NODE}`, /user_key: is missing/],
  ['another protocol', `url: http://h\nanonymous: true\n${NODE}`, /edge.yaml:1: url: .*such as opc\.tcp:/],
  ['no node', `${BASE}nodes: []`, /one node at least/],
  ['a path from nowhere', `${BASE}nodes: [{ node: Machines/X, extra: x }]`, /nodes\[0\]\.node: .*a node id such as/],
  ['a wrong id', `${BASE}nodes: [{ node: ns=2;i=abc, extra: x }]`, /nodes\[0\]\.node: /],
  ['no target', `${BASE}nodes: [{ node: i=1 }]`, /nodes\[0\]\.signal: is missing; allowed: one of signal and extra/],
  [
    'a name twice',
    `${BASE}nodes: [{ node: i=1, extra: x }, { node: i=2, extra: x }]`,
    /nodes\[1\]\.extra: .*not taken/,
  ],
  ['a state without a table', `${BASE}nodes: [{ node: i=1, signal: machine_state }]`, /nodes\[0\]\.states: is missing/],
  ['a table without a state', `${BASE}nodes: [{ node: i=1, extra: x, states: { 1: idle } }]`, /states: .*only there/],
  ['a withdrawn policy', `${BASE}policy: Basic256\n${NODE}`, /policy: .*Basic256Sha256, None/],
] as const) {
  test(`refused: ${name}`, () => assert.match(refusal(text), message));
}
