/**
 * The rule: what the log was bound to deliver is in the database exactly once, with the same values.
 *
 * The witness' readings are copied into the database as the JSON they are, turned into rows by SQL (which shares
 * nothing with the way the hub takes), and compared with the hub's rows as multisets. The identities of batches are
 * compared too: a batch that was tried and not kept may have arrived or not, and then its readings are expected or not.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { DatabaseSettings } from '../../src/hub/settings.ts';
import type { Excused } from './damage.ts';
import { readWitness } from './witness.ts';

export interface CompareOptions {
  readonly database: DatabaseSettings;
  readonly gatewayId: string;
  readonly witnessFiles: readonly string[];
  readonly excused: readonly Excused[];
}

export interface Comparison {
  /** What the log was bound to deliver, and what it had tried besides and has delivered. */
  readonly batches: number;
  readonly readings: number;
  /** Batches kept that did not arrive and are not excused. */
  readonly batchesLost: number;
  /** Excused batches that did not arrive, and how many of them no `gap` event names. */
  readonly batchesDestroyed: number;
  readonly batchesUntold: number;
  /** Batches that a `gap` event names and that nothing has destroyed. */
  readonly batchesToldWrongly: number;
  /** Batches in the database that the log never wrote. */
  readonly batchesUnknown: number;
  /** Numbers that the log was bound to by two batches. */
  readonly numbersUsedTwice: number;
  /** Acknowledged batches that were not on the disk by then, or not with these bytes. */
  readonly batchesPromisedEarly: number;
  readonly readingsLost: number;
  readonly readingsDoubled: number;
  readonly readingsCorrupted: number;
  /** The first of all that is wrong, a line each. */
  readonly offenders: readonly string[];
}

export const OFFENDERS_MAX = 20;

export async function compare(options: CompareOptions): Promise<Comparison> {
  const { dbname, ...settings } = options.database;
  const client = new Client({ ...settings, database: dbname });
  await client.connect();
  try {
    await client.query(TABLES);
    const ofWitness = await load(client, options);
    await client.query(ARRIVED.replaceAll('GATEWAY', client.escapeLiteral(options.gatewayId)));
    await client.query(EXPECTED);
    const { rows } = await client.query<Omit<Comparison, keyof OfWitness | 'offenders'>>(VERDICT);
    const offenders = await client.query<{ line: string }>(OFFENDERS);
    return { ...rows[0]!, ...ofWitness, offenders: offenders.rows.map(({ line }) => line) };
  } finally {
    await client.end();
  }
}

/** What breaks the rule, a sentence each. */
export function violationsOf(comparison: Comparison): string[] {
  const counts: [number, string][] = [
    [comparison.batchesLost, 'batches were lost'],
    [comparison.batchesUnknown, 'batches arrived that the log never wrote'],
    [comparison.batchesToldWrongly, 'batches were told as destroyed that nothing was done to'],
    [comparison.batchesUntold, 'batches were destroyed and no gap event names them'],
    [comparison.numbersUsedTwice, 'numbers were used for two batches'],
    [comparison.batchesPromisedEarly, 'batches were acknowledged that were not on the disk'],
    [comparison.readingsLost, 'readings were lost'],
    [comparison.readingsDoubled, 'readings were doubled'],
    [comparison.readingsCorrupted, 'readings were altered'],
  ];
  return counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
}

/** What is known of one identity: where its last try stands, and whether it was kept. */
interface Known {
  readonly file: number;
  readonly entry: number;
  readonly crc: number;
  kept: boolean;
}

/** What the witness alone tells. */
type OfWitness = Pick<Comparison, 'numbersUsedTwice' | 'batchesPromisedEarly'>;

async function load(client: Client, { witnessFiles, excused }: CompareOptions): Promise<OfWitness> {
  const known = new Map<string, Known>();
  let numbersUsedTwice = 0;
  let batchesPromisedEarly = 0;
  for (const [file, name] of witnessFiles.entries()) {
    let entry = 0;
    for (const { kind, epoch, sequence, crc } of readWitness(name)) {
      const key = `${epoch} ${sequence}`;
      const before = known.get(key);
      if (kind === 'tried') {
        // A number is free again until a batch is kept under it.
        if (before?.kept === true) numbersUsedTwice += 1;
        known.set(key, { file, entry, crc, kept: before?.kept ?? false });
      } else if (kind === 'kept') {
        if (before !== undefined) before.kept = true;
      } else if (before?.kept !== true || before.crc !== crc) batchesPromisedEarly += 1;
      entry += 1;
    }
  }
  await copy(client, 'oracle.batches (epoch, sequence, kept)', batchLines(known));
  await copy(client, 'oracle.readings (epoch, sequence, reading)', readingLines(witnessFiles, known));
  for (const { epoch, first, last } of excused) {
    await client.query('insert into oracle.excused values ($1, $2, $3)', [epoch, first, last]);
  }
  return { numbersUsedTwice, batchesPromisedEarly };
}

