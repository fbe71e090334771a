/** The single values of a sample, by their names. Pure. */
import type { JsonValue, Sample } from '../../model/reading.ts';
import { isSignalKey } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';

export interface NamedValue {
  readonly name: string;
  readonly value: JsonValue;
  /** Empty for what has none. */
  readonly unit: string;
}

export function valuesOf(sample: Sample): NamedValue[] {
  const values: NamedValue[] = [];
  for (const [name, value] of Object.entries(sample)) {
    if (!isSignalKey(name) || value === undefined) continue;
    values.push({ name, value, unit: signalNamed(name)?.unit ?? '' });
  }
  return values;
}
