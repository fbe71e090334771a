/** Measurements as a CMM in a room that is never quite 20 °C would send them, compensated and judged. */
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/random.ts';
import type { Measurement } from '../../src/model/reading.ts';
import { timestampOf } from '../../src/model/time.ts';
import type { System } from '../support/system.ts';

export interface InspectionOptions {
  readonly machineId: string;
  readonly characteristic: string;
  readonly count: number;
  /** Of the newest. */
  readonly endMs: number;
  readonly nominalMm: number;
  readonly toleranceMm: number;
  /** What each part is longer than the one before. */
  readonly driftMm?: number;
  readonly offsetMm?: number;
  readonly seed: number;
}

const EXPANSION = 23.6e-6;
const STEP_MS = 5_000;
const WAVE_S = 60;
const NOISE_MM = 0.001;
const UNCERTAINTY_MM = 0.0024;
const GUARD_MM = 0.002;

/** One part every five seconds; 20 ± 5 °C in a wave of a minute. */
export function inspections(options: InspectionOptions): Measurement[] {
  const { nominalMm: nominal, toleranceMm: tolerance, count } = options;
  const random = seededRandom(options.seed);
  const lower = nominal - tolerance;
  const upper = nominal + tolerance;
  return Array.from({ length: count }, (_, index): Measurement => {
    const timeMs = options.endMs - (count - 1 - index) * STEP_MS;
    const celsius = 20 + 5 * Math.sin((2 * Math.PI * timeMs) / 1000 / WAVE_S);
    const noise = NOISE_MM * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const compensated = nominal + (options.offsetMm ?? 0) + (options.driftMm ?? 0) * index + noise;
    const measured = compensated * (1 + EXPANSION * (celsius - 20));
    const margin = Math.min(compensated - lower, upper - compensated);
    return {
      kind: 'measurement',
      machine_id: options.machineId,
      timestamp: timestampOf(timeMs * 1000),
      characteristic: options.characteristic,
      measured_value: measured,
      unit: 'mm',
      part_id: 'rail 100',
      serial_number: `SN-${String(10_000 + index).slice(1)}`,
      nominal_value: nominal,
      lower_limit: lower,
      upper_limit: upper,
      temperature_c: celsius,
      compensation: 'none',
      compensated_value: compensated,
      correction: compensated - measured,
      expanded_uncertainty: UNCERTAINTY_MM,
      verdict: margin >= GUARD_MM ? 'conform' : margin <= -GUARD_MM ? 'nonconform' : 'indeterminate',
      decision_rule: 'iso_14253_1',
      guard_band: GUARD_MM,
      conformance_probability: margin >= GUARD_MM ? 0.999 : 0.5,
      ...(Math.abs(celsius - 20) > 4.9 ? { distrust: ['the temperature is outside of 15.1 to 24.9 °C'] } : {}),
    };
  });
}

/** A CMM with four characteristics of which one drifts, and another fails. */
export function partInspections(machineId: string, endMs: number, count: number): Measurement[] {
  const shared = { machineId, endMs, count };
  return [
    ...inspections({ ...shared, characteristic: 'length', nominalMm: 100, toleranceMm: 0.012, seed: 1 }),
    ...inspections({
      ...{ ...shared, characteristic: 'width', nominalMm: 40, toleranceMm: 0.01 },
      ...{ driftMm: 0.008 / count, seed: 2 },
    }),
    ...inspections({
      ...{ ...shared, characteristic: 'bore.diameter', nominalMm: 12, toleranceMm: 0.006 },
      ...{ offsetMm: 0.0102, seed: 3 },
    }),
    ...inspections({ ...shared, characteristic: 'slot.depth', nominalMm: 8, toleranceMm: 0.02, seed: 4 }),
  ];
}

/** So many readings of one request. */
const READINGS_MAX = 1000;

export async function storeAll(system: Pick<System, 'url'>, readings: readonly Measurement[]): Promise<void> {
  for (let at = 0; at < readings.length; at += READINGS_MAX) {
    const part = readings.slice(at, at + READINGS_MAX);
    const response = await fetch(`${system.url}/api/v1/ingest`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(part),
    });
    const answer = (await response.json()) as { readonly stored?: number };
    assert.deepEqual([response.status, answer.stored], [200, part.length], JSON.stringify(answer));
  }
}
