/**
 * Which batches are stored already: within the transaction that stores them, and the upkeep of that bookkeeping.
 *
 * A transaction first asks which of its identities are settled, copies the rows of the others, and only then enters them:
 * so the row of a log is locked for as short a time as possible, and hubs that store other batches of the same log
 * hardly wait for each other. A hub that has stored one of these meanwhile is found out when they are entered: then the
 * whole transaction is given up and done again ({@link OvertakenError}).
 */
import type { Client, Pool, QueryConfig } from 'pg';
import type { SequenceRange } from '../../model/nats-wire.ts';
import { ADVISORY_LOCKS, OvertakenError } from './connection.ts';
import type { Identity, Parcel } from './parcel.ts';

/** Numbers of one log, in rising order. */
interface LogOffer {
  readonly origin: 'gateway' | 'stream';
  readonly name: string;
  readonly epoch: string;
  readonly parcels: Map<number, Parcel>;
}

/** What is not stored yet, in the order given, without repetitions. */
export interface Unsettled {
  readonly parcels: ReadonlySet<Parcel>;
  readonly logs: readonly LogOffer[];
}

/**
 * The parcels that were not stored when this was asked. Keys of other publishers are entered at once; a transaction that
 * has entered the same key and not ended yet is waited for.
 */
export async function findUnsettled(client: Client, parcels: readonly Parcel[]): Promise<Unsettled> {
  const { logs, keys } = offeredBy(parcels);
  await removeKnown(client, logs);
  const fresh = new Set(await enterKeys(client, keys));
  const open = logs.filter(({ parcels }) => parcels.size > 0);
  for (const log of open) for (const parcel of log.parcels.values()) fresh.add(parcel);
  // Rows are stored in the order in which they came.
  return { parcels: fresh.size === parcels.length ? new Set(parcels) : inOrder(parcels, fresh), logs: open };
}

/**
 * Enters them, and locks the rows of their logs until the transaction ends.
 * @throws OvertakenError when another transaction has stored one of them meanwhile
 */
export async function settle(client: Client, { logs }: Unsettled): Promise<void> {
  if (logs.length === 0) return;
  const { rowCount } = await client.query({
    name: 'settle',
    text: `insert into settled_logs as log (origin, name, epoch, sequences)
      select origin, name, epoch, sequences::int8multirange
      from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as offered (origin, name, epoch, sequences)
      order by origin, name, epoch
      on conflict (origin, name, epoch) do update set sequences = log.sequences + excluded.sequences
        where not log.sequences && excluded.sequences`,
    values: columnsOf(logs),
  });
  if (rowCount !== logs.length) throw new OvertakenError();
}

function offeredBy(parcels: readonly Parcel[]): { logs: LogOffer[]; keys: Map<string, Parcel> } {
  const logs = new Map<string, LogOffer>();
  const keys = new Map<string, Parcel>();
  for (const parcel of parcels) {
    const { identity } = parcel;
    if (identity.kind === 'key') {
      if (!keys.has(identity.key)) keys.set(identity.key, parcel);
      continue;
    }
    const name = identity.kind === 'batch' ? identity.gatewayId : identity.stream;
    // Any text may stand in a name but U+0000, so only that keeps the parts apart.
    const key = `${identity.kind}\0${name}\0${identity.epoch}`;
    let log = logs.get(key);
    if (log === undefined) {
      const origin = identity.kind === 'batch' ? 'gateway' : 'stream';
      logs.set(key, (log = { origin, name, epoch: identity.epoch, parcels: new Map() }));
    }
    if (!log.parcels.has(identity.sequence)) log.parcels.set(identity.sequence, parcel);
  }
  return { logs: [...logs.values()], keys };
}

/** Numbers of one gateway's log. */
export interface SettledQuestion {
  readonly gatewayId: string;
  readonly epoch: string;
  readonly sequences: readonly SequenceRange[];
}

/** For each question, in its order, those of its numbers that are stored, committed. */
export async function settledAmong(
  database: Client | Pool,
  questions: readonly SettledQuestion[],
): Promise<SequenceRange[][]> {
  const { rows } = await database.query<KnownRange>(
    findSettled([
      questions.map(() => 'gateway'),
      questions.map(({ gatewayId }) => gatewayId),
      questions.map(({ epoch }) => epoch),
      questions.map(({ sequences }) => `{${sequences.map(([first, last]) => `[${first},${last}]`).join(',')}}`),
    ]),
  );
  const answers: SequenceRange[][] = questions.map(() => []);
  for (const { index, first, end } of rows) answers[index - 1]?.push([first, end - 1]);
  return answers;
}

/** Takes out of the offers what is settled. */
async function removeKnown(client: Client, logs: readonly LogOffer[]): Promise<void> {
  if (logs.length === 0) return;
  const { rows } = await client.query<KnownRange>(findSettled(columnsOf(logs)));
  for (const { index, first, end } of rows) {
    const log = logs[index - 1];
    for (let sequence = first; log !== undefined && sequence < end; sequence += 1) log.parcels.delete(sequence);
  }
}

