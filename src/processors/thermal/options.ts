/** What the processor works by, after reading the configuration: complete, checked, plain JSON. `config.ts` makes it. */
import type { Compensation, DecisionRule } from '../../model/reading.ts';
import type { GateOptions } from './gates.ts';
import type { Material } from './materials.ts';
import type { Correct } from './plan.ts';

export interface ThermalOptions {
  /** What the source has compensated already; null: each measurement says it. */
  readonly compensation: Compensation | null;
  /** What the configuration asks for in so many words; null: what the source has left. */
  readonly correct: Correct | null;
  /** Of every part that no rule of `parts` names; null: of none. */
  readonly part: Material | null;
  /** The first that fits is taken. */
  readonly parts: readonly PartRule[];
  readonly scale: Material | null;
  readonly partTemperature: TemperatureOptions;
  /** `part`: one sensor serves both. */
  readonly scaleTemperature: TemperatureOptions | SharedTemperature | null;
  /** Standard uncertainty of the measurement itself: a constant in mm, and a share of the length. */
  readonly cmm: { readonly constantMm: number; readonly perLength: number };
  readonly decision: { readonly rule: DecisionRule; readonly guardFactor: number };
  /** Characteristics that are lengths by their unit and still none that expand. */
  readonly except: readonly string[];
  readonly gates: GateOptions;
}

/** Patterns with `*` for any text; null: fits every one. */
export interface PartRule {
  readonly characteristic: string | null;
  readonly partId: string | null;
  readonly material: Material;
}

/** What the measurement says itself goes first, then the sensor, then the fixed value. */
export interface TemperatureOptions {
  readonly kind: 'own';
  readonly sensor: SensorSignal | null;
  readonly fixed: { readonly temperatureC: number; readonly uncertaintyK: number } | null;
  /** Standard uncertainty, of the measurement's own and of the sensor's. */
  readonly uncertaintyK: number;
}

export interface SensorSignal {
  readonly machineId: string;
  readonly signal: string;
  /** Farthest in time from the measurement, before or after it. */
  readonly ageMsMax: number;
}

export interface SharedTemperature {
  readonly kind: 'part';
  /** Half-width of what the scale's temperature may differ from the part's. */
  readonly differenceHalfWidthK: number;
}
