/** The processor `thermal` in the configuration: from what a person writes to {@link ThermalOptions}. */
import { z } from 'zod';
import { choice, duration, name, number, section } from '../../base/config.ts';
import { COMPENSATIONS, DECISION_RULES } from '../../model/reading.ts';
import type { GateOptions } from './gates.ts';
import { HISTORY_MS } from './history.ts';
import { type Material, MATERIALS } from './materials.ts';
import type { SharedTemperature, TemperatureOptions, ThermalOptions } from './options.ts';
import { CORRECT, planOf } from './plan.ts';
import { rectangular } from './uncertainty.ts';

const DURATION_LIMITS = { minMs: 1_000, maxMs: 86_400_000 };
const temperatureC = (): ReturnType<typeof number> => number({ min: -60, max: 200, unit: '(°C)' });

const materialKeys = {
  material: choice(Object.keys(MATERIALS)).optional().describe('Of the table in docs/processors/thermal.md'),
  coefficient: number({ min: -50, max: 200, unit: '(1e-6/K)' })
    .optional()
    .describe('In place of a material: the coefficient of thermal expansion'),
  half_width: number({ min: 0, max: 100, unit: '(1e-6/K)' })
    .optional()
    .describe("How far the coefficient may be off, to both sides; default: the material's"),
} as const;

type WrittenMaterial = z.output<ReturnType<typeof section<typeof materialKeys>>>;

const temperatureKeys = {
  machine_id: name().optional().describe('Machine whose samples have the temperature, where the measurement has none'),
  signal: name().optional().describe('Signal of those samples, in °C'),
  max_age: duration(DURATION_LIMITS)
    .prefault('60s')
    .describe('Farthest in time that a sample may be from the measurement'),
  fixed: temperatureC().optional().describe('Last resort; a measurement that uses it is not trusted'),
  fixed_uncertainty: number({ min: 0, max: 50, unit: '(K)' })
    .optional()
    .describe('Standard uncertainty of the fixed temperature'),
} as const;

const standardUncertainty = number({ min: 0, max: 50, unit: '(K)' });

const written = section({
  compensation: choice(COMPENSATIONS)
    .optional()
    .describe('What the source has compensated already; default: each measurement says it'),
  correct: choice(CORRECT)
    .optional()
    .describe('What to correct; refused where the source has done it. Default: what the source has left'),
  part: section(materialKeys).optional().describe('Material of all parts that no entry of parts names'),
  parts: z
    .array(
      section({
        characteristic: name().optional().describe('Characteristics, with * for any text; default: all'),
        part_id: name().optional().describe('Parts, with * for any text; default: all'),
        ...materialKeys,
      }),
      { error: () => 'allowed: a list of materials' },
    )
    .prefault([])
    .describe('Materials of some parts; the first that fits'),
  scale: section(materialKeys).optional().describe('Material of the scale'),
  part_temperature: section({
    ...temperatureKeys,
    uncertainty: standardUncertainty.describe('Standard uncertainty'),
  }).describe('Temperature of the part'),
  scale_temperature: section({
    ...temperatureKeys,
    uncertainty: standardUncertainty.optional().describe('Standard uncertainty'),
    as_part: z
      .literal(true, { error: () => 'allowed: true' })
      .optional()
      .describe('One sensor serves part and scale'),
    difference: number({ min: 0, max: 50, unit: '(K)' })
      .optional()
      .describe('With as_part: how far the scale may be from it, to both sides'),
  })
    .optional()
    .describe('Temperature of the scale'),
  cmm: section({
    given_as: choice(['mpe', 'standard_uncertainty'])
      .prefault('mpe')
      .describe('mpe: limits of error, as the machine has them in its data sheet'),
    constant: number({ min: 0, max: 10_000, unit: '(µm)' }).describe('Whatever the length'),
    per_metre: number({ min: 0, max: 10_000, unit: '(µm/m)' })
      .prefault(0)
      .describe('For each metre of it; L/300 of a data sheet is 3.33'),
  }).describe('Uncertainty of the measurement itself'),
  decision: section({
    rule: choice(DECISION_RULES).prefault('iso_14253_1').describe('How a value is judged by its limits'),
    guard_factor: number({ min: 0, max: 10 })
      .prefault(1.65)
      .describe('Guard band in standard uncertainties; 1.65: a risk of 5 %'),
  }).prefault({}),
  except: z
    .array(name(), { error: () => 'allowed: a list of characteristics' })
    .prefault([])
    .describe('Characteristics, with * for any text, that are passed on as they are'),
  gates: section({
    temperature_min: temperatureC().optional().describe('Of part and scale'),
    temperature_max: temperatureC().optional().describe('Of part and scale'),
    change_max: number({ min: 0, max: 100, unit: '(K)' })
      .optional()
      .describe('Change of a temperature over change_over'),
    change_over: duration({ ...DURATION_LIMITS, maxMs: HISTORY_MS })
      .prefault('10m')
      .describe('Time before the measurement'),
    difference_max: number({ min: 0, max: 100, unit: '(K)' }).optional().describe('Between part and scale'),
    sensor_age_max: duration(DURATION_LIMITS).optional().describe("Between a sensor's sample and the measurement"),
    soak_time: duration(DURATION_LIMITS).optional().describe('Least time since the machine was last running'),
    soak_machine_id: name().optional().describe('That machine; default: the one that measured'),
  })
    .prefault({})
    .describe('What makes a measurement untrustworthy'),
}).superRefine((options, context) => {
  for (const { path, message } of faultsOf(options)) {
    context.addIssue({ code: 'custom', path: [...path], message: `allowed: ${message}` });
  }
});