async function copy(client: Client, target: string, lines: Iterable<string>): Promise<void> {
  await pipeline(Readable.from(lines), client.query(copyFrom(`copy ${target} from stdin`)));
}

function* batchLines(known: ReadonlyMap<string, Known>): Generator<string> {
  for (const [key, { kept }] of known) yield `${key.replace(' ', '\t')}\t${kept}\n`;
}

/** The readings of the last try of each batch, straight from its frames. */
function* readingLines(witnessFiles: readonly string[], known: ReadonlyMap<string, Known>): Generator<string> {
  for (const [file, name] of witnessFiles.entries()) {
    let entry = 0;
    for (const { kind, epoch, sequence, payload } of readWitness(name)) {
      const last = known.get(`${epoch} ${sequence}`);
      if (kind === 'tried' && last?.file === file && last.entry === entry) {
        yield* linesOf(payload, `${epoch}\t${sequence}\t`);
      }
      entry += 1;
    }
  }
}

function* linesOf(payload: Buffer, start: string): Generator<string> {
  for (let offset = 0; offset < payload.length; ) {
    const end = offset + 4 + payload.readUInt32BE(offset);
    yield `${start}${payload.toString('utf8', offset + 4, end).replaceAll('\\', '\\\\')}\n`;
    offset = end;
  }
}

const TABLES = `
  set timezone = 'UTC'; set work_mem = '64MB';
  drop schema if exists oracle cascade; create schema oracle;
  create table oracle.batches (epoch text, sequence bigint, kept boolean, primary key (epoch, sequence));
  create table oracle.readings (epoch text, sequence bigint, reading jsonb);
  create table oracle.excused (epoch text, first bigint, last bigint)`;

/** `arrived`: the hub's identities. `gaps`: what the edge says is destroyed. */
const ARRIVED = `
  create table oracle.arrived as
    select epoch, generate_series(lower(range), upper(range) - 1) as sequence
      from settled_logs, unnest(sequences) as range where (origin, name) = ('gateway', GATEWAY)
    union select epoch, generate_series(lower(sequences), upper(sequences) - 1)
      from settled_ranges where (origin, name) = ('gateway', GATEWAY);
  alter table oracle.arrived add primary key (epoch, sequence);
  create table oracle.gaps as select distinct details->>'epoch' as epoch,
      (details->>'first_sequence')::bigint as first, (details->>'last_sequence')::bigint as last
    from events where event_type = 'gap' and details->>'reason' = 'destroyed';
  analyze oracle.batches; analyze oracle.arrived;
  create table oracle.judged as select b.*,
      exists (select from oracle.arrived a where (a.epoch, a.sequence) = (b.epoch, b.sequence)) as arrived,
      exists (select from oracle.excused x
        where coalesce(x.epoch, b.epoch) = b.epoch and b.sequence between x.first and x.last) as excused,
      exists (select from oracle.gaps g
        where coalesce(g.epoch, b.epoch) = b.epoch and b.sequence between g.first and g.last) as told
    from oracle.batches b;
  create table oracle.wanted as select epoch, sequence from oracle.judged where arrived or (kept and not excused);
  analyze oracle.wanted`;

const SAMPLE_COLUMNS = {
  temperature: 'float8',
  spindle_speed: 'float8',
  x_pos_mm: 'float8',
  y_pos_mm: 'float8',
  z_pos_mm: 'float8',
  feed_rate_actual: 'float8',
  spindle_load_percent: 'float8',
  machine_state: 'text',
  active_program_line: 'integer',
  total_power_kw: 'float8',
} as const;
const EVENT_COLUMNS =
  'event_type, item, state, previous_state, level, native_code, native_severity, qualifier, text'.split(', ');

const ORIGIN = `(reading->>'timestamp')::timestamptz as time, reading->>'machine_id' as machine_id`;
const sampleNames = Object.keys(SAMPLE_COLUMNS);
const sampleValues = Object.entries(SAMPLE_COLUMNS).map(([name, type]) => `(reading->>'${name}')::${type} as ${name}`);
const quoted = sampleNames.map((name) => `'${name}'`).join(', ');
/** Keys without a column of their own, and those that are null by name. */
const EXTRA = `(select jsonb_object_agg(key, value) from jsonb_each(reading)
  where key not in ('machine_id', 'timestamp', 'kind') and (key not in (${quoted}) or value = 'null')) as extra`;
