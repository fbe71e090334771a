import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { schema } from './config.ts';
import { filledTemplate, matches, overlaps, parsePath, timeOf, valueAt } from './paths.ts';

function faults(yaml: string): string {
  const document = parseConfig({ file: 'edge.yaml', text: yaml, environment: {} });
  try {
    checkConfig(document, schema);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

const URL = 'url: mqtt://broker:1883\n';
const TOPIC = 'topics: [{ filter: a/#, extra: all }]\n';

test('what cannot be meant is told', () => {
  for (const [yaml, wanted] of [
    [`url: http://broker\n${TOPIC}`, /url: found "http:\/\/broker"; allowed: an address such as mqtt:\/\/host:1883/],
    [`url: mqtt://me:secret@broker\n${TOPIC}`, /url: found "mqtt:\/\/…@broker"/],
    [URL, /either topics or sparkplug/],
    [`${URL}${TOPIC}sparkplug: { host_id: h }`, /either topics or sparkplug/],
    [`${URL}${TOPIC}session: { keep: true }`, /session\.keep: found true; needs client_id/],
    [`${URL}${TOPIC}session: { keep: true }\nclient_id: c\nqos: 0`, /needs qos: 1/],
    [`${URL}sparkplug: { host_id: h/1 }`, /host_id: found "h\/1"; allowed: text without/],
    [`${URL}topics: [{ filter: a+/b, extra: all }]`, /filter: found "a\+\/b"; allowed: a topic filter/],
    [
      `${URL}topics: [{ filter: a/+, extra: all }, { filter: '+/b', extra: all }]`,
      /means topics that topics\[0\] means too/,
    ],
    [`${URL}topics: [{ filter: a }]`, /takes nothing; allowed: map, extra, or name/],
    [`${URL}topics: [{ filter: a, extra: all, value: v }]`, /value: found "v"; goes with name/],
    [`${URL}topics: [{ filter: a, map: { x: speed } }]`, /allowed: temperature, spindle_speed/],
    [`${URL}topics: [{ filter: a, map: { x: { signal: temperature, extra: t } } }]`, /exactly one of signal, extra/],
    [
      `${URL}topics: [{ filter: a, map: { x: { signal: temperature, unit: bar } } }]`,
      /unit: allowed for temperature: °C, K, °F/,
    ],
    [`${URL}topics: [{ filter: a, map: { x: temperature, y: temperature } }]`, /fills temperature, as x does/],
    [`${URL}topics: [{ filter: a, map: { 'x..y': temperature } }]`, /is no path/],
    [`${URL}${TOPIC}protocol: 4`, /protocol: found 4; allowed: 5 or 3\.1\.1/],
  ] as const) {
    assert.match(faults(yaml), wanted, yaml);
  }
  assert.equal(faults(`${URL}${TOPIC}protocol: 3.1.1`), '');
  assert.equal(faults(`${URL}${TOPIC}protocol: 5`), '');
});

test('filters mean what MQTT says, and two of them the same topic or not', () => {
  const split = (text: string): string[] => text.split('/');
  for (const [filter, topic, isMeant] of [
    ['a/+/c', 'a/b/c', true],
    ['a/+', 'a/b/c', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['+', 'a', true],
    ['#', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/b', 'a/b/', false],
  ] as const) {
    assert.equal(matches(split(filter), split(topic)), isMeant, `${filter} ${topic}`);
  }
  for (const [one, other, isSame] of [
    ['a/+', '+/b', true],
    ['a/#', 'a', true],
    ['a/b', 'a/c', false],
    ['a/+', 'a/b/c', false],
    ['+/x/#', 'a/y/#', false],
    ['#', 'a/b/c', true],
  ] as const) {
    assert.equal(overlaps(split(one), split(other)), isSame, `${one} ${other}`);
    assert.equal(overlaps(split(other), split(one)), isSame, `${other} ${one}`);
  }
  assert.equal(filledTemplate('M-{2}-{last}', ['a', 'b', 'c']), 'M-b-c');
  assert.equal(filledTemplate('{4}', ['a', 'b', 'c']), undefined);
});

test('paths reach into objects and lists, and only there', () => {
  const value = { a: { 'b.c': [1, { d: null }] } };
  const at = (path: string): unknown => valueAt(value, parsePath(path) ?? ['?']);
  assert.equal(at('a["b.c"][0]'), 1);
  assert.equal(at('$.a["b.c"][1].d'), null);
  assert.equal(at('a.x.y'), undefined);
  assert.equal(at('a.constructor'), undefined);
  for (const wrong of ['a.', 'a[x]', 'a[', '"a"']) assert.equal(parsePath(wrong), undefined, wrong);
});

test('times are told apart by their size, and what is none is none', () => {
  const wanted = '2026-01-01T08:00:00.000000Z';
  const seconds = 1_767_254_400;
  for (const value of [
    seconds,
    seconds * 1e3,
    seconds * 1e6,
    seconds * 1e9,
    String(seconds),
    '2026-01-01T09:00:00+01:00',
  ]) {
    assert.equal(timeOf(value, 'auto'), wanted, String(value));
  }
  assert.equal(timeOf(seconds, 'unix_s'), wanted);
  assert.equal(timeOf('2026-01-01T08:00:00', 'iso'), '2026-01-01T08:00:00.000000Z');
  for (const value of ['yesterday', '', null, true, -1, {}, Number.NaN]) assert.equal(timeOf(value, 'auto'), undefined);
  assert.equal(timeOf(seconds, 'iso'), undefined);
});