/** Of the offer with this number, from 1. */
interface KnownRange {
  readonly index: number;
  readonly first: number;
  readonly end: number;
}

type OfferColumns = [origin: string[], name: string[], epoch: string[], sequences: string[]];

function findSettled(values: OfferColumns): QueryConfig {
  return {
    name: 'find settled',
    text: `select offered.index, lower(known) as first, upper(known) as end
      from unnest($1::text[], $2::text[], $3::text[], $4::text[])
        with ordinality as offered (origin, name, epoch, sequences, index),
      lateral (
        select log.sequences * offered.sequences::int8multirange as both from settled_logs as log
        where (log.origin, log.name, log.epoch) = (offered.origin, offered.name, offered.epoch)
        union all
        select int8multirange(range.sequences) * offered.sequences::int8multirange from settled_ranges as range
        where (range.origin, range.name, range.epoch) = (offered.origin, offered.name, offered.epoch)
          and upper(range.sequences) > lower(offered.sequences::int8multirange)
      ) as settled, unnest(settled.both) as known`,
    values,
  };
}

function columnsOf(logs: readonly LogOffer[]): OfferColumns {
  return [
    logs.map(({ origin }) => origin),
    logs.map(({ name }) => name),
    logs.map(({ epoch }) => epoch),
    logs.map(({ parcels }) => multirangeOf(parcels.keys())),
  ];
}

/** As PostgreSQL writes it: `{[1,4),[7,8)}`. */
function multirangeOf(sequences: Iterable<number>): string {
  const sorted = Float64Array.from(sequences).sort();
  const ranges: string[] = [];
  let first = sorted[0] ?? 0;
  for (const [index, sequence] of sorted.entries()) {
    if (sorted[index + 1] === sequence + 1) continue;
    ranges.push(`[${first},${sequence + 1})`);
    first = sorted[index + 1] ?? 0;
  }
  return `{${ranges.join(',')}}`;
}

async function enterKeys(client: Client, keys: ReadonlyMap<string, Parcel>): Promise<Parcel[]> {
  if (keys.size === 0) return [];
  const { rows } = await client.query<{ key: string }>({
    name: 'enter keys',
    text: `insert into settled_keys (key, expires_at)
      select key, now() + make_interval(secs => seconds)
      from unnest($1::text[], $2::double precision[]) as offered (key, seconds) order by key
      on conflict do nothing
      returning key`,
    values: [[...keys.keys()], [...keys.values()].map(({ identity }) => rememberedSeconds(identity))],
  });
  return rows.flatMap(({ key }) => keys.get(key) ?? []);
}

function rememberedSeconds(identity: Identity): number {
  return identity.kind === 'key' ? identity.rememberSeconds : 0;
}

function inOrder(parcels: readonly Parcel[], some: ReadonlySet<Parcel>): Set<Parcel> {
  return new Set(parcels.filter((parcel) => some.has(parcel)));
}

export interface Compacted {
  readonly logs: number;
  readonly keys: number;
}

/** Ranges that the row of a log may have, and how many are left when it has more. */
const RANGES_MAX = 64;
const RANGES_KEPT = 16;

/** Keeps the bookkeeping small: moves old ranges of logs that have many, and forgets keys whose time has come. */
export async function compactSettled(client: Client): Promise<Compacted> {
  const { rowCount: keys } = await client.query('delete from settled_keys where expires_at < now()');
  const { rows } = await client.query<{ due: boolean }>(
    `select exists (select from settled_logs where ${RANGE_COUNT} > ${RANGES_MAX}) as due`,
  );
  return { logs: rows[0]?.due === true ? await moveOldRanges(client) : 0, keys: keys ?? 0 };
}

const RANGE_COUNT = '(select count(*) from unnest(sequences))';

/** Nothing is stored meanwhile: whoever stores has looked in both tables, and neither may change until it has ended. */
async function moveOldRanges(client: Client): Promise<number> {
  await client.query(`begin; select pg_advisory_xact_lock(${ADVISORY_LOCKS.settled})`);
  try {
    const { rows } = await client.query<{ logs: number }>(
      `with long as (
        select origin, name, epoch, sequences,
          (select lower(range) from unnest(sequences) as range order by range desc offset ${RANGES_KEPT - 1} limit 1) as kept
        from settled_logs where ${RANGE_COUNT} > ${RANGES_MAX}
      ), moved as (
        insert into settled_ranges (origin, name, epoch, sequences)
        select origin, name, epoch, range from long, unnest(sequences) as range where lower(range) < kept
      ), shortened as (
        update settled_logs as log
        set sequences = log.sequences * int8multirange(int8range(long.kept, null))
        from long where (log.origin, log.name, log.epoch) = (long.origin, long.name, long.epoch)
      )
      select count(*) as logs from long`,
    );
    await client.query('commit');
    return rows[0]?.logs ?? 0;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
