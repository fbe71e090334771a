/** The study of one characteristic from its rows: control chart, histogram, capability. Pure. */
import type {
  CapabilityStudy,
  MeasurementRow,
  StudiedValue,
  StudyCapability,
  StudyControl,
  StudyPoint,
  StudySpecification,
} from '../../model/api.ts';
import { capability, CAPABILITY_VALUES_MIN, controlLimits, movingRanges, NELSON_RULES, nelsonRules } from './spc.ts';

export interface StudyMaterial {
  readonly machineId: string;
  readonly characteristic: string;
  readonly value: StudiedValue;
  /** Of the newest row; null: there is none. */
  readonly unit: string | null;
  /** At most `last` of them become points. */
  readonly last: number;
  readonly pointsMax: number;
  /** In the order of time: the newest, and up to {@link CONTEXT_VALUES} before them. */
  readonly rows: readonly MeasurementRow[];
  /** The first of the window, in the order of time. */
  readonly baseline: readonly MeasurementRow[];
}

/** Where each part has limits of its own, so many are named. */
const TOLD_LIMITS_MAX = 3;

/** Values before the first point that its rules and its moving range speak of: the longest rule has fifteen. */
export const CONTEXT_VALUES = 15;

export function capabilityStudy(material: StudyMaterial): CapabilityStudy {
  const { value, unit, last, rows } = material;
  const studied = (row: MeasurementRow): number | null =>
    row.unit !== unit ? null : value === 'compensated' ? row.compensated_value : row.measured_value;
  const context = rows.slice(0, -last).flatMap((row) => studied(row) ?? []);
  const newest = rows.slice(-last);
  const chosen = newest.flatMap((row) => {
    const number = studied(row);
    return number === null ? [] : [{ row, number }];
  });
  const values = chosen.map(({ number }) => number);
  const control = controlOf(material.baseline, studied);
  const sequence = [...context, ...values];
  const rules = control === null ? [] : nelsonRules(sequence, control).slice(context.length);
  const ranges = [null, ...movingRanges(sequence)].slice(context.length);
  const points = chosen.map(({ row, number }, index): StudyPoint => {
    const { time, part_id, serial_number, measured_value, compensated_value, expanded_uncertainty } = row;
    return {
      ...{ time, part_id, serial_number, value: number, measured_value, compensated_value, expanded_uncertainty },
      ...{ temperature_c: row.temperature_c, verdict: row.verdict, distrust: row.distrust },
      moving_range: ranges[index] ?? null,
      rules: rules[index] ?? [],
    };
  });
  const specifications = specificationsOf(chosen.map(({ row }) => row));
  return {
    machine_id: material.machineId,
    characteristic: material.characteristic,
    value,
    unit,
    points,
    has_older: rows.length > newest.length,
    points_max: material.pointsMax,
    left_out: newest.length - points.length,
    control,
    control_reason: control === null ? noControl(material.baseline.length) : null,
    rules_met: NELSON_RULES.flatMap((text, index) => {
      const met = points.filter((point) => point.rules.includes(index + 1)).length;
      return met === 0 ? [] : [{ rule: index + 1, text, points: met }];
    }),
    specifications,
    histogram: histogramOf(values),
    ...judged(values, specifications),
  };
}

function noControl(values: number): string {
  return values < 2
    ? `control limits need 2 values; there are ${values}`
    : 'the values are too large for control limits';
}

function controlOf(
  baseline: readonly MeasurementRow[],
  studied: (row: MeasurementRow) => number | null,
): StudyControl | null {
  const limits = controlLimits(baseline.flatMap((row) => studied(row) ?? []));
  const [first, last] = [baseline[0], baseline.at(-1)];
  if (limits === undefined || first === undefined || last === undefined) return null;
  return {
    baseline: limits.baseline,
    baseline_start: first.time,
    baseline_end: last.time,
    centre: limits.centre,
    sigma: limits.sigma,
    lower: limits.lower,
    upper: limits.upper,
    range_centre: limits.rangeCentre,
    range_upper: limits.rangeUpper,
  };
}

