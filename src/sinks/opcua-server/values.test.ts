import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineEvent, Measurement } from '../../model/reading.ts';
import type { SourceStatus } from '../../model/status.ts';
import { microsOf } from '../../model/time.ts';
import { Links } from './links.ts';
import { NewestValues, type Quality, type Variable } from './values.ts';

const NOW = microsOf('2026-01-01T08:00:00Z');

interface Rig {
  readonly values: NewestValues;
  readonly changes: Variable[];
  readonly take: (reading: object, options?: { seconds?: number; sequence?: number; isFresh?: boolean }) => void;
  /** `machine/name` or `machine/feature/name`, as value and quality. */
  readonly shown: (path: string) => [value: Variable['value'], quality: Quality] | undefined;
  readonly find: (path: string) => Variable | undefined;
}

function setup(machines: readonly string[] | null = null): Rig {
  const changes: Variable[] = [];
  const values = new NewestValues({ machines, onChange: (variable) => changes.push(variable) });
  const find = (path: string): Variable | undefined => {
    return [...values.variables()].find(({ machine, feature, name }) => {
      return [machine, ...(feature === null ? [] : [feature]), name].join('/') === path;
    });
  };
  return {
    values,
    changes,
    find,
    take: (reading, { seconds = 0, sequence = 1, isFresh = true } = {}) => {
      const timestamp = new Date(NOW / 1000 + seconds * 1000).toISOString();
      values.take({ machine_id: 'M', timestamp, ...reading }, { sequence, isFresh, nowMicros: NOW });
    },
    shown: (path) => {
      const found = find(path);
      return found && [found.value, found.quality];
    },
  };
}

const MEASURED = { kind: 'measurement', characteristic: 'bore', measured_value: 100.01, unit: 'mm' } as const;

test('a machine of which nothing is known waits; its first reading is shown with its time', () => {
  const { values, take, shown, find } = setup();
  values.addMachine('M');
  assert.deepEqual(shown('M/Device_Status'), [null, 'waiting']);
  values.setLink('M', 'up', NOW);
  assert.deepEqual(shown('M/Device_Status'), ['online', 'good']);
  assert.deepEqual(shown('M/Last_Update'), [null, 'waiting']);
  take({ temperature: 21.5, spindle_speed: null, active_program_line: 12, coolant: true, tool: 'T1' }, { seconds: 1 });
  assert.deepEqual(shown('M/Temperature_C'), [21.5, 'good']);
  assert.deepEqual(shown('M/Spindle_Speed_rpm'), [null, 'unavailable']);
  assert.deepEqual(shown('M/coolant'), [true, 'good']);
  assert.deepEqual(shown('M/Last_Update'), [NOW + 1e6, 'good']);
  assert.equal(find('M/Temperature_C')?.micros, NOW + 1e6);
  assert.equal(find('M/Temperature_C')?.unit, '°C');
  assert.equal(find('M/Active_Program_Line')?.type, 'int32');
});

test('what is older never replaces what is shown, but for a time that lies ahead', () => {
  const { take, shown, changes } = setup();
  take({ temperature: 20 }, { seconds: 0 });
  const before = changes.length;
  take({ temperature: 19 }, { seconds: -1 });
  assert.equal(changes.length, before);
  assert.deepEqual(shown('M/Temperature_C'), [20, 'good']);
  take({ temperature: 99 }, { seconds: 86_400 });
  take({ temperature: 21 }, { seconds: 1 });
  assert.deepEqual(shown('M/Temperature_C'), [21, 'good']);
});

