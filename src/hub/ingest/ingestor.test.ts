import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Client } from 'pg';
import { systemClock } from '../../base/clock.ts';
import { hasCode } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { seededRandom } from '../../base/random.ts';
import { encodeFrame } from '../../model/frame.ts';
import type { Sample } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import type { DatabaseSettings } from '../settings.ts';
import { compactSettled } from '../store/settled.ts';
import { createClient } from '../store/connection.ts';
import type { Identity } from '../store/parcel.ts';
import { select, startTestServer, withClient } from '../../../test/support/hub-database.ts';
import { type Committed, INGEST_LIMITS, type IngestLimits, Ingestor } from './ingestor.ts';
import type { Message } from './prepare.ts';

const server = await startTestServer();

interface Running {
  readonly ingestor: Ingestor;
  readonly committed: Committed[];
  readonly stop: () => Promise<void>;
}

function start(
  settings: DatabaseSettings,
  limits: IngestLimits = INGEST_LIMITS,
  connection = (onLost: (error: Error) => void): Client => createClient(settings, 'write', onLost),
): Running {
  const committed: Committed[] = [];
  const parts = {
    connection,
    isWatched: (machineId: string) => machineId === 'WATCHED',
    committed: (one: Committed) => void committed.push(one),
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
  };
  const ingestor = new Ingestor(parts, limits);
  const stopping = new AbortController();
  const running = ingestor.run(stopping.signal);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  after(stop);
  return { ingestor, committed, stop };
}

const batch = (sequence: number, gatewayId = 'gw'): Identity => ({ kind: 'batch', gatewayId, epoch: 'e1', sequence });
const frames = (...readings: unknown[]): Buffer => Buffer.concat(readings.map((reading) => encodeFrame(reading)));
const message = (sequence: number, ...readings: unknown[]): Message => {
  return { identity: batch(sequence), payload: frames(...readings) };
};
const sample = (second: number, fields: object = {}, machineId = 'CNC-1'): object => {
  const timestamp = `2026-01-01T08:00:${String(second).padStart(2, '0')}.000001Z`;
  return { machine_id: machineId, timestamp, ...fields };
};

test('what is stored is what was sent, to the microsecond and with its nulls', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const answer = await ingestor.submit([
    message(
      1,
      {
        machine_id: 'CNC-Ü\t"\\',
        timestamp: '2026-01-01T08:00:00.123456Z',
        temperature: 45.5,
        spindle_speed: 0,
        x_pos_mm: 1e-310,
        y_pos_mm: 1.7976931348623157e308,
        z_pos_mm: null,
        machine_state: 'running',
        active_program_line: -120,
        total_power_kw: 0.1,
        coolant: null,
        tool: { name: 'T"1\\', list: [1, null] },
        __proto__x: 'kept',
        gateway_time: '2026-01-01T08:00:00.5Z',
        clock_quality: 'unsynchronized',
      },
      { machine_id: 'old', timestamp: '0001-01-01T00:00:00.000001Z' },
      { machine_id: 'old', timestamp: '1999-12-31T23:59:59.999999Z' },
      { machine_id: 'old', timestamp: '9999-12-31T23:59:59.999999Z' },
      {
        kind: 'event',
        machine_id: 'old',
        timestamp: '2026-01-01T00:00:00+01:00',
        event_type: 'state',
        state: 'idle',
        text: 'READY',
      },
      {
        kind: 'measurement',
        machine_id: 'cmm',
        timestamp: '2026-01-01T08:00:00Z',
        characteristic: 'bore',
        measured_value: 50.0004,
        unit: 'mm',
        details: { probe: 2 },
      },
    ),
  ]);
  assert.deepEqual(answer, { stored: 6, duplicate_batches: 0, dead_letters: 0, refused: [] });
  const [row, ...old] = await select<Record<string, unknown>>(
    settings,
    'select * from sensor_data order by machine_id, time',
  );
  assert.deepEqual(
    { ...row },
    {
      time: '2026-01-01T08:00:00.123456Z',
      machine_id: 'CNC-Ü\t"\\',
      temperature: 45.5,
      spindle_speed: 0,
      x_pos_mm: 1e-310,
      y_pos_mm: 1.7976931348623157e308,
      z_pos_mm: null,
      feed_rate_actual: null,
      spindle_load_percent: null,
      machine_state: 'running',
      active_program_line: -120,
      total_power_kw: 0.1,
      extra: {
        z_pos_mm: null,
        coolant: null,
        tool: { name: 'T"1\\', list: [1, null] },
        __proto__x: 'kept',
        gateway_time: '2026-01-01T08:00:00.5Z',
        clock_quality: 'unsynchronized',
      },
    },
  );
  assert.deepEqual(
    old.map(({ time, extra }) => [time, extra]),
    [
      ['0001-01-01T00:00:00.000001Z', null],
      ['1999-12-31T23:59:59.999999Z', null],
      ['9999-12-31T23:59:59.999999Z', null],
    ],
  );
  const [event] = await select<Record<string, unknown>>(settings, 'select time, machine_id, state, text from events');
  assert.deepEqual(event, { time: '2025-12-31T23:00:00.000000Z', machine_id: 'old', state: 'idle', text: 'READY' });
  const [measurement] = await select<Record<string, unknown>>(
    settings,
    'select measured_value, details from measurements',
  );
  assert.deepEqual(measurement, { measured_value: 50.0004, details: { probe: 2 } });
  const machines = await select<{ id: string }>(settings, 'select id from machines order by id');
  assert.deepEqual(
    machines.map(({ id }) => id),
    ['CNC-Ü\t"\\', 'cmm', 'old'],
  );
});

