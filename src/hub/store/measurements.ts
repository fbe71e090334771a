/** Reads of inspected values: as they are, one characteristic each, and the material of a study. By index all of them. */
import type { PoolClient } from 'pg';
import type { CapabilityStudy, Feature, MeasurementRow, StudiedValue } from '../../model/api.ts';
import { MEASUREMENT_VALUES, type Verdict } from '../../model/reading.ts';
import { microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import { capabilityStudy, CONTEXT_VALUES } from '../quality/study.ts';
import { BASELINE_VALUES } from '../quality/spc.ts';
import { toleranceUsed, worstFirst } from '../quality/tolerance.ts';
import type { ReadConnections } from './read-pools.ts';
import { inSnapshot } from './snapshot.ts';

/** Characteristics in one answer: the worst. */
export const FEATURES_MAX = 1_000;
/** Characteristics of one machine that are looked at, in the order of their names: those of all its programs, whenever it ran them. */
const NAMES_MAX = 20_000;
/** Of one characteristic so many of the newest are counted: a page asks again and again, and they may be millions. */
export const COUNTED_MAX = 10_000;
/** Points of one study. */
export const STUDY_POINTS_MAX = 1_000;
/** Without a start features are counted over so many days up to the newest measurement. */
export const FEATURE_DAYS = 31;

export interface Ends {
  /** Inclusive. */
  readonly start?: Timestamp;
  /** Exclusive. */
  readonly end?: Timestamp;
}

export interface MeasurementsRequest extends Ends {
  readonly machineId: string;
  readonly characteristic?: string;
  readonly serialNumber?: string;
  readonly partId?: string;
  /** Only what is earlier than this. */
  readonly before?: Timestamp;
  /** About so many rows: all that share the last one's time belong to the same page. */
  readonly limit: number;
}

export interface MeasurementsPage {
  readonly rows: readonly MeasurementRow[];
  /** `before` of the next page; null: there is nothing earlier. */
  readonly next: Timestamp | null;
}

export interface StudyRequest extends Ends {
  readonly machineId: string;
  readonly characteristic: string;
  /** Absent: as the newest measurement has it. */
  readonly value?: StudiedValue;
  /** Of the newest measurements, so many. */
  readonly last: number;
}

export const MEASUREMENT_COLUMNS: readonly (keyof MeasurementRow)[] = [
  'time',
  'machine_id',
  ...MEASUREMENT_VALUES,
  'uncertainty_contributions',
  'distrust',
  'details',
  'gateway_time',
  'clock_quality',
];
const COLUMNS = MEASUREMENT_COLUMNS.join(', ');

export class Measurements {
  readonly #pool: ReadConnections;

  constructor(pool: ReadConnections) {
    this.#pool = pool;
  }

  /** Newest first. */
  async page(request: MeasurementsRequest): Promise<MeasurementsPage> {
    const { conditions, values } = conditionsOf(request);
    return inSnapshot(this.#pool, async (client) => {
      const { rows } = await client.query<MeasurementRow>(
        `select * from (
          select ${COLUMNS} from measurements where ${conditions}
          order by time desc fetch first ${request.limit} rows with ties) as page
        order by time desc, characteristic`,
        values,
      );
      const last = rows.at(-1);
      if (last === undefined || rows.length < request.limit) return { rows, next: null };
      const earlier = await client.query(
        `select from measurements where ${conditions} and time < $${values.length + 1} order by time desc limit 1`,
        [...values, last.time],
      );
      return { rows, next: earlier.rows.length === 0 ? null : last.time };
    });
  }

  /** The worst first. */
  async features(machineId: string, ends: Ends): Promise<Feature[]> {
    return inSnapshot(this.#pool, async (client) => {
      const start = ends.start ?? (await defaultStart(client, machineId, ends));
      if (start === undefined) return [];
      const { conditions, values } = conditionsOf({ machineId, ...ends, start });
      const { rows } = await client.query<MeasurementRow>(newestText(conditions), values);
      const worst = worstFirst(rows).slice(0, FEATURES_MAX);
      const names = worst.map(({ characteristic }) => characteristic);
      const counts = await client.query<CountsRow>(countsText(conditions, values.length + 1), [...values, names]);
      const byName = new Map(counts.rows.map((row) => [row.name, row]));
      return worst.map((newest) => featureOf(newest, byName.get(newest.characteristic)));
    });
  }

  async study(request: StudyRequest): Promise<CapabilityStudy> {
    const { conditions, values } = conditionsOf(request);
    return inSnapshot(this.#pool, async (client) => {
      const ask = async (order: string): Promise<MeasurementRow[]> =>
        (await client.query<MeasurementRow>(`select ${COLUMNS} from measurements where ${conditions} ${order}`, values))
          .rows;
      const newest = await ask(`order by time desc limit ${request.last + CONTEXT_VALUES}`);
      const { unit, compensated_value: compensated } = newest[0] ?? { unit: null, compensated_value: null };
      const value = request.value ?? (compensated === null ? 'measured' : 'compensated');
      const baseline =
        unit === null
          ? []
          : (
              await client.query<MeasurementRow>(
                `select ${COLUMNS} from measurements
                where ${conditions} and unit = $${values.length + 1} and ${value}_value is not null
                order by time limit ${BASELINE_VALUES}`,
                [...values, unit],
              )
            ).rows;
      const { machineId, characteristic, last } = request;
      return capabilityStudy({
        ...{ machineId, characteristic, value, unit, last, baseline },
        rows: newest.toReversed(),
        pointsMax: STUDY_POINTS_MAX,
      });
    });
  }
}

