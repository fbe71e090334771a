import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonValue } from '../../model/reading.ts';
import type { FieldSettings } from './options.ts';
import { Gathering } from './samples.ts';
import { clockTrouble, judgeTime } from './times.ts';
import { takeField } from './values.ts';

const FIELD: FieldSettings = { name: 'x', type: 'auto', index: null, path: [], scale: 1, offset: 0, states: null };

function take(keys: Partial<FieldSettings>, value: JsonValue): unknown {
  const taken = takeField({ ...FIELD, ...keys }, value);
  return 'fault' in taken ? taken : taken.value;
}

test('numbers, text, states and parts of structures', () => {
  assert.equal(take({ type: 'number', scale: 0.1, offset: 2 }, 3), 2.3);
  assert.equal(take({ type: 'number' }, ' 12.5 '), 12.5);
  assert.deepEqual(take({ type: 'number' }, true), { fault: 'true is no number' });
  assert.deepEqual(take({ type: 'number' }, ''), { fault: '"" is no number' });
  assert.equal(take({ type: 'integer' }, 7.4), 7);
  assert.deepEqual(take({ type: 'integer' }, 3e9), { fault: '3000000000 is too large' });
  assert.equal(take({}, null), null);
  assert.equal(take({}, false), false);
  assert.equal(take({ scale: 1e300 }, 1e300), null);
  assert.equal(take({ states: { '1': 'running', true: 'idle' } }, 1), 'running');
  assert.equal(take({ states: { '1': 'running', true: 'idle' } }, true), 'idle');
  assert.deepEqual(take({ states: {} }, 'toString'), { fault: '"toString" is in no line of states' });
  const motor = { Windings: [{ T: 20 }, { T: 21 }], Name: 'm' };
  assert.equal(take({ path: ['Windings', '1', 'T'], type: 'number' }, motor), 21);
  assert.equal(take({ index: 1, path: ['T'] }, [{ T: 1 }, { T: 2 }]), 2);
  assert.deepEqual(take({ path: ['Winding'] }, motor), { fault: 'has no part Winding; it has Windings, Name' });
  assert.deepEqual(take({ index: 5 }, [1]), { fault: 'has no part 5; it has 1 elements, from 0' });
  assert.deepEqual(take({ path: ['a', 'b'] }, { a: 1 }), { fault: 'is 1, and has no part b' });
  assert.deepEqual(take({ path: ['toString'] }, {}), { fault: 'has no part toString; it has ' });
  let deep: JsonValue = 1;
  for (let depth = 0; depth < 20; depth += 1) deep = { deep };
  assert.match(JSON.stringify(take({}, deep)), /nests deeper than 8 levels/);
  assert.match(JSON.stringify(take({}, 'x'.repeat(40_000))), /has a text of 40000 characters/);
});

test('what is no reading any more is told, however it is nested', () => {
  const taken = (value: JsonValue): string => {
    const found = takeField(FIELD, value);
    return 'fault' in found ? found.fault : 'taken';
  };
  const rows = (count: number): JsonValue => Array.from({ length: count }, () => Array.from({ length: 99 }, () => 1.5));
  assert.equal(taken(rows(100)), 'taken');
  assert.match(taken(rows(101)), /has more than 10000 elements; name the one/);
  assert.equal(taken(Array.from({ length: 3 }, () => 'x'.repeat(30_000))), 'taken');
  assert.match(taken(Array.from({ length: 4 }, () => 'x'.repeat(30_000))), /texts of more than 100000 characters/);
  assert.match(taken('x'.repeat(40_000)), /a text of 40000 characters/);
});

test('a sample for each time, in their order; two values of one field are two samples', () => {
  const gathering = new Gathering();
  const [early, late] = [{ timestamp: '2026-01-01T00:00:00.000000Z' }, { timestamp: '2026-01-01T00:00:01.000000Z' }];
  gathering.put(late, 'a', 1);
  gathering.put(early, 'a', 2);
  gathering.put(late, 'b', 3);
  gathering.put(late, 'a', 4);
  gathering.put({ ...late, sourceTime: '2000-01-01T00:00:00.000000Z' }, 'a', 5);
  const origin = { machine_id: 'M' };
  assert.deepEqual(gathering.samples('M'), [
    { ...origin, ...early, a: 2 },
    { ...origin, ...late, a: 1, b: 3 },
    { ...origin, ...late, a: 4 },
    { ...origin, ...late, clock_quality: 'unsynchronized', source_time: '2000-01-01T00:00:00.000000Z', a: 5 },
  ]);
});

const at = (text: string): number => Date.parse(text) * 1000;

test('what a time is worth', () => {
  const gatewayMicros = at('2026-11-26T12:00:00Z');
  const clock = {
    gatewayMicros,
    sinceMicros: at('2026-11-26T11:00:00Z'),
    changeAgeMicrosMax: null as number | null,
    isServerClockBad: false,
    differenceMicrosMax: 60e6,
  };
  const judged = (text: string | null, more: Partial<typeof clock> = {}): string => {
    const sourceMicros = text === null ? null : at(text);
    const { timestamp, sourceTime } = judgeTime({ sourceMicros, serverMicros: null }, { ...clock, ...more });
    return `${timestamp.slice(0, 19)}${sourceTime === undefined ? '' : ` ${sourceTime.slice(0, 19)}`}`;
  };
  assert.equal(judged('2026-11-26T11:59:00Z'), '2026-11-26T11:59:00');
  assert.equal(judged('2026-11-20T00:00:00Z'), '2026-11-26T11:00:00', 'it holds still, as the session begins');
  assert.equal(judged(null), '2026-11-26T12:00:00');
  const change = { changeAgeMicrosMax: 90e6 };
  assert.equal(judged('2026-11-26T11:58:31Z', change), '2026-11-26T11:58:31');
  assert.equal(
    judged('2026-11-26T07:00:00Z', change),
    '2026-11-26T12:00:00 2026-11-26T07:00:00',
    'what changes now did not change five hours ago',
  );
  for (const wrong of ['1601-01-02T00:00:00', '1970-01-01T00:00:09', '2000-01-01T00:00:09', '2026-11-26T12:01:01']) {
    assert.equal(judged(`${wrong}Z`), `2026-11-26T12:00:00 ${wrong}`);
  }
  assert.equal(judged('2026-11-26T11:59:00Z', { isServerClockBad: true }), '2026-11-26T12:00:00 2026-11-26T11:59:00');
  const unset = { gatewayMicros: at('1970-01-01T00:05:00Z') };
  assert.equal(judged('2026-11-26T11:59:00Z', unset), '2026-11-26T11:59:00', 'a gateway without time is no judge');
  assert.equal(clockTrouble(gatewayMicros + 59e6, gatewayMicros, 60e6), null);
  assert.match(clockTrouble(gatewayMicros - 7200e6, gatewayMicros, 60e6) ?? '', /is 2 h behind the gateway's/);
  assert.match(clockTrouble(gatewayMicros + 90e6, gatewayMicros, 60e6) ?? '', /is 90 s ahead of/);
  assert.equal(clockTrouble(gatewayMicros, unset.gatewayMicros, 60e6), null);
});