test('a measurement with all that was worked out of it is stored value by value', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const origin = { kind: 'measurement', machine_id: 'cmm' };
  const whole = {
    characteristic: 'bore',
    measured_value: 500.123456789,
    unit: 'mm',
    part_id: 'P-7',
    serial_number: 'S"1',
    nominal_value: 500,
    lower_limit: 499.9,
    upper_limit: 500.2,
    temperature_c: 23.5,
    details: { probe: 2 },
    gateway_time: '2026-01-01T08:00:01.000000Z',
    clock_quality: 'unsynchronized',
    scale_temperature_c: 22.25,
    compensation: 'none',
    compensated_value: 500.09190906,
    correction: -0.03154772,
    expanded_uncertainty: 0.0031878,
    uncertainty_contributions: { part_expansion: 0.00101, cmm: 1e-310, 'größe "x"': 0 },
    verdict: 'indeterminate',
    decision_rule: 'simple_acceptance',
    guard_band: 0.00263,
    conformance_probability: 0.6626,
    distrust: ['the part – scale difference is 1.5 K', 'temperature\n"missing"'],
  };
  const bare = { characteristic: 'bore', measured_value: 1, unit: 'µm' };
  const wide = { ...bare, measured_value: 2, distrust: Array.from({ length: 64 }, () => '–'.repeat(4096)) };
  const at = (second: number): string => `2026-01-01T08:00:0${second}.000000Z`;
  const sent = [whole, bare, wide].map((one, index) => ({ ...origin, timestamp: at(index), ...one }));
  assert.equal((await ingestor.submit([message(1, ...sent)])).stored, 3);
  const rows = await select<Record<string, unknown>>(settings, 'select * from measurements order by time');
  const nothing = Object.fromEntries(Object.keys(whole).map((key) => [key, null]));
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [whole, bare, wide].map((one, index) => ({ time: at(index), machine_id: 'cmm', ...nothing, ...one })),
  );
});

test('a batch is stored once: twice in one request, and from two hubs at once', async () => {
  const settings = await server.database();
  const first = start(settings).ingestor;
  const second = start(settings).ingestor;
  const same = message(1, sample(1), sample(2));
  const together = await first.submit([same, same]);
  assert.deepEqual([together.stored, together.duplicate_batches], [2, 1]);

  let duplicates = 0;
  for (let sequence = 2; sequence <= 60; sequence += 1) {
    const offered = message(sequence, sample(sequence % 60));
    const answers = await Promise.all([first.submit([offered]), second.submit([offered]), first.submit([same])]);
    duplicates += answers.reduce((sum, answer) => sum + answer.duplicate_batches, 0);
  }
  assert.equal(duplicates, 59 * 2);
  const [{ rows } = { rows: 0 }] = await select<{ rows: number }>(settings, 'select count(*) as rows from sensor_data');
  assert.equal(rows, 61);
  assert.deepEqual(await settledOf(settings), ['{[1,61)}']);
});