const eventValues = EVENT_COLUMNS.map((name) => `reading->>'${name}' as ${name}`);
const EVENT_REST = `reading->'details' as details, (reading->>'gateway_time')::timestamptz as gateway_time,
  reading->>'clock_quality' as clock_quality`;

/** The rows that must be there, those that are missing, and those that are too many. */
const EXPECTED = `
  create view oracle.wanted_readings as select reading from oracle.readings join oracle.wanted using (epoch, sequence);
  create table oracle.sensor_data as select ${ORIGIN}, ${sampleValues.join(', ')}, ${EXTRA}
    from oracle.wanted_readings where coalesce(reading->>'kind', 'sample') = 'sample';
  create table oracle.events as select ${ORIGIN}, ${eventValues.join(', ')}, ${EVENT_REST}
    from oracle.wanted_readings where reading->>'kind' = 'event';
  create table oracle.differences (kind text, place text, time timestamptz, machine_id text, contents jsonb);
  ${differences('sensor_data', ['time', 'machine_id', ...sampleNames, 'extra'])};
  ${differences('events', ['time', 'machine_id', ...EVENT_COLUMNS, 'details', 'gateway_time', 'clock_quality'])};
  -- A row that was never expected is the altered form of the missing one of its machine and time, if there is one.
  update oracle.differences d set kind = 'corrupted' where kind = 'unexpected';
  delete from oracle.differences d using oracle.differences c where d.kind = 'lost' and c.kind = 'corrupted'
    and (d.place, d.time, d.machine_id) = (c.place, c.time, c.machine_id)`;

function differences(table: string, columns: readonly string[]): string {
  const names = columns.join(', ');
  const expected = `select ${names} from oracle.${table}`;
  const actual = `select ${names} from ${table}`;
  return `
    insert into oracle.differences select 'lost', '${table}', time, machine_id, to_jsonb(r)
      from (${expected} except all ${actual}) r;
    insert into oracle.differences
      select case when exists (select from oracle.${table} e where (e.time, e.machine_id) = (r.time, r.machine_id)
        and to_jsonb(e) = to_jsonb(r)) then 'doubled' else 'unexpected' end, '${table}', time, machine_id, to_jsonb(r)
      from (${actual} except all ${expected}) r`;
}

const VERDICT = `
  select (select count(*)::int from oracle.wanted) as "batches",
    (select count(*)::int from oracle.wanted_readings) as "readings",
    count(*) filter (where kept and not arrived and not excused)::int as "batchesLost",
    count(*) filter (where kept and not arrived and excused)::int as "batchesDestroyed",
    count(*) filter (where kept and not arrived and excused and not told)::int as "batchesUntold",
    count(*) filter (where kept and not excused and told)::int as "batchesToldWrongly",
    (select count(*)::int from oracle.arrived a where not exists (
      select from oracle.batches b where (a.epoch, a.sequence) = (b.epoch, b.sequence))) as "batchesUnknown",
    (select count(*)::int from oracle.differences where kind = 'lost') as "readingsLost",
    (select count(*)::int from oracle.differences where kind = 'doubled') as "readingsDoubled",
    (select count(*)::int from oracle.differences where kind = 'corrupted') as "readingsCorrupted"
  from oracle.judged`;

const OFFENDERS = `
  select line from (
    select 'batch lost: ' || epoch || '/' || sequence as line, 1 as rank, sequence from oracle.judged
      where kept and not arrived and not excused
    union all select 'batch destroyed and not told: ' || epoch || '/' || sequence, 4, sequence from oracle.judged
      where kept and not arrived and excused and not told
    union all select 'batch told as destroyed, but nothing was done to it: ' || epoch || '/' || sequence, 3, sequence
      from oracle.judged
      where kept and not excused and told
    union all select 'batch unknown to the witness: ' || epoch || '/' || sequence, 2, sequence from oracle.arrived a
      where not exists (select from oracle.batches b where (a.epoch, a.sequence) = (b.epoch, b.sequence))
    union all select 'reading ' || d.kind || ': ' || d.place || ', ' || d.machine_id || ' at ' || d.time || coalesce(
        ', batch ' || (select string_agg(r.epoch || '/' || r.sequence, ' ') from oracle.readings r
          where r.reading->>'machine_id' = d.machine_id and (r.reading->>'timestamp')::timestamptz = d.time), ''), 5, 0
      from (select * from oracle.differences limit ${OFFENDERS_MAX}) d
  ) told order by rank, sequence limit ${OFFENDERS_MAX}`;
