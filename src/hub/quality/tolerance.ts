/** Where an inspected value stands in its tolerance, and which of several is the worst. Pure. */
import type { MeasurementRow } from '../../model/api.ts';

type Toleranced = Pick<
  MeasurementRow,
  'measured_value' | 'compensated_value' | 'nominal_value' | 'lower_limit' | 'upper_limit'
>;

/** The compensated value where there is one: it is what the verdict speaks of. */
export function valueOf(row: Pick<MeasurementRow, 'measured_value' | 'compensated_value'>): number {
  return row.compensated_value ?? row.measured_value;
}

/**
 * 0 in the middle of the limits, ±1 at them: also where the nominal value is not the middle, or is no part of the
 * tolerance at all, as with the fit g6. With one limit the nominal value takes the place of the middle. null: there is
 * nothing to count from.
 */
export function toleranceUsed(row: Toleranced): number | null {
  const { nominal_value: nominal, lower_limit: lower, upper_limit: upper } = row;
  const value = valueOf(row);
  if (lower !== null && upper !== null) {
    return upper > lower ? (value - (lower + upper) / 2) / ((upper - lower) / 2) : null;
  }
  if (nominal === null) return null;
  if (upper !== null && upper > nominal) return (value - nominal) / (upper - nominal);
  if (lower !== null && lower < nominal) return (value - nominal) / (nominal - lower);
  return null;
}

/** Worst first: nonconforming, undecided, then by the share of the tolerance; a value beyond its limits that nobody judged is among the first. */
export function worstFirst(rows: readonly MeasurementRow[]): MeasurementRow[] {
  return rows.toSorted(
    (a, b) => rank(a) - rank(b) || share(b) - share(a) || a.characteristic.localeCompare(b.characteristic, 'en'),
  );
}

function rank(row: MeasurementRow): number {
  switch (row.verdict) {
    case 'nonconform':
      return 0;
    case 'indeterminate':
      return 1;
    case 'conform':
      return 2;
    case null:
      return share(row) > 1 ? 0 : 2;
  }
}

function share(row: MeasurementRow): number {
  const used = toleranceUsed(row);
  return used === null ? -1 : Math.abs(used);
}