/** The sequences in the rows of all logs, in the order of their names. */
async function settledOf(settings: DatabaseSettings): Promise<string[]> {
  const rows = await select<{ sequences: string }>(
    settings,
    'select sequences from settled_logs order by origin, name',
  );
  return rows.map(({ sequences }) => sequences);
}

test('identities are ranges that join when the gap is filled; those of a stream are apart from those of a log', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const store = (sequences: number[]): Promise<unknown> => {
    return Promise.all(sequences.map((sequence) => ingestor.submit([message(sequence, sample(sequence))])));
  };
  await store([7, 8, 9, 12]);
  assert.deepEqual(await settledOf(settings), ['{[7,10),[12,13)}']);
  await store([14, 10, 1]);
  assert.deepEqual(await settledOf(settings), ['{[1,2),[7,11),[12,13),[14,15)}']);
  await store([11, 13]);
  assert.deepEqual(await settledOf(settings), ['{[1,2),[7,15)}']);
  const inStream = (sequence: number): Message => {
    return { ...message(1, sample(1)), identity: { kind: 'stream', stream: 'gw', epoch: 'e1', sequence } };
  };
  const answer = await ingestor.submit([
    message(10, sample(10)),
    { ...message(10, sample(10)), identity: batch(10, 'other') },
    inStream(10),
    inStream(10),
  ]);
  assert.deepEqual([answer.stored, answer.duplicate_batches], [2, 2]);
  assert.deepEqual(await settledOf(settings), ['{[1,2),[7,15)}', '{[10,11)}', '{[10,11)}']);
});

test('of a log with many gaps old ranges are put aside, while others store, and are still known', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const compacting = new AbortController();
  const compaction = withClient(settings, async (client) => {
    let logs = 0;
    while (!compacting.signal.aborted) logs += (await compactSettled(client)).logs;
    return logs;
  });
  const offered = Array.from({ length: 300 }, (_, index) => message(1 + 2 * index, sample(index % 60)));
  for (let first = 0; first < offered.length; first += 5) await ingestor.submit(offered.slice(first, first + 5));
  compacting.abort();
  assert.ok((await compaction) > 0);
  await withClient(settings, compactSettled);
  const [row] = await select<{ kept: number; moved: number }>(
    settings,
    `select (select count(*) from settled_logs, unnest(sequences)) as kept, (select count(*) from settled_ranges) as moved`,
  );
  assert.ok(row !== undefined && row.kept <= 64 && row.kept + row.moved === 300, JSON.stringify(row));
  assert.deepEqual(await ingestor.submit(offered), { stored: 0, duplicate_batches: 300, dead_letters: 0, refused: [] });
  const between = await ingestor.submit([message(2, sample(1)), message(3, sample(1)), message(598, sample(1))]);
  assert.deepEqual([between.stored, between.duplicate_batches], [2, 1]);
});

test('of a message that came twice together with others, only the others are stored', async () => {
  const settings = await server.database();
  const { ingestor, committed } = start(settings);
  const event = {
    kind: 'event',
    event_type: 'state',
    state: 'idle',
    machine_id: 'M',
    timestamp: '2026-01-01T08:00:00Z',
  };
  const bad = { machine_id: 'M' };
  await ingestor.submit([message(1, sample(1), event, bad)]);
  const answer = await ingestor.submit([message(1, sample(1), event, bad), message(2, sample(2, {}, 'WATCHED'), bad)]);
  assert.deepEqual([answer.stored, answer.duplicate_batches, answer.dead_letters], [1, 1, 1]);
  const [{ letters } = { letters: 0 }] = await select<{ letters: number }>(
    settings,
    'select count(*) as letters from dead_letters',
  );
  assert.equal(letters, 2);
  assert.deepEqual(
    committed.map(({ samples, events }) => [samples.length, events.length]),
    [
      [0, 1],
      [1, 0],
    ],
  );
});