test('a measurement is shown at the machine and at its feature, lengths in millimetres', () => {
  const { take, shown } = setup();
  const result = {
    nominal_value: 100_000,
    compensated_value: 100_002,
    expanded_uncertainty: 3,
    verdict: 'conform',
    temperature_c: 21,
    distrust: ['soak', 'age'],
  };
  take({ ...MEASURED, measured_value: 100_010, unit: 'µm', ...result });
  take({ ...MEASURED, characteristic: 'slot', measured_value: 20 }, { seconds: 1 });
  take({ ...MEASURED, characteristic: 'angle', measured_value: 45, unit: 'deg' }, { seconds: 2 });
  const near = (path: string, value: number): void => {
    const [found, quality] = shown(path) ?? [];
    assert.ok(Math.abs(Number(found) - value) < 1e-9 && quality === 'good', `${path}: ${String(found)} ${quality}`);
  };
  near('M/bore/Measured_Length_mm', 100.01);
  near('M/bore/Compensated_Length_mm', 100.002);
  near('M/bore/Deviation_mm', 0.002);
  near('M/bore/Expanded_Uncertainty_mm', 0.003);
  near('M/bore/Nominal_Length_mm', 100);
  assert.deepEqual(shown('M/bore/Verdict'), ['conform', 'good']);
  assert.deepEqual(shown('M/bore/Distrust'), ['soak; age', 'good']);
  near('M/Measured_Length_mm', 20);
  assert.deepEqual(shown('M/Characteristic'), ['slot', 'good']);
  assert.deepEqual(shown('M/Verdict'), [null, 'unavailable'], 'the newest length has none');
  near('M/Temperature_C', 21);
  near('M/angle/Measured_Value', 45);
  assert.equal(shown('M/angle/Measured_Length_mm'), undefined);
});

test('a lost source: Bad, the last value and its time stay; what is measured is good again with it, the rest when said', () => {
  const { values, take, shown, find } = setup();
  take({ temperature: 20, machine_state: 'running' });
  take(MEASURED);
  values.setLink('M', 'up', NOW);
  values.setLink('M', 'down', NOW + 5e6);
  assert.deepEqual(shown('M/Temperature_C'), [20, 'no_communication']);
  assert.equal(find('M/Temperature_C')?.micros, NOW);
  assert.deepEqual(shown('M/bore/Measured_Length_mm'), [100.01, 'no_communication']);
  assert.deepEqual(shown('M/Device_Status'), ['offline', 'good']);
  values.setLink('M', 'up', NOW + 9e6);
  assert.deepEqual(shown('M/Temperature_C'), [20, 'last_known']);
  assert.deepEqual(shown('M/bore/Measured_Length_mm'), [100.01, 'good']);
  assert.deepEqual(shown('M/Device_Status'), ['running', 'last_known']);
  // Its clock is behind the edge's.
  take({ temperature: 20, machine_state: 'idle' }, { seconds: 1 });
  assert.deepEqual(shown('M/Temperature_C'), [20, 'good']);
  assert.deepEqual(shown('M/Device_Status'), ['idle', 'good']);
});

test('one of two sources is lost: what was said before is uncertain until it is said again', () => {
  const { values, take, shown } = setup();
  values.addMachine('M');
  values.setLink('M', 'up', NOW);
  take({ temperature: 20, total_power_kw: 3 });
  values.setLink('M', 'partly', NOW + 1e6, { isLost: true });
  take({ temperature: 21 }, { seconds: 2 });
  assert.deepEqual(shown('M/Temperature_C'), [21, 'good']);
  assert.deepEqual(shown('M/Total_Power_kW'), [3, 'last_known']);
  // A second of three.
  values.setLink('M', 'partly', NOW + 3e6, { isLost: true });
  assert.deepEqual(shown('M/Temperature_C'), [21, 'last_known']);
  // All of them; the first one is back.
  values.setLink('M', 'down', NOW + 3e6);
  take({ temperature: 22 }, { seconds: 4 });
  values.setLink('M', 'partly', NOW + 5e6);
  assert.deepEqual(shown('M/Temperature_C'), [22, 'good']);
});

test('a machine that says itself that it is offline', () => {
  const { values, take, shown } = setup();
  values.addMachine('M');
  values.setLink('M', 'up', NOW);
  take({ temperature: 20 });
  take({ kind: 'event', event_type: 'state', state: 'offline' }, { seconds: 1 });
  assert.deepEqual(shown('M/Temperature_C'), [20, 'no_communication']);
  assert.deepEqual(shown('M/Device_Status'), ['offline', 'good']);
});

