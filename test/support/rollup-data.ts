/** Random readings of several machines, and their roll-ups worked out in another way than the hub does. */
import { once } from 'node:events';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Random } from '../../src/base/random.ts';
import {
  COPY_COLUMNS,
  COPY_HEADER,
  COPY_TABLES,
  COPY_TRAILER,
  type CopyTable,
  RowEncoder,
} from '../../src/hub/store/rows.ts';
import { isSignalKey, type Reading } from '../../src/model/reading.ts';
import { MACHINE_STATES, type MachineState } from '../../src/model/signals.ts';
import { microsOf, timestampOf } from '../../src/model/time.ts';

/**
 * Stores readings and marks their minutes in one transaction, as ingestion does. `marks` false: as it was before there were
 * marks. `isOpen`: within a transaction that the caller has begun and ends.
 */
export async function storeReadings(
  client: Client,
  readings: readonly Reading[],
  { marks = true, isOpen = false }: { readonly marks?: boolean; readonly isOpen?: boolean } = {},
): Promise<void> {
  const encoder = new RowEncoder();
  for (const reading of readings) encoder.add(reading);
  const rows = encoder.take();
  if (!isOpen) await client.query('begin');
  for (const table of COPY_TABLES) await copyRows(client, table, rows[table] ?? []);
  if (marks) {
    await client.query(
      `insert into rollup_marks (machine_id, minute)
      select distinct machine_id, date_trunc('minute', time)
      from unnest($1::text[], $2::timestamptz[]) as reading (machine_id, time)
      order by 1, 2
      on conflict (machine_id, minute) do update set mark = excluded.mark`,
      [readings.map(({ machine_id }) => machine_id), readings.map(({ timestamp }) => timestamp)],
    );
  }
  if (!isOpen) await client.query('commit');
}

async function copyRows(client: Client, table: CopyTable, pieces: readonly Uint8Array[]): Promise<void> {
  if (pieces.length === 0) return;
  const stream = client.query(copyFrom(`copy ${table} (${COPY_COLUMNS[table]}) from stdin with (format binary)`));
  const finished = once(stream, 'finish');
  for (const piece of [COPY_HEADER, ...pieces, COPY_TRAILER]) stream.write(piece);
  stream.end();
  await finished;
}

/** A machine that says everything ten times a minute, one that says what changes, one that never tells its state. */
export const RANDOM_MACHINES = ['polled', 'on change', 'stateless'] as const;

/** Readings of `minutes` minutes, in the order of time. Values are eighths, so that sums are exact in any order. */
export function randomReadings(random: Random, startMicros: number, minutes: number): Reading[] {
  const readings: Reading[] = [];
  const endMicros = startMicros + minutes * 60e6;
  const below = (limit: number): number => Math.floor(random() * limit);
  const value = (): number => (below(4000) - 1000) / 8;
  const state = (): MachineState => MACHINE_STATES[below(MACHINE_STATES.length)] ?? 'idle';
  const factor = (): object => (below(4) === 0 ? { sampling_factor: 2 ** below(4) } : {});
  for (const machine_id of RANDOM_MACHINES) {
    let current = state();
    for (let micros = startMicros + below(60e6); micros < endMicros; ) {
      const origin = { machine_id, timestamp: timestampOf(micros) };
      if (below(20) === 0) current = state();
      if (machine_id === 'polled') {
        const fields = { temperature: value(), spindle_speed: value(), active_program_line: below(100), flow: value() };
        readings.push({ ...origin, ...fields, ...factor(), machine_state: current });
      } else {
        const fields: Record<string, number | string | null> = {};
        for (const name of ['temperature', 'x_pos_mm', 'vibration', 'note']) {
          if (below(3) === 0) fields[name] = below(5) === 0 ? null : name === 'note' ? 'text' : value();
        }
        if (machine_id === 'on change' && below(15) === 0) fields['machine_state'] = below(3) === 0 ? null : current;
        readings.push({ ...origin, ...fields, ...factor() });
        if (machine_id === 'on change' && below(10) === 0) {
          const event_type = below(3) === 0 ? 'message' : 'state';
          readings.push({ ...origin, kind: 'event', event_type, state: state() });
        }
      }
      // Now and then two at one instant, and now and then a silence.
      if (below(30) === 0) micros += below(400) * 1e6;
      else if (below(25) > 0) micros += below(machine_id === 'polled' ? 12e6 : 50e6);
    }
  }
  return readings.sort((a, b) => microsOf(a.timestamp) - microsOf(b.timestamp));
}

/** All four tables, as text to be compared: `table machine signal bucket …`. */
export function expectedRollups(readings: readonly Reading[]): string[] {
  return [...expectedSignals(readings), ...expectedStates(readings)].sort();
}

/** What the database holds, in the form of {@link expectedRollups}. */
export async function storedRollups(client: Client): Promise<string[]> {
  const lines: string[] = [];
  for (const table of ['rollup_minutes', 'rollup_hours'] as const) {
    const { rows } = await client.query<SignalRollup>(`select * from ${table}`);
    for (const row of rows) lines.push(signalLine(table, row));
  }
  for (const table of ['state_minutes', 'state_hours'] as const) {
    const { rows } = await client.query<StateRollup>(`select * from ${table}`);
    for (const row of rows) lines.push(stateLine(table, row));
  }
  return lines.sort();
}

