/** Readings as they travel, right and odd, for the codecs of the wire. */
import type { Random } from '../../src/base/random.ts';
import { between, chance, pick } from './codec.ts';

const ORIGIN = { machine_id: 'M-1', timestamp: '2026-01-01T08:00:00.123456Z' };

export const READINGS: readonly object[] = [
  { ...ORIGIN, temperature: 45.5, machine_state: 'running', active_program_line: 120, own: [1, { a: 'b' }] },
  { ...ORIGIN, kind: 'measurement', characteristic: 'bore', measured_value: 25.01, unit: 'mm', details: { a: null } },
  { ...ORIGIN, kind: 'event', event_type: 'state', state: 'idle', previous_state: 'running', text: 'execution READY' },
  { ...ORIGIN, kind: 'event', event_type: 'condition', level: 'fault', native_code: 'E1', item: 'servo' },
  { ...ORIGIN, timestamp: '2026-01-01T09:00:00+01:00', sampling_factor: 2, x_pos_mm: null, own: 1 },
];

export const JSON_WORDS: readonly string[] = [
  ...['{', '}', '[', ']', '"', ':', ',', '\\u0000', '\\ud800', '\\', 'null', 'true', '1e999', '-0', '\0\0\0\0'],
  ...['\0\0\0\x02{}', '\xff\xff\xff\xff', '"__proto__":', '"toJSON":1,', '"kind":"event",', '"details":{},'],
  '"timestamp":"2026-01-01T08:00:00Z",',
];

const VALUES: readonly unknown[] = [0, -0, 1.5, 1e308, null, true, '', 'text', '\0', '\ud800', [], {}, [[1]], 2 ** 53];
const KEYS = ['extra', 'details', 'gateway_time', 'distrust', 'verdict', 'item', '', 'x'.repeat(200)];

/** Mostly a right one. */
export function oddReading(random: Random): object {
  const reading: Record<string, unknown> = { ...pick(random, READINGS) };
  for (let changes = chance(random, 0.8) ? 0 : between(random, 1, 2); changes > 0; changes -= 1) {
    const key = pick(random, [...Object.keys(reading), ...KEYS]);
    if (chance(random, 0.2)) delete reading[key];
    else reading[key] = pick(random, VALUES);
  }
  return reading;
}