test('each minute of a machine that was stored to is marked, with a new number each time', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const marks = (): Promise<{ minute: string; mark: number }[]> =>
    select(settings, `select machine_id, minute, mark from rollup_marks order by machine_id, minute`);
  const at = (time: string): object => ({ machine_id: 'M', timestamp: `2026-01-01T08:${time}Z` });
  await ingestor.submit([message(1, at('00:59.999999'), at('01:00')), message(2, { ...at('07:30'), machine_id: 'N' })]);
  const first = await marks();
  assert.deepEqual(
    first.map(({ minute }) => minute),
    ['2026-01-01T08:00:00.000000Z', '2026-01-01T08:01:00.000000Z', '2026-01-01T08:07:00.000000Z'],
  );
  await ingestor.submit([message(3, at('01:30'))]);
  const second = await marks();
  assert.deepEqual([second[0]?.mark, second[2]?.mark], [first[0]?.mark, first[2]?.mark]);
  assert.ok((second[1]?.mark ?? 0) > (first[1]?.mark ?? 0));
});

test('keys of other publishers store once, and expired ones are forgotten', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const keyed = (key: string, rememberSeconds: number): Message => {
    return { identity: { kind: 'key', key, rememberSeconds }, payload: frames(sample(1)) };
  };
  await ingestor.submit([keyed('a', 100), keyed('b', -1), keyed('a', 50)]);
  assert.equal((await ingestor.submit([keyed('a', 100)])).duplicate_batches, 1);
  assert.deepEqual(await withClient(settings, compactSettled), { logs: 0, keys: 1 });
  assert.equal((await ingestor.submit([keyed('b', 100)])).stored, 1);
});

test('what the database refuses as data goes to the dead letters, and its neighbours are stored', async () => {
  const settings = await server.database();
  await select(settings, `alter table sensor_data add constraint plausible check (temperature < 1000)`);
  const { ingestor } = start(settings);
  const readings = Array.from({ length: 40 }, (_, index) => sample(index, { temperature: index === 17 ? 4000 : 20 }));
  const answers = await Promise.all([
    ingestor.submit([message(1, sample(1))]),
    ingestor.submit([message(2, sample(2)), message(3, ...readings)]),
    ingestor.submit([message(4, sample(4))]),
  ]);
  assert.deepEqual(
    answers.map(({ stored, dead_letters }) => [stored, dead_letters]),
    [
      [1, 0],
      [40, 1],
      [1, 0],
    ],
  );
  assert.match(answers[1].refused[0]?.reason ?? '', /the database refuses it: .*plausible/);
  const [letter] = await select<{ sequence: number; bytes: Buffer }>(
    settings,
    'select sequence, bytes from dead_letters',
  );
  assert.equal(letter?.sequence, 3);
  assert.deepEqual(JSON.parse(String(letter?.bytes)), sample(17, { temperature: 4000 }));
  const [current] = await select<{ signals: object }>(settings, 'select signals from machine_current');
  assert.deepEqual(current?.signals, { temperature: ['2026-01-01T08:00:39.000001Z', 20] });
});

test('a message at which the hub itself fails, within the transaction, goes to the dead letters, and its neighbours are stored', async () => {
  const settings = await server.database();
  let failures = 0;
  const connection = (onLost: (error: Error) => void): Client => {
    const client = createClient(settings, 'write', onLost);
    const query = client.query.bind(client) as (...asked: unknown[]) => unknown;
    // A defect that one machine's name brings out.
    const faulty = (...asked: unknown[]): unknown => {
      const { name, values } = asked[0] as { name?: string; values?: unknown[][] };
      if (name !== 'update current' || values?.[0]?.includes('BAD') !== true) return query(...asked);
      failures += 1;
      throw new TypeError('cannot read properties of undefined');
    };
    return Object.assign(client, { query: faulty });
  };
  const { ingestor } = start(settings, INGEST_LIMITS, connection);
  const answers = await Promise.all([
    ingestor.submit([message(1, sample(1))]),
    ingestor.submit([message(2, sample(2)), message(3, sample(3, {}, 'BAD'), sample(3)), message(4, sample(4))]),
  ]);
  assert.deepEqual(
    answers.map(({ stored, dead_letters }) => [stored, dead_letters]),
    [
      [1, 0],
      [2, 1],
    ],
  );
  const reason = 'the hub fails at it, by a defect of its own: cannot read properties of undefined';
  assert.deepEqual(answers[1].refused, [{ place: 'batch gw/e1/3, byte 0', reason }]);
  const letters = await select(settings, 'select sequence, reason, bytes from dead_letters');
  assert.deepEqual(letters, [{ sequence: 3, reason, bytes: message(3, sample(3, {}, 'BAD'), sample(3)).payload }]);
  assert.equal((await ingestor.submit([message(3, sample(3, {}, 'BAD'))])).duplicate_batches, 1);
  assert.ok(failures < 10, `${failures} attempts`);
});