type CountsRow = { readonly name: string } & { readonly [verdict in Verdict | 'measurements']: number };

const NONE_COUNTED = { measurements: 0, conform: 0, nonconform: 0, indeterminate: 0 };

function featureOf(newest: MeasurementRow, counted: Omit<CountsRow, 'name'> = NONE_COUNTED): Feature {
  const { characteristic, unit, nominal_value, lower_limit, upper_limit } = newest;
  const { measurements, conform, nonconform, indeterminate } = counted;
  return {
    ...{ characteristic, unit, nominal_value, lower_limit, upper_limit, newest, measurements },
    tolerance_used: toleranceUsed(newest),
    verdicts: { conform, nonconform, indeterminate, none: measurements - conform - nonconform - indeterminate },
  };
}

async function defaultStart(client: PoolClient, machineId: string, ends: Ends): Promise<Timestamp | undefined> {
  const { conditions, values } = conditionsOf({ machineId, ...ends });
  const { rows } = await client.query<{ time: Timestamp }>(
    // A clock that once stood in the future does not hide what was measured since.
    `select least(time, now()) as time from measurements where ${conditions} order by measurements.time desc limit 1`,
    values,
  );
  const newest = rows[0]?.time;
  return newest === undefined ? undefined : timestampOf(microsOf(newest) - FEATURE_DAYS * 86_400e6);
}

/**
 * The newest of each characteristic. From name to name through the index: the rows of one characteristic are not read to
 * find the next.
 */
function newestText(conditions: string): string {
  return `
    with recursive names as (
      (select characteristic as name from measurements where machine_id = $1 order by characteristic limit 1)
      union all
      select (select characteristic from measurements where machine_id = $1 and characteristic > name
        order by characteristic limit 1)
      from names where name is not null
    )
    select newest.*
    from (select name from names where name is not null limit ${NAMES_MAX}) as names
    cross join lateral (
      select ${COLUMNS} from measurements where ${conditions} and characteristic = name
      order by time desc limit 1) as newest`;
}

/** @param names number of the value that is the list of names */
function countsText(conditions: string, names: number): string {
  return `
    select name, counts.*
    from unnest($${names}::text[]) as name
    cross join lateral (
      select count(*) as measurements, count(*) filter (where verdict = 'conform') as conform,
        count(*) filter (where verdict = 'nonconform') as nonconform,
        count(*) filter (where verdict = 'indeterminate') as indeterminate
      from (
        select verdict from measurements where ${conditions} and characteristic = name
        order by time desc limit ${COUNTED_MAX}) as counted) as counts`;
}

/** The machine is the first of the values. */
function conditionsOf(request: Partial<MeasurementsRequest>): { conditions: string; values: unknown[] } {
  const wanted: readonly (readonly [condition: string, value: unknown])[] = [
    ['machine_id =', request.machineId],
    ['characteristic =', request.characteristic],
    ['serial_number =', request.serialNumber],
    ['part_id =', request.partId],
    ['time >=', request.start],
    ['time <', request.end],
    ['time <', request.before],
  ];
  const given = wanted.filter(([, value]) => value !== undefined);
  return {
    conditions: given.map(([condition], index) => `${condition} $${index + 1}`).join(' and '),
    values: given.map(([, value]) => value),
  };
}