test('the newest batches come first: a state from one before them does not take the place of what came after', () => {
  const { values, take, shown } = setup();
  values.addMachine('M');
  values.setLink('M', 'up', NOW);
  take({ temperature: 20, machine_state: 'running' }, { seconds: 2, sequence: 7 });
  take({ kind: 'event', event_type: 'state', state: 'offline' }, { seconds: 1, sequence: 6 });
  assert.deepEqual(shown('M/Device_Status'), ['running', 'good']);
  assert.deepEqual(shown('M/Temperature_C'), [20, 'good']);
  // Later in the log, though its clock is behind.
  take({ kind: 'event', event_type: 'state', state: 'offline' }, { seconds: 1, sequence: 8 });
  assert.deepEqual(shown('M/Device_Status'), ['offline', 'good']);
});

test('what was read before the start of the edge is shown as such', () => {
  const { values, take, shown } = setup();
  take({ temperature: 20, machine_state: 'running' }, { isFresh: false });
  take(MEASURED, { isFresh: false });
  assert.deepEqual(shown('M/Temperature_C'), [20, 'last_known']);
  assert.deepEqual(shown('M/Device_Status'), ['running', 'last_known']);
  assert.deepEqual(shown('M/Measured_Length_mm'), [100.01, 'last_known']);
  values.setLink('M', 'up', NOW);
  assert.deepEqual(shown('M/Measured_Length_mm'), [100.01, 'good']);
  assert.deepEqual(shown('M/Temperature_C'), [20, 'last_known']);
});

test('a signal keeps its type; another one is told, not shown', () => {
  const { take, shown, find } = setup();
  take({ tool: 4, axes: { x: 1 } });
  take({ tool: 'T4' }, { seconds: 1 });
  assert.deepEqual(shown('M/tool'), [null, 'wrong_type']);
  assert.equal(find('M/tool')?.type, 'double');
  assert.deepEqual(shown('M/axes'), ['{"x":1}', 'good']);
  take({ tool: 5 }, { seconds: 2 });
  assert.deepEqual(shown('M/tool'), [5, 'good']);
});

test('what was said before the start of the edge settles no type', () => {
  const { take, shown, find } = setup();
  take({ tool: 'T4' }, { isFresh: false });
  take({ tool: null }, { seconds: 1 });
  take({ tool: 5 }, { seconds: 2 });
  assert.deepEqual(shown('M/tool'), [5, 'good']);
  assert.equal(find('M/tool')?.type, 'double');
  take({ tool: 'T6' }, { seconds: 3 });
  assert.deepEqual(shown('M/tool'), [null, 'wrong_type']);
});

test('a signal that is called as something else of the machine does not take its place', () => {
  const { values, take, shown } = setup();
  values.addMachine('M');
  values.setLink('M', 'up', NOW);
  take({ Device_Status: 'fine', Last_Update: 5, Temperature_C: 1, temperature: 20, Verdict: 'x' });
  take(MEASURED);
  assert.deepEqual(shown('M/Device_Status'), ['online', 'good']);
  assert.deepEqual(shown('M/Last_Update'), [NOW, 'good']);
  assert.deepEqual(shown('M/Temperature_C'), [20, 'good']);
  assert.deepEqual(shown('M/Verdict'), [null, 'unavailable']);
  assert.deepEqual(shown('M/Device_Status_'), ['fine', 'good']);
  assert.deepEqual(shown('M/Temperature_C_'), [1, 'good']);
});

test('a text that would fill an answer is told, not shown', () => {
  const { take, shown } = setup();
  take({ program: 'x'.repeat(32_769), list: Array.from({ length: 20_000 }, (_, index) => index) });
  assert.deepEqual(shown('M/program'), [null, 'wrong_type']);
  assert.deepEqual(shown('M/list'), [null, 'wrong_type']);
  take({ program: 'O1000' }, { seconds: 1 });
  assert.deepEqual(shown('M/program'), ['O1000', 'good']);
});