test('what takes a slow database too long together is stored in parts', async () => {
  const settings = await server.database();
  await withClient(settings, async (client) => {
    await client.query(`create function slow() returns trigger language plpgsql as
      'begin perform pg_sleep(0.01); return new; end'`);
    await client.query('create trigger slow before insert on sensor_data for each row execute function slow()');
  });
  const connection = (onLost: (error: Error) => void): Client => {
    const impatient = createClient(settings, 'write', onLost);
    const connect = impatient.connect.bind(impatient) as () => Promise<unknown>;
    return Object.assign(impatient, {
      connect: async () => {
        await connect();
        await impatient.query('set statement_timeout = 500');
      },
    });
  };
  const { ingestor } = start(settings, { ...INGEST_LIMITS, patienceMs: 3_000 }, connection);
  const messages = Array.from({ length: 40 }, (_, index) => message(index + 1, sample(1), sample(2), sample(3)));
  assert.equal((await ingestor.submit(messages)).stored, 120);
  assert.equal((await ingestor.submit(messages)).duplicate_batches, 40);
  const long = message(41, ...Array.from({ length: 59 }, (_, index) => sample(index)));
  await assert.rejects(ingestor.submit([long]), (error) => hasCode(error, 'try_later'));
});

test('what has no room in the memory of the database together is stored in parts', async () => {
  const settings = await server.database();
  await withClient(settings, async (client) => {
    // As TimescaleDB does it when the rows of one transaction lie in a thousand chunks.
    await client.query(`create function full_of_locks() returns trigger language plpgsql as $$
      begin
        if (select count(*) from added) > 20 then raise 'out of shared memory' using errcode = '53200'; end if;
        return null;
      end $$`);
    await client.query(`create trigger full_of_locks after insert on sensor_data referencing new table as added
      for each statement execute function full_of_locks()`);
  });
  const { ingestor } = start(settings, { ...INGEST_LIMITS, patienceMs: 3_000 });
  const messages = Array.from({ length: 40 }, (_, index) => message(index + 1, sample(1), sample(2), sample(3)));
  assert.equal((await ingestor.submit(messages)).stored, 120);
});

test('since when a machine is in its state: as its stored words say, in whatever order they came', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const random = seededRandom(9);
  const states: readonly (MachineState | null)[] = ['running', 'idle', null];
  const batches: Message[] = [];
  const expected: object[] = [];
  for (let machine = 0; machine < 20; machine += 1) {
    let state: MachineState | null = 'idle';
    let begin: { state: MachineState | null; time: string } = { state, time: '' };
    for (let second = 0; second < 60; second += 1) {
      if (random() < 0.1) state = states[Math.floor(random() * states.length)] ?? null;
      const told = { kind: 'event', event_type: 'state', state };
      const said = state !== null && random() < 0.5 ? told : { machine_state: state };
      // Other samples lie between, which say nothing of the state.
      const readings = [sample(second, said, `M-${machine}`), sample(second, { temperature: 20 }, `M-${machine}`)];
      batches.push(message(batches.length + 1, ...readings));
      if (second === 0 || state !== begin.state) begin = { state, time: (readings[0] as Sample).timestamp };
    }
    expected.push({ machine_id: `M-${machine}`, state: begin.state, state_since: begin.time });
  }
  const order = batches.toSorted(() => random() - 0.5);
  while (order.length > 0) await ingestor.submit(order.splice(0, 1 + Math.floor(random() * 30)));
  const rows = await select<{ machine_id: string }>(
    settings,
    'select machine_id, state, state_since from machine_current',
  );
  const byName = (a: object, b: object): number => JSON.stringify(a).localeCompare(JSON.stringify(b));
  assert.deepEqual(rows.toSorted(byName), expected.toSorted(byName));
});