/** One entry for each pair of limits and nominal value. */
function specificationsOf(rows: readonly MeasurementRow[]): StudySpecification[] {
  const found = new Map<string, StudySpecification>();
  for (const { nominal_value, lower_limit, upper_limit, time } of rows) {
    const key = JSON.stringify([nominal_value, lower_limit, upper_limit]);
    const known = found.get(key) ?? { nominal_value, lower_limit, upper_limit, points: 0, first_time: time };
    found.set(key, { ...known, points: known.points + 1, last_time: time });
  }
  return [...found.values()];
}

function judged(
  values: readonly number[],
  specifications: readonly StudySpecification[],
): Pick<CapabilityStudy, 'capability' | 'capability_reason'> {
  const refused = (capability_reason: string): { capability: null; capability_reason: string } => {
    return { capability: null, capability_reason };
  };
  const pairs = new Map(
    specifications.map(({ lower_limit: lower, upper_limit: upper }) => [
      JSON.stringify([lower, upper]),
      { lower, upper },
    ]),
  );
  const [limits] = pairs.values();
  if (limits === undefined) return refused('there is no value');
  if (pairs.size > 1) {
    const told = [...pairs.values()]
      .slice(0, TOLD_LIMITS_MAX)
      .map(({ lower, upper }) => `${lower ?? 'open'} to ${upper ?? 'open'}`);
    const more = pairs.size > told.length ? ', …' : '';
    return refused(
      `the values have ${pairs.size} different limits (${told.join(', ')}${more}); choose a time with one`,
    );
  }
  if (limits.lower === null && limits.upper === null) return refused('the values have no specification limits');
  if (values.length < CAPABILITY_VALUES_MIN) {
    return refused(`capability needs ${CAPABILITY_VALUES_MIN} values; there are ${values.length}`);
  }
  const found = capability(values, { lower: limits.lower ?? undefined, upper: limits.upper ?? undefined });
  if (found === undefined) return refused('the values do not differ, or are too large for a spread');
  const told: StudyCapability = {
    values: found.values,
    mean: found.mean,
    sigma_within: found.sigmaWithin,
    sigma_overall: found.sigmaOverall,
    cp: found.cp ?? null,
    cpk: found.cpk,
    pp: found.pp ?? null,
    ppk: found.ppk,
    cpk_interval: found.cpkInterval,
    ppk_interval: found.ppkInterval,
  };
  return { capability: told, capability_reason: null };
}

/** About √n bins, their edges at multiples of 1, 2 or 5 of a power of ten. */
export function histogramOf(values: readonly number[]): CapabilityStudy['histogram'] {
  if (values.length === 0) return [];
  const [least, greatest] = extremesOf(values);
  const width = roundWidth((greatest - least) / Math.ceil(Math.sqrt(values.length)));
  if (width === 0) return [{ from: least, to: greatest, count: values.length }];
  // A quotient just below a whole number is one that was meant to be whole.
  const binOf = (value: number): number => Math.floor(value / width + 1e-6);
  const first = binOf(least);
  const counts = Array.from({ length: binOf(greatest) - first + 1 }, () => 0);
  for (const value of values) counts[binOf(value) - first] = (counts[binOf(value) - first] ?? 0) + 1;
  // Twelve digits: the edge at 0.3 is not to be told as 0.30000000000000004.
  const edge = (bin: number): number => Number(((first + bin) * width).toPrecision(12));
  return counts.map((count, bin) => ({ from: edge(bin), to: edge(bin + 1), count }));
}

function roundWidth(width: number): number {
  if (!(width > 0 && width < Number.MAX_VALUE / 100)) return 0;
  const power = 10 ** Math.floor(Math.log10(width));
  const factor = [1, 2, 5, 10].find((one) => one * power >= width * (1 - 1e-9)) ?? 10;
  return factor * power;
}

function extremesOf(values: readonly number[]): [least: number, greatest: number] {
  return values.reduce<[number, number]>(
    ([least, greatest], value) => [Math.min(least, value), Math.max(greatest, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}
