/**
 * The processor `thermal`: what a measured length is at 20 °C, how well that is known, and whether it conforms.
 *
 * `measured_value` stays as it is; the results stand beside it (docs/processors/thermal.md). What keeps a result from
 * being right, or from being found, is told in `distrust`. Samples pass through: they bring temperatures and states.
 */
import { LIST_LENGTH_MAX, type Measurement, type Reading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import { mmPerUnit } from '../../model/units.ts';
import type { CreateProcessor, Observer, Processor } from '../../ports/processor.ts';
import { correctionOf } from './compensation.ts';
import { conformanceProbability, guardBandOf, verdictOf } from './decision.ts';
import { gateReasons, SoakClock } from './gates.ts';
import type { Material } from './materials.ts';
import type { PartRule, TemperatureOptions, ThermalOptions } from './options.ts';
import { type Plan, planOf } from './plan.ts';
import { type Found, type Temperature, TemperatureSource } from './temperatures.ts';
import { combined, contributionsOf, rectangular, type UncertainExpansion } from './uncertainty.ts';

export const create: CreateProcessor<ThermalOptions> = (options) => new ThermalProcessor(options);

/** Of U: a level of confidence of about 95 %. */
const COVERAGE_FACTOR = 2;
/** Coefficients are configured in 1e-6/K. */
const PER_MILLION = 1e-6;

type Results = { -readonly [Key in keyof Measurement]?: Measurement[Key] };

/** What the temperatures are, and whether one sensor serves both. */
interface Temperatures {
  readonly part: Temperature | null;
  readonly scale: Temperature | null;
  readonly isShared: boolean;
  readonly reasons: readonly string[];
}

const NOT_WANTED: Found = { temperature: null, reasons: [] };

class ThermalProcessor implements Processor, Observer {
  readonly observedMachines: readonly string[];
  readonly #options: ThermalOptions;
  readonly #part: TemperatureSource;
  readonly #scale: TemperatureSource;
  readonly #soakClocks = new Map<string, SoakClock>();

  constructor(options: ThermalOptions) {
    const { partTemperature, scaleTemperature, gates } = options;
    this.#options = options;
    // A shared temperature that a measurement brings of its own for the scale is as good as the part's.
    const ofScale: TemperatureOptions = scaleTemperature?.kind === 'own' ? scaleTemperature : ownOnly(partTemperature);
    const changeMs = gates.change?.overMs ?? 0;
    this.#part = new TemperatureSource('part', partTemperature, changeMs);
    this.#scale = new TemperatureSource('scale', ofScale, changeMs);
    const machines = [partTemperature.sensor?.machineId, ofScale.sensor?.machineId, gates.soak?.machineId];
    this.observedMachines = machines.filter((machine) => typeof machine === 'string');
  }

  observe(reading: Reading): void {
    this.#part.observe(reading);
    this.#scale.observe(reading);
    if (this.#options.gates.soak !== null) this.#observeState(reading);
  }

  process(reading: Reading): readonly Reading[] {
    if (reading.kind !== 'measurement') {
      this.observe(reading);
      return [reading];
    }
    const { characteristic, unit } = reading;
    const mmInUnit = mmPerUnit(unit);
    if (mmInUnit === undefined || this.#options.except.some((pattern) => matches(pattern, characteristic))) {
      return [reading];
    }
    return [this.#worked(reading, mmInUnit)];
  }

  #worked(measurement: Measurement, mmInUnit: number): Measurement {
    const temperatures = this.#temperatures(measurement);
    const { compensation } = this.#options;
    const results: Results = {
      ...(temperatures.part !== null && { temperature_c: measurement.temperature_c ?? temperatures.part.temperatureC }),
      ...(temperatures.scale !== null && {
        scale_temperature_c: measurement.scale_temperature_c ?? temperatures.scale.temperatureC,
      }),
      ...(compensation !== null && measurement.compensation === undefined && { compensation }),
    };
    const reasons = [
      ...temperatures.reasons,
      ...this.#correct(measurement, temperatures, results),
      ...this.#estimate(measurement, temperatures, { results, mmInUnit }),
      ...this.#judge(measurement, results),
      ...this.#gates(measurement, temperatures),
    ];
    const distrust = [...(measurement.distrust ?? []), ...reasons].slice(0, LIST_LENGTH_MAX);
    return { ...measurement, ...results, ...(distrust.length > 0 && { distrust }) };
  }

  /** The value at 20 °C, into the results. @returns why there is none */
  #correct(measurement: Measurement, temperatures: Temperatures, results: Results): string[] {
    const { compensation: configured, correct, scale } = this.#options;
    const { compensation: measured, compensated_value, measured_value } = measurement;
    if (compensated_value !== undefined) return ['it has a compensated value already: not corrected'];
    const plan = planOf({ configured, measured, correct });
    if (typeof plan === 'string') return [plan];
    const part = this.#materialOf(measurement);
    const reasons = materialReasons(plan, { part, scale });
    if (reasons.length > 0) return reasons;
    const partExpansion = plan.part ? expansionOf(part, temperatures.part) : null;
    const scaleExpansion = plan.scale ? expansionOf(scale, temperatures.scale) : null;
    // That a temperature is missing has been said where it was looked for.
    if ((plan.part && partExpansion === null) || (plan.scale && scaleExpansion === null)) return [];
    const correction = correctionOf(measured_value, { part: partExpansion, scale: scaleExpansion });
    if (!Number.isFinite(measured_value + correction)) return ['its value is too large to be corrected'];
    results.correction = correction;
    results.compensated_value = measured_value + correction;
    return [];
  }

  /** The uncertainty, where there is a value at 20 °C and everything that it depends on is known. */
  #estimate(
    measurement: Measurement,
    temperatures: Temperatures,
    { results, mmInUnit }: { readonly results: Results; readonly mmInUnit: number },
  ): string[] {
    const { compensated_value: length } = results;
    if (length === undefined) return [];
    const { scale, scaleTemperature, cmm } = this.#options;
    const part = this.#materialOf(measurement);
    const expansions = { part: expansionOf(part, temperatures.part), scale: expansionOf(scale, temperatures.scale) };
    const isMissing = (material: Material | null, expansion: UncertainExpansion | null): boolean =>
      material !== null && expansion === null;
    if (isMissing(part, expansions.part) || isMissing(scale, expansions.scale)) return ['the uncertainty is not known'];
    const difference = scaleTemperature?.kind === 'part' ? scaleTemperature.differenceHalfWidthK : 0;
    const contributions = contributionsOf({
      length,
      ...expansions,
      sharedDifferenceU: temperatures.isShared ? rectangular(difference) : null,
      cmm: cmm.constantMm / mmInUnit + cmm.perLength * Math.abs(length),
    });
    results.uncertainty_contributions = contributions;
    results.expanded_uncertainty = COVERAGE_FACTOR * combined(contributions);
    return [];
  }

  #judge(measurement: Measurement, results: Results): string[] {
    const { rule, guardFactor } = this.#options.decision;
    const { lower_limit: lower, upper_limit: upper, verdict, details } = measurement;
    const { compensated_value: value, expanded_uncertainty: expanded } = results;
    if (value === undefined || (lower === undefined && upper === undefined)) return [];
    if (lower !== undefined && upper !== undefined && lower > upper) {
      return [`the lower limit ${lower} is above the upper limit ${upper}: no verdict`];
    }
    if (expanded !== undefined) {
      results.conformance_probability = conformanceProbability(value, expanded / COVERAGE_FACTOR, { lower, upper });
    } else if (rule === 'iso_14253_1') return ['without an uncertainty there is no guard band: no verdict'];
    const guardBand = guardBandOf(rule, guardFactor, (expanded ?? 0) / COVERAGE_FACTOR);
    results.verdict = verdictOf({ value, guardBand }, { lower, upper });
    results.decision_rule = rule;
    results.guard_band = guardBand;
    if (verdict !== undefined) results.details = { ...details, source_verdict: verdict };
    return [];
  }

  #gates(measurement: Measurement, { part, scale, isShared }: Temperatures): string[] {
    const { gates } = this.#options;
    const clock = this.#soakClocks.get(gates.soak?.machineId ?? measurement.machine_id);
    const soakedMs = clock?.soakedMs(microsOf(measurement.timestamp));
    return gateReasons(gates, { part, scale: isShared ? null : scale, soakedMs });
  }

  #temperatures(measurement: Measurement): Temperatures {
    const { scale, scaleTemperature, gates } = this.#options;
    const { temperature_c, scale_temperature_c } = measurement;
    const { temperatureCMin, temperatureCMax, change, differenceKMax, sensorAgeMsMax } = gates;
    const isGated = [temperatureCMin, temperatureCMax, change, differenceKMax, sensorAgeMsMax].some(
      (one) => one !== null,
    );
    const isPartWanted = isGated || this.#materialOf(measurement) !== null || temperature_c !== undefined;
    const part = isPartWanted ? this.#part.find(measurement, temperature_c) : NOT_WANTED;
    const isShared = scaleTemperature?.kind === 'part' && scale_temperature_c === undefined;
    const isScaleWanted = scale !== null || differenceKMax !== null || scale_temperature_c !== undefined;
    const own = !isShared && isScaleWanted ? this.#scale.find(measurement, scale_temperature_c) : NOT_WANTED;
    const reasons = [...part.reasons, ...own.reasons];
    return { part: part.temperature, scale: isShared ? part.temperature : own.temperature, isShared, reasons };
  }

  #materialOf({ characteristic, part_id }: Measurement): Material | null {
    const fits = (rule: PartRule): boolean =>
      (rule.characteristic === null || matches(rule.characteristic, characteristic)) &&
      (rule.partId === null || (part_id !== undefined && matches(rule.partId, part_id)));
    return this.#options.parts.find(fits)?.material ?? this.#options.part;
  }

  #observeState(reading: Reading): void {
    const state =
      reading.kind === 'event'
        ? reading.state
        : reading.kind === 'measurement'
          ? undefined
          : (reading.machine_state ?? undefined);
    if (state === undefined) return;
    let clock = this.#soakClocks.get(reading.machine_id);
    if (clock === undefined) this.#soakClocks.set(reading.machine_id, (clock = new SoakClock()));
    clock.saw(state, microsOf(reading.timestamp));
  }
}

function ownOnly({ uncertaintyK }: TemperatureOptions): TemperatureOptions {
  return { kind: 'own', sensor: null, fixed: null, uncertaintyK };
}

/** Where the scale needs no correction, the likeliest mistake is to have said that nothing is compensated. */
const NO_SCALE =
  'no coefficient of the scale is configured: not corrected. Configure scale, or say compensation: scale where the source ' +
  'compensates it';

function materialReasons(plan: Plan, { part, scale }: { part: Material | null; scale: Material | null }): string[] {
  return [
    ...(plan.part && part === null ? ['no coefficient of the part is configured: not corrected'] : []),
    ...(plan.scale && scale === null ? [NO_SCALE] : []),
  ];
}

function expansionOf(material: Material | null, temperature: Temperature | null): UncertainExpansion | null {
  if (material === null || temperature === null) return null;
  return {
    coefficient: material.coefficient * PER_MILLION,
    coefficientU: rectangular(material.halfWidth) * PER_MILLION,
    temperatureC: temperature.temperatureC,
    temperatureU: temperature.uncertaintyK,
  };
}

/** A pattern has `*` for any text, and is otherwise taken letter by letter. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return text === pattern;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