test('a transaction whose server process is killed is repeated, and stored once', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  await ingestor.submit([message(1, sample(1))]);
  const killed: boolean[] = [];
  const killer = withClient(settings, async (client) => {
    while (killed.length < 6) {
      const { rows } = await client.query<{ dead: boolean }>(
        `select pg_terminate_backend(pid) as dead from pg_stat_activity
         where datname = $1 and application_name like '%write' and state <> 'idle'`,
        [settings.dbname],
      );
      killed.push(...rows.map(({ dead }) => dead));
      await client.query('select pg_sleep(0.05)');
    }
  });
  let sequence = 2;
  while (killed.length < 6 || sequence < 30) {
    const readings = Array.from({ length: 200 }, (_, index) => sample(index % 60));
    const offered = message(sequence, ...readings);
    const answer = await ingestor.submit([offered]);
    assert.equal(answer.stored + answer.duplicate_batches * 200, 200);
    sequence += 1;
  }
  await killer;
  const [{ rows } = { rows: 0 }] = await select<{ rows: number }>(settings, 'select count(*) as rows from sensor_data');
  assert.equal(rows, 1 + (sequence - 2) * 200);
});

test('without a database senders are told to come later, the queue is bounded, and the stop is quick', async () => {
  const nowhere = { ...(await server.database()), port: 1 };
  const limits = { ...INGEST_LIMITS, queueBytesMax: 400, patienceMs: 300 };
  const { ingestor, stop } = start(nowhere, limits);
  const waiting = assert.rejects(ingestor.submit([message(1, sample(1))]), (error) => hasCode(error, 'try_later'));
  await assert.rejects(ingestor.submit([message(2, sample(1), sample(2), sample(3), sample(4))]), /too much waits/);
  await waiting;
  assert.match(ingestor.lastError ?? '', /ECONNREFUSED/);
  assert.equal(ingestor.queuedBytes, 0);
  const last = assert.rejects(ingestor.submit([message(3, sample(1))]), (error) => hasCode(error, 'try_later'));
  await stop();
  await last;
  await assert.rejects(ingestor.submit([message(4, sample(1))]), /stopping/);
});

test('a database that takes no end over a transaction does not hold up the stop', { timeout: 60_000 }, async () => {
  const settings = await server.database();
  const { ingestor, stop } = start(settings, { ...INGEST_LIMITS, stopMsMax: 50 });
  await ingestor.submit([message(1, sample(1))]);
  await withClient(settings, async (client) => {
    await client.query('begin; lock table sensor_data');
    const stored = assert.rejects(ingestor.submit([message(2, sample(2))]), (error) => hasCode(error, 'try_later'));
    await stop();
    await stored;
  });
});

test('a failure that is old, because nobody has tried since, does not count any more', async () => {
  const nowhere = { ...(await server.database()), port: 1 };
  const { ingestor } = start(nowhere, { ...INGEST_LIMITS, patienceMs: 0, failureMsMax: 100 });
  await assert.rejects(ingestor.submit([message(1, sample(1))]));
  assert.match(ingestor.lastError ?? '', /ECONNREFUSED/);
  while (ingestor.lastError !== null) await systemClock.sleep(5);
});

test('batches of two gateways whose names and epochs read alike when joined are both stored', async () => {
  const settings = await server.database();
  const { ingestor } = start(settings);
  const identities: Identity[] = [
    { kind: 'batch', gatewayId: 'hall/1', epoch: 'e', sequence: 1 },
    { kind: 'batch', gatewayId: 'hall', epoch: '1/e', sequence: 1 },
  ];
  const answer = await ingestor.submit(identities.map((identity) => ({ identity, payload: frames(sample(1)) })));
  assert.deepEqual([answer.stored, answer.duplicate_batches], [2, 0]);
});

test('after the commit, new events and watched samples are told; duplicates are not', async () => {
  const settings = await server.database();
  const { ingestor, committed } = start(settings);
  const alarm = {
    ...sample(1),
    kind: 'event',
    event_type: 'condition',
    level: 'fault',
    item: 'servo',
    native_code: '7',
  };
  const offered = message(1, alarm, sample(2, { temperature: 1 }, 'WATCHED'), sample(3));
  await ingestor.submit([offered]);
  await ingestor.submit([offered]);
  assert.equal(committed.flatMap(({ events }) => events).length, 1);
  assert.deepEqual(
    committed.flatMap(({ samples }) => samples),
    [sample(2, { temperature: 1 }, 'WATCHED')],
  );
  assert.deepEqual(
    committed.map(({ machines }) => machines),
    [['CNC-1', 'WATCHED'], []],
  );
});
