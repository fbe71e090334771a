/** The CMM page's view as it stands in the URL, and what is worked out of the hub's answers. Pure. */
import type { EdgeReport, Feature, MeasurementRow } from '../../model/api.ts';
import type { SinkStatus } from '../../model/status.ts';
import type { Verdict } from '../../model/reading.ts';

/** How many of the newest values are studied. */
export const COUNTS = [50, 200, 1000] as const;
const COUNT_STANDARD = 200;

export interface CmmView {
  /** null: the worst when the page was opened. */
  readonly characteristic: string | null;
  /** The part whose measurements are listed; null: the newest of each characteristic. */
  readonly serial: string | null;
  readonly count: number;
  /** null: compensated where there is such a value. */
  readonly value: 'compensated' | 'measured' | null;
  /** Control limits are those of the first values from here on; null: of the first that are stored. */
  readonly since: string | null;
}

/** What cannot be understood falls back to the default, for a URL may have been typed. */
export function parseCmmView(query: URLSearchParams): CmmView {
  const value = query.get('value');
  const since = query.get('since');
  return {
    characteristic: query.get('characteristic') || null,
    serial: query.get('serial') || null,
    count: COUNTS.find((count) => String(count) === query.get('last')) ?? COUNT_STANDARD,
    value: value === 'compensated' || value === 'measured' ? value : null,
    since: since !== null && Number.isFinite(Date.parse(since)) ? since : null,
  };
}

/** The page's address with that view; {@link parseCmmView} gives the view back. */
export function cmmHref(machineId: string, view: Partial<CmmView> = {}): string {
  const query = new URLSearchParams();
  if (view.characteristic) query.set('characteristic', view.characteristic);
  if (view.serial) query.set('serial', view.serial);
  if (view.count !== undefined && view.count !== COUNT_STANDARD) query.set('last', String(view.count));
  if (view.value) query.set('value', view.value);
  if (view.since) query.set('since', view.since);
  const text = query.toString();
  return `/cmm/${encodeURIComponent(machineId)}${text === '' ? '' : `?${text}`}`;
}

/** Decimals with which lengths of a unit are written: a tenth of a micrometre. */
export function decimalsOf(unit: string | null): number {
  switch (unit) {
    case 'µm':
    case 'um':
      return 1;
    case 'cm':
      return 5;
    case 'in':
    case 'inch':
      return 6;
    case 'm':
      return 7;
    default:
      return 4;
  }
}

/** A row of the table: a characteristic's newest measurement, or one of a part. */
export interface InspectedRow {
  readonly row: MeasurementRow;
  readonly used: number | null;
  /** Of a characteristic over the time of the answer; null for a part's rows. */
  readonly verdicts: Feature['verdicts'] | null;
}

export function rowsOfFeatures(features: readonly Feature[]): InspectedRow[] {
  return features.map(({ newest, tolerance_used: used, verdicts }) => ({ row: newest, used, verdicts }));
}

/** Compensated where there is such a value: it is what the verdict speaks of. */
export function valueOf(row: Pick<MeasurementRow, 'compensated_value' | 'measured_value'>): number {
  return row.compensated_value ?? row.measured_value;
}

/** In units, without sign; null: within the limits, or there are none. */
export function beyondLimits(row: MeasurementRow): number | null {
  const value = valueOf(row);
  if (row.upper_limit !== null && value > row.upper_limit) return value - row.upper_limit;
  if (row.lower_limit !== null && value < row.lower_limit) return row.lower_limit - value;
  return null;
}

/** The worst verdict of some, as a word for all of them; null: nobody judged. */
export function worstOf(verdicts: readonly (Verdict | null)[]): Verdict | null {
  const order = ['nonconform', 'indeterminate', 'conform'] as const;
  return order.find((one) => verdicts.includes(one)) ?? null;
}

export interface InspectedPart {
  /** null: measured without a serial number. */
  readonly serial: string | null;
  readonly partId: string | null;
  /** Of the newest of its measurements. */
  readonly time: string;
  readonly measurements: number;
  readonly nonconform: number;
  readonly verdict: Verdict | null;
}

/** Parts in the order of their newest measurement. @param rows newest first */
export function partsOf(rows: readonly MeasurementRow[]): InspectedPart[] {
  const groups = new Map<string, MeasurementRow[]>();
  for (const row of rows) {
    if (row.serial_number === null) continue;
    const group = groups.get(row.serial_number);
    if (group === undefined) groups.set(row.serial_number, [row]);
    else group.push(row);
  }
  return [...groups].map(([serial, own]) => ({
    serial,
    partId: own[0]?.part_id ?? null,
    time: own[0]?.time ?? '',
    measurements: own.length,
    nonconform: own.filter(({ verdict }) => verdict === 'nonconform').length,
    verdict: worstOf(own.map(({ verdict }) => verdict)),
  }));
}

/** A part's own rows in the order of the table: worst first, each characteristic once, as it was measured last. */
export function rowsOfPart(rows: readonly MeasurementRow[]): InspectedRow[] {
  const newest = new Map<string, MeasurementRow>();
  for (const row of rows) if (!newest.has(row.characteristic)) newest.set(row.characteristic, row);
  const inspected = [...newest.values()].map((row) => ({ row, used: usedOf(row), verdicts: null }));
  return inspected.sort((a, b) => rank(a) - rank(b) || Math.abs(b.used ?? 0) - Math.abs(a.used ?? 0));
}

function rank({ row, used }: InspectedRow): number {
  if (row.verdict === 'nonconform' || (row.verdict === null && Math.abs(used ?? 0) > 1)) return 0;
  return row.verdict === 'indeterminate' ? 1 : 2;
}

/** As the hub's `tolerance_used`: 0 in the middle of the limits, ±1 at them, with one limit from the nominal value. */
export function usedOf(row: MeasurementRow): number | null {
  const scale = toleranceScale(row);
  return scale === null ? null : (valueOf(row) - scale.middle) / scale.half;
}

/** What a share of the tolerance is counted from, and the length of a whole one. */
export function toleranceScale(
  row: Pick<MeasurementRow, 'nominal_value' | 'lower_limit' | 'upper_limit'>,
): { readonly middle: number; readonly half: number } | null {
  const { nominal_value: nominal, lower_limit: lower, upper_limit: upper } = row;
  const scale =
    lower !== null && upper !== null
      ? { middle: (lower + upper) / 2, half: (upper - lower) / 2 }
      : nominal === null
        ? null
        : { middle: nominal, half: upper !== null ? upper - nominal : lower !== null ? nominal - lower : 0 };
  return scale !== null && scale.half > 0 ? scale : null;
}

/** The sinks of each gateway that reads the machine. */
export function sinksOf(
  edges: readonly EdgeReport[],
  machineId: string,
): { readonly edge: EdgeReport; readonly sinks: readonly SinkStatus[] }[] {
  return edges
    .filter(({ status }) => status.sources.some((source) => source.machine_id === machineId))
    .map((edge) => ({ edge, sinks: edge.status.sinks }));
}

export const RULE_NAMES: { readonly [rule: string]: string } = {
  iso_14253_1: 'ISO 14253-1',
  simple_acceptance: 'simple acceptance',
};
