/**
 * The one transaction by which readings enter the database.
 *
 *     begin, shared advisory lock · known identities are left out · COPY of the rest · identities · newest values ·
 *     marks for the roll-ups · commit
 *
 * The advisory lock is taken in a statement of its own, before the one that looks identities up: that statement's
 * snapshot then sees every upkeep of them that was finished, and none can run until the commit.
 *
 * Rows that several hubs write (of logs, of `machine_current`, of marks) are locked after the COPY and in the order of
 * their names, so that hubs wait for each other as shortly as possible and never in a circle.
 */
import { once } from 'node:events';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Timestamp } from '../../model/time.ts';
import { ADVISORY_LOCKS } from './connection.ts';
import { type CurrentState, emptyCurrent, type MachineChange, settleBeginning, soughtBeginning } from './current.ts';
import type { Consignment, Contents, Parcel } from './parcel.ts';
import { COPY_COLUMNS, COPY_HEADER, COPY_TABLES, COPY_TRAILER, type CopyTable, type EncodedRows } from './rows.ts';
import { findUnsettled, settle } from './settled.ts';

export interface Written {
  /** In the order given. A parcel that is not in it was stored before. */
  readonly stored: ReadonlySet<Parcel>;
  /** What they hold. */
  readonly contents: readonly Contents[];
  /** Names of the machines of which something new is known. */
  readonly machines: readonly string[];
}

/** Decodes and encodes parcels anew. */
export type PrepareAgain = (parcels: readonly Parcel[]) => Contents;

/** Stores the consignments in one transaction. Rejects with the database's error, and then nothing is stored. */
export async function writeConsignments(
  client: Client,
  consignments: readonly Consignment[],
  { prepareAgain, now }: { readonly prepareAgain: PrepareAgain; readonly now: Timestamp },
): Promise<Written> {
  await client.query(`begin; select pg_advisory_xact_lock_shared(${ADVISORY_LOCKS.settled})`);
  try {
    const unsettled = await findUnsettled(
      client,
      consignments.flatMap((consignment) => consignment.parcels),
    );
    const contents = consignments.flatMap((one) => contentsOf(one, unsettled.parcels, prepareAgain));
    for (const table of COPY_TABLES) await copy(client, table, contents);
    await settle(client, unsettled);
    const changes = gatherChanges(contents);
    const machines = await mergeCurrent(client, changes, now);
    await markMinutes(client, changes);
    await client.query('commit');
    return { stored: unsettled.parcels, contents, machines };
  } catch (error) {
    await rollback(client);
    throw error;
  }
}

/** Of a consignment with something that was stored before, the rest is prepared anew: old words must not come as news. */
function contentsOf(consignment: Consignment, stored: ReadonlySet<Parcel>, prepareAgain: PrepareAgain): Contents[] {
  const fresh = consignment.parcels.filter((parcel) => stored.has(parcel));
  if (fresh.length === consignment.parcels.length) return [consignment];
  return fresh.length === 0 ? [] : [prepareAgain(fresh)];
}

/** Tries whether the database takes the rows, and leaves nothing behind. Rejects with the database's error. */
export async function probeRows(client: Client, rows: EncodedRows): Promise<void> {
  await client.query('begin');
  try {
    for (const table of COPY_TABLES) await copyPieces(client, table, rows[table] ?? []);
  } finally {
    await rollback(client);
  }
}

/** The connection may be what has failed: then the server rolls back by itself, and the first error is the one to tell. */
async function rollback(client: Client): Promise<void> {
  await client.query('rollback').catch(() => undefined);
}

async function copy(client: Client, table: CopyTable, contents: readonly Contents[]): Promise<void> {
  const pieces: Uint8Array[] = [];
  for (const { rows } of contents) if (rows[table] !== undefined) pieces.push(...rows[table]);
  await copyPieces(client, table, joined(pieces));
}

async function copyPieces(client: Client, table: CopyTable, pieces: readonly Uint8Array[]): Promise<void> {
  if (pieces.length === 0) return;
  const stream = client.query(copyFrom(`copy ${table} (${COPY_COLUMNS[table]}) from stdin with (format binary)`));
  const finished = once(stream, 'finish');
  for (const piece of [COPY_HEADER, ...pieces, COPY_TRAILER]) stream.write(piece);
  stream.end();
  await finished;
}

/** Pieces that lie side by side in memory are sent as one. */
function joined(pieces: readonly Uint8Array[]): Uint8Array[] {
  const result: Uint8Array[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (last !== undefined && last.buffer === piece.buffer && last.byteOffset + last.length === piece.byteOffset) {
      result[result.length - 1] = Buffer.from(last.buffer as ArrayBuffer, last.byteOffset, last.length + piece.length);
    } else result.push(piece);
  }
  return result;
}

function gatherChanges(contents: readonly Contents[]): Map<string, MachineChange[]> {
  const gathered = new Map<string, MachineChange[]>();
  for (const { changes } of contents) {
    for (const [machineId, change] of changes) {
      const list = gathered.get(machineId);
      if (list === undefined) gathered.set(machineId, [change]);
      else list.push(change);
    }
  }
  return gathered;
}