interface SignalRollup {
  machine_id: string;
  signal: string;
  bucket: string;
  samples: number;
  weight: number;
  min: number | null;
  max: number | null;
  weighted_sum: number | null;
  last: number | null;
  last_at: string | null;
  gone_at: string | null;
}

interface StateRollup {
  machine_id: string;
  bucket: string;
  state: string;
  seconds: number;
}

function signalLine(table: string, row: SignalRollup): string {
  const { machine_id, signal, bucket, samples, weight, min, max, weighted_sum, last, last_at, gone_at } = row;
  return [table, machine_id, signal, bucket, samples, weight, min, max, weighted_sum, last, last_at, gone_at].join(' ');
}

function stateLine(table: string, { machine_id, bucket, state, seconds }: StateRollup): string {
  return [table, machine_id, bucket, state, seconds.toFixed(6)].join(' ');
}

const MINUTE_MICROS = 60e6;
const HOUR_MICROS = 3600e6;

function expectedSignals(readings: readonly Reading[]): string[] {
  const rollups = new Map<string, SignalRollup & { table: string }>();
  for (const reading of readings) {
    if (reading.kind === 'event' || reading.kind === 'measurement') continue;
    const micros = microsOf(reading.timestamp);
    const weight = reading.sampling_factor ?? 1;
    for (const [signal, value] of Object.entries(reading)) {
      if (!isSignalKey(signal) || signal === 'machine_state' || (value !== null && typeof value !== 'number')) continue;
      for (const [table, width] of [
        ['rollup_minutes', MINUTE_MICROS],
        ['rollup_hours', HOUR_MICROS],
      ] as const) {
        const bucket = timestampOf(micros - (micros % width));
        const key = [table, reading.machine_id, signal, bucket].join('|');
        const empty = { min: null, max: null, weighted_sum: null, last: null, last_at: null, gone_at: null };
        const name = { table, machine_id: reading.machine_id, signal, bucket };
        const rollup = rollups.get(key) ?? { ...name, samples: 0, weight: 0, ...empty };
        rollups.set(key, rollup);
        const time = timestampOf(micros);
        if (value === null) {
          rollup.gone_at = time;
          continue;
        }
        rollup.samples += 1;
        rollup.weight += weight;
        rollup.min = Math.min(rollup.min ?? value, value);
        rollup.max = Math.max(rollup.max ?? value, value);
        rollup.weighted_sum = (rollup.weighted_sum ?? 0) + weight * value;
        rollup.last = rollup.last_at === time ? Math.max(rollup.last ?? value, value) : value;
        rollup.last_at = time;
      }
    }
  }
  return [...rollups.values()].map((rollup) => signalLine(rollup.table, rollup));
}

/** Steps from one sign of life to the next. */
function expectedStates(readings: readonly Reading[]): string[] {
  // In whole microseconds, so that sums are exact.
  const sums = new Map<string, Omit<StateRollup, 'seconds'> & { table: string; micros: number }>();
  const add = (machine_id: string, state: string, from: number, to: number): void => {
    for (const [table, width] of [
      ['state_minutes', MINUTE_MICROS],
      ['state_hours', HOUR_MICROS],
    ] as const) {
      for (let start = from - (from % width); start < to; start += width) {
        const key = [table, machine_id, start, state].join('|');
        const rollup = sums.get(key) ?? { table, machine_id, bucket: timestampOf(start), state, micros: 0 };
        rollup.micros += Math.min(to, start + width) - Math.max(from, start);
        sums.set(key, rollup);
      }
    }
  };
  for (const machineId of new Set(readings.map(({ machine_id }) => machine_id))) {
    let state: string | undefined;
    let before: number | undefined;
    for (const sign of signsOf(readings.filter(({ machine_id }) => machine_id === machineId))) {
      if (before !== undefined && state !== undefined && sign.micros > before) {
        const limit = state === 'offline' ? 7 * 24 * HOUR_MICROS : MINUTE_MICROS;
        if (sign.micros - before <= limit) add(machineId, state, before, sign.micros);
      }
      before = sign.micros;
      state = sign.state ?? state;
    }
  }
  return [...sums.values()].map(({ table, micros, ...rollup }) =>
    stateLine(table, { ...rollup, seconds: micros / 1e6 }),
  );
}

interface Sign {
  readonly micros: number;
  readonly isEvent: boolean;
  readonly state: string | undefined;
}

function signsOf(readings: readonly Reading[]): Sign[] {
  const signs = readings.flatMap((reading): Sign[] => {
    if (reading.kind === 'measurement') return [];
    const micros = microsOf(reading.timestamp);
    if (reading.kind === 'event') {
      return [{ micros, isEvent: true, state: reading.event_type === 'state' ? reading.state : undefined }];
    }
    const said = reading.machine_state;
    return [{ micros, isEvent: false, state: said === null ? 'unknown' : said }];
  });
  const rank = (sign: Sign): number => (sign.isEvent ? 1 : 0);
  return signs.sort((a, b) => {
    if (a.micros !== b.micros) return a.micros - b.micros;
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    return (a.state ?? '') < (b.state ?? '') ? -1 : 1;
  });
}