type Written = z.output<typeof written>;

/** Output: {@link ThermalOptions}. */
export const schema: z.ZodType<ThermalOptions, unknown> = written.transform((options): ThermalOptions => {
  const { compensation, correct, part, parts, scale, part_temperature, scale_temperature, cmm, decision } = options;
  const share = cmm.given_as === 'mpe' ? rectangular(1) : 1;
  return {
    compensation: compensation ?? null,
    correct: correct ?? null,
    part: part === undefined ? null : materialOf(part),
    parts: parts.map(({ characteristic, part_id, ...material }) => {
      return { characteristic: characteristic ?? null, partId: part_id ?? null, material: materialOf(material) };
    }),
    scale: scale === undefined ? null : materialOf(scale),
    partTemperature: temperatureOf(part_temperature),
    scaleTemperature: scale_temperature === undefined ? null : scaleTemperatureOf(scale_temperature),
    cmm: { constantMm: cmm.constant * 1e-3 * share, perLength: cmm.per_metre * 1e-6 * share },
    decision: { rule: decision.rule, guardFactor: decision.guard_factor },
    except: options.except,
    gates: gatesOf(options.gates),
  };
});

/** The faults have kept out what has neither a material nor both numbers. */
function materialOf({ material, coefficient, half_width }: WrittenMaterial): Material {
  const known = MATERIALS[material ?? ''];
  return {
    coefficient: known?.coefficient ?? coefficient ?? Number.NaN,
    halfWidth: half_width ?? known?.halfWidth ?? Number.NaN,
  };
}

function temperatureOf(
  temperature: Omit<Written['part_temperature'], 'uncertainty'> & { readonly uncertainty?: number | undefined },
): TemperatureOptions {
  const { machine_id: machineId, signal, max_age: ageMsMax, fixed, fixed_uncertainty, uncertainty } = temperature;
  return {
    kind: 'own',
    sensor: machineId === undefined || signal === undefined ? null : { machineId, signal, ageMsMax },
    fixed: fixed === undefined ? null : { temperatureC: fixed, uncertaintyK: fixed_uncertainty ?? Number.NaN },
    uncertaintyK: uncertainty ?? Number.NaN,
  };
}

function scaleTemperatureOf(
  temperature: NonNullable<Written['scale_temperature']>,
): TemperatureOptions | SharedTemperature {
  const { as_part, difference, ...own } = temperature;
  if (as_part === true) return { kind: 'part', differenceHalfWidthK: difference ?? Number.NaN };
  return temperatureOf(own);
}

function gatesOf(gates: Written['gates']): GateOptions {
  const { change_max, change_over, soak_time, soak_machine_id } = gates;
  return {
    temperatureCMin: gates.temperature_min ?? null,
    temperatureCMax: gates.temperature_max ?? null,
    change: change_max === undefined ? null : { maxK: change_max, overMs: change_over },
    differenceKMax: gates.difference_max ?? null,
    sensorAgeMsMax: gates.sensor_age_max ?? null,
    soak: soak_time === undefined ? null : { timeMs: soak_time, machineId: soak_machine_id ?? null },
  };
}