test('machines that are not wanted are not shown', () => {
  const { take, values } = setup(['N']);
  values.addMachine('M');
  take({ temperature: 20 });
  assert.deepEqual([...values.variables()], []);
});

test('links: by status, by events that come sooner, and by silence beyond three sampling intervals', () => {
  const intervals = new Map([
    ['a', 100],
    ['quiet', 100],
    ['slow', 60_000],
  ]);
  const links = new Links({ silentAfterMs: 30_000 });
  const source = (name: string, state: SourceStatus['state'], secondsAgo: number | null): SourceStatus => {
    const last_contact = secondsAgo === null ? null : new Date(NOW / 1000 - secondsAgo * 1000).toISOString();
    return { name, machine_id: `of ${name}`, state, last_contact, last_error: null } as SourceStatus;
  };
  const sent_at = '2026-01-01T08:00:00.000000Z';
  const sources = [
    source('a', 'ok', 1),
    source('quiet', 'ok', 31),
    source('slow', 'ok', 170),
    source('on change', 'ok', 5_000),
    source('new', 'connecting', null),
    { ...source('again', 'connecting', 5), last_error: 'refused' },
    source('gone', 'failing', 5),
    source('a little quiet', 'silent', 12),
    source('far too quiet', 'silent', 31),
    source('silent on change', 'silent', 12),
    source('wrong', 'misconfigured', 1),
  ];
  for (const name of ['a little quiet', 'far too quiet']) intervals.set(name, 100);
  links.takeStatus({ sources, sent_at }, intervals);
  assert.deepEqual(Object.fromEntries(links.byMachine()), {
    'of a': 'up',
    'of quiet': 'down',
    'of slow': 'up',
    'of on change': 'up',
    'of new': 'unknown',
    'of again': 'down',
    'of gone': 'down',
    // By the settings of this sink where the source is polled, by those of the sensor where it is not.
    'of a little quiet': 'up',
    'of far too quiet': 'down',
    'of silent on change': 'down',
    'of wrong': 'down',
  });
  const event = (item: string, connected: boolean, timestamp: string): MachineEvent => {
    return {
      kind: 'event',
      event_type: 'connection',
      machine_id: `of ${item}`,
      item,
      details: { connected },
      timestamp,
    };
  };
  links.takeEvent(event('a', false, '2026-01-01T08:00:01Z'));
  links.takeEvent(event('gone', true, '2026-01-01T07:59:00Z'));
  // A status from before the event.
  links.takeStatus({ sources, sent_at }, intervals);
  assert.equal(links.byMachine().get('of a'), 'down');
  assert.equal(links.byMachine().get('of gone'), 'down', 'the event was older than the status');
  links.takeStatus({ sources, sent_at: '2026-01-01T08:00:02Z' }, intervals);
  assert.equal(links.byMachine().get('of a'), 'up');
  const two = [source('a', 'ok', 1), { ...source('b', 'failing', 1), machine_id: 'of a' }];
  links.takeStatus({ sources: two, sent_at: '2026-01-01T08:00:04Z' }, intervals);
  assert.equal(links.byMachine().get('of a'), 'partly');
  assert.ok(links.takeLost().has('of a'));
  assert.equal(links.takeLost().size, 0);
});

test('links: a clock that is set back leaves none as it was', () => {
  const links = new Links({ silentAfterMs: 30_000 });
  const tell = (sent_at: string, state: SourceStatus['state']): void => {
    const source = { name: 'a', machine_id: 'M', state, last_contact: null, last_error: null } as SourceStatus;
    links.takeStatus({ sources: [source], sent_at }, new Map());
  };
  tell('2100-01-01T00:00:00Z', 'ok');
  assert.equal(links.byMachine().get('M'), 'up');
  tell('2026-01-01T08:00:00Z', 'failing');
  assert.equal(links.byMachine().get('M'), 'down');
});

test('a measurement without a reading beside it counts as the last update', () => {
  const { take, shown } = setup();
  take(MEASURED satisfies Partial<Measurement>, { seconds: 3 });
  assert.deepEqual(shown('M/Last_Update'), [NOW + 3e6, 'good']);
});