/** The roll-ups of these minutes are to be worked out anew. */
async function markMinutes(client: Client, changes: ReadonlyMap<string, MachineChange[]>): Promise<void> {
  const machines: string[] = [];
  const minutes: string[] = [];
  for (const [machineId, list] of changes) {
    for (const minute of new Set(list.flatMap((change) => [...change.minutes]))) {
      machines.push(machineId);
      minutes.push(`${minute}:00Z`);
    }
  }
  if (machines.length === 0) return;
  await client.query({
    name: 'mark minutes',
    text: `insert into rollup_marks (machine_id, minute)
      select machine_id, minute from unnest($1::text[], $2::timestamptz[]) as marked (machine_id, minute)
      order by machine_id, minute
      on conflict (machine_id, minute) do update set mark = excluded.mark`,
    values: [machines, minutes],
  });
}

interface CurrentRow {
  readonly machine_id: string;
  readonly last_seen: string | null;
  readonly last_measurement: string | null;
  readonly signals: Record<string, CurrentState['signals'] extends Map<string, infer Value> ? Value : never>;
  readonly states: CurrentState['states'];
  readonly conditions: CurrentState['conditions'];
}

/** Merges into `machine_current`; a machine seen for the first time is registered. Resolves to the machines' names. */
async function mergeCurrent(
  client: Client,
  changes: ReadonlyMap<string, MachineChange[]>,
  now: Timestamp,
): Promise<string[]> {
  if (changes.size === 0) return [];
  const names = [...changes.keys()];
  const known = await lockCurrent(client, names);
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    await register(client, unknown);
    for (const [name, current] of await lockCurrent(client, unknown)) known.set(name, current);
  }
  for (const [name, list] of changes) {
    const current = known.get(name) ?? emptyCurrent();
    for (const change of list) change.applyTo(current, now);
    known.set(name, current);
  }
  await settleBeginnings(client, known);
  const states = names.map((name) => known.get(name) ?? emptyCurrent());
  await client.query({
    name: 'update current',
    text: `update machine_current as row
      set last_seen = new.last_seen, last_measurement = new.last_measurement, state = new.state, state_since = new.state_since,
        signals = new.signals, states = new.states, conditions = new.conditions
      from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::jsonb[],
        $7::jsonb[], $8::jsonb[])
        as new (machine_id, last_seen, last_measurement, state, state_since, signals, states, conditions)
      where row.machine_id = new.machine_id`,
    values: [
      names,
      states.map(({ lastSeen }) => lastSeen),
      states.map(({ lastMeasurement }) => lastMeasurement),
      states.map((current) => current.states.at(-1)?.state ?? null),
      states.map((current) => current.states.at(-1)?.from ?? null),
      states.map(({ signals }) => JSON.stringify(Object.fromEntries(signals))),
      states.map((current) => JSON.stringify(current.states)),
      states.map(({ conditions }) => JSON.stringify(conditions)),
    ],
  });
  return names;
}

/**
 * So many samples are looked at for one that tells the state: most machines tell it in each. Without a limit, one that
 * seldom does could hold up the transaction, and all that comes after, for as long as a history takes to read.
 */
const SAMPLES_SEARCHED_MAX = 100_000;

/**
 * Looks up since when machines are in their state, where a late word has cut the interval that was known. It happens
 * while a backlog arrives, and reads what lies between two words: the rows just copied are among them, and whoever else
 * adds to this machine waits for the lock on its row.
 */
async function settleBeginnings(client: Client, known: ReadonlyMap<string, CurrentState>): Promise<void> {
  const open = [...known].flatMap(([name, current]) => {
    const sought = soughtBeginning(current);
    return sought === undefined ? [] : [{ name, current, ...sought }];
  });
  if (open.length === 0) return;
  const { rows } = await client.query<{ machine_id: string; time: Timestamp | null }>({
    name: 'find beginnings',
    text: `select machine_id, least(
        (select time from events
          where event_type = 'state' and machine_id = sought.machine_id and state is not distinct from sought.state
            and time >= sought.after and time < sought.before order by time limit 1),
        (select time from (
            select time, machine_state, extra from sensor_data
            where machine_id = sought.machine_id and time >= sought.after and time < sought.before
            order by time limit ${SAMPLES_SEARCHED_MAX}) as sample
          where machine_state = sought.state
            or (sought.state is null and extra @> '{"machine_state": null}') order by time limit 1)) as time
      from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        as sought (machine_id, state, after, before)`,
    values: [
      open.map(({ name }) => name),
      open.map(({ state }) => state),
      open.map(({ after }) => after),
      open.map(({ before }) => before),
    ],
  });
  const found = new Map(rows.map(({ machine_id, time }) => [machine_id, time]));
  for (const { name, current } of open) settleBeginning(current, found.get(name) ?? null);
}

async function lockCurrent(client: Client, names: readonly string[]): Promise<Map<string, CurrentState>> {
  const { rows } = await client.query<CurrentRow>({
    name: 'lock current',
    text: `select machine_id, last_seen, last_measurement, signals, states, conditions from machine_current
      where machine_id = any($1) order by machine_id for update`,
    values: [names],
  });
  return new Map(
    rows.map(({ machine_id, last_seen, last_measurement, signals, states, conditions }) => {
      const current = {
        lastSeen: last_seen,
        lastMeasurement: last_measurement,
        signals: new Map(Object.entries(signals)),
        states,
        isBeginningOpen: false,
        conditions,
      };
      return [machine_id, current];
    }),
  );
}

async function register(client: Client, names: readonly string[]): Promise<void> {
  await client.query(
    `with added as (
      insert into machine_current (machine_id) select name from unnest($1::text[]) as name order by name
      on conflict do nothing)
    insert into machines (id, name) select name, name from unnest($1::text[]) as name order by name
    on conflict do nothing`,
    [names],
  );
}