interface Fault {
  readonly path: readonly PropertyKey[];
  /** What is allowed. */
  readonly message: string;
}

/** What no key says alone. */
function faultsOf(options: Written): Fault[] {
  const { part, parts, scale, part_temperature, scale_temperature } = options;
  return [
    ...compensationFaults(options),
    ...(part === undefined ? [] : materialFaults(part, ['part'])),
    ...parts.flatMap((rule, index) => materialFaults(rule, ['parts', index])),
    ...(scale === undefined ? [] : materialFaults(scale, ['scale'])),
    ...temperatureFaults(part_temperature, ['part_temperature']),
    ...(scale_temperature === undefined ? [] : temperatureFaults(scale_temperature, ['scale_temperature'])),
    ...scaleTemperatureFaults(options),
    ...gateFaults(options),
  ];
}

function compensationFaults({ compensation, correct, part, parts, scale }: Written): Fault[] {
  if (compensation === undefined) return [];
  const plan = planOf({ configured: compensation, measured: undefined, correct: correct ?? null });
  if (typeof plan === 'string') {
    const allowed = { none: 'scale_and_part', scale: 'part', full: 'no such key' }[compensation];
    return [{ path: ['correct'], message: `${allowed}, where compensation is ${compensation}` }];
  }
  const faults: Fault[] = [];
  if (plan.part && part === undefined && parts.length === 0) {
    faults.push({ path: ['part'], message: `a material, which compensation: ${compensation} needs` });
  }
  if (plan.scale && scale === undefined) {
    faults.push({ path: ['scale'], message: 'a material, which compensation: none needs' });
  }
  return faults;
}

function materialFaults({ material, coefficient, half_width }: WrittenMaterial, at: readonly PropertyKey[]): Fault[] {
  if ((material === undefined) === (coefficient === undefined)) {
    return [{ path: at, message: 'either a material or a coefficient' }];
  }
  if (coefficient === undefined || half_width !== undefined) return [];
  return [{ path: [...at, 'half_width'], message: 'a number (1e-6/K), which a coefficient needs' }];
}

function temperatureFaults(
  { machine_id, signal, fixed, fixed_uncertainty }: Omit<Written['part_temperature'], 'uncertainty'>,
  at: readonly PropertyKey[],
): Fault[] {
  const faults: Fault[] = [];
  if ((machine_id === undefined) !== (signal === undefined)) {
    faults.push({ path: at, message: 'both machine_id and signal, or neither' });
  }
  if ((fixed === undefined) !== (fixed_uncertainty === undefined)) {
    faults.push({ path: at, message: 'both fixed and fixed_uncertainty, or neither' });
  }
  return faults;
}

function scaleTemperatureFaults({ scale, part_temperature: part, scale_temperature: own }: Written): Fault[] {
  const at = ['scale_temperature'];
  if (own === undefined) {
    return scale === undefined ? [] : [{ path: at, message: 'a section, which a scale needs' }];
  }
  if (own.as_part === true) {
    const { machine_id, fixed, uncertainty, difference } = own;
    const isAlone = machine_id === undefined && fixed === undefined && uncertainty === undefined;
    return isAlone && difference !== undefined ? [] : [{ path: at, message: 'with as_part: difference, and no other' }];
  }
  if (own.uncertainty === undefined || own.difference !== undefined) {
    return [{ path: at, message: 'either uncertainty, or as_part with difference' }];
  }
  if (own.machine_id === undefined || own.machine_id !== part.machine_id || own.signal !== part.signal) return [];
  return [{ path: at, message: 'a sensor of its own, or as_part where one sensor serves both' }];
}

function gateFaults({ gates, scale_temperature }: Written): Fault[] {
  const faults: Fault[] = [];
  const { temperature_min: min, temperature_max: max, difference_max, soak_time, soak_machine_id } = gates;
  if (min !== undefined && max !== undefined && min > max) {
    faults.push({ path: ['gates', 'temperature_min'], message: 'less than temperature_max' });
  }
  if (difference_max !== undefined && (scale_temperature === undefined || scale_temperature.as_part === true)) {
    faults.push({ path: ['gates', 'difference_max'], message: 'where the scale has a temperature of its own' });
  }
  if (soak_machine_id !== undefined && soak_time === undefined) {
    faults.push({ path: ['gates', 'soak_machine_id'], message: 'with soak_time' });
  }
  return faults;
}
