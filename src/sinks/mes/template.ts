/**
 * What a MES is sent for a measurement: a JSON template whose texts may hold `{field}`. Pure.
 *
 * A text that is one placeholder becomes the field's value with its type; where there is no value, the key is left out (in
 * a list: null). In a longer text the value is written into it, and nothing where there is none.
 */
import { type JsonValue, type Measurement, MEASUREMENT_VALUES } from '../../model/reading.ts';

export type Template = { readonly [key: string]: JsonValue };

/** Named by a template besides those of {@link MEASUREMENT_FIELDS}. */
export const DERIVED_FIELDS = [
  'temperature',
  'length',
  'deviation',
  'status',
  'gateway_id',
  'idempotency_key',
] as const;

const OTHER_FIELDS = ['machine_id', 'timestamp', 'gateway_time', 'clock_quality', 'distrust'] as const;
type MeasurementField = (typeof MEASUREMENT_VALUES | typeof OTHER_FIELDS)[number];

/** Of a measurement, and what the processor `thermal` adds. `details.NAME` may be named too. */
export const MEASUREMENT_FIELDS: readonly MeasurementField[] = [...OTHER_FIELDS, ...MEASUREMENT_VALUES];

/** The shape that most have (FIELD: `{"machine_id","timestamp","temperature","length","status"}`). */
export const DEFAULT_TEMPLATE: Template = {
  machine_id: '{machine_id}',
  timestamp: '{timestamp}',
  temperature: '{temperature}',
  length: '{length}',
  status: '{status}',
};

export interface Meaning {
  readonly gatewayId: string;
  readonly idempotencyKey: string;
  /** Which value is the length, where there is a compensated one. */
  readonly length: 'compensated' | 'measured';
  /** Above this temperature in °C the status is FAIL; null: whatever the temperature is. */
  readonly failAboveC: number | null;
  /** Verdicts with which the status is FAIL. */
  readonly failVerdicts: readonly string[];
}

const PLACEHOLDER = /\{([a-z][\w.]*)\}/gi;

/** The placeholders of a template that no measurement has. */
export function unknownFields(template: JsonValue): string[] {
  if (typeof template === 'string') {
    return [...template.matchAll(PLACEHOLDER)].flatMap(([, name = '']) => (isField(name) ? [] : [name]));
  }
  if (typeof template !== 'object' || template === null) return [];
  return Object.values(template).flatMap(unknownFields);
}

function isField(name: string): boolean {
  if (name.startsWith('details.')) return true;
  return [...MEASUREMENT_FIELDS, ...DERIVED_FIELDS].some((field) => field === name);
}

export function fill(template: Template, measurement: Measurement, meaning: Meaning): JsonValue {
  const field = fieldsOf(measurement, meaning);
  return filled(template, field) ?? null;
}

type Field = (name: string) => JsonValue | undefined;

function filled(template: JsonValue, field: Field): JsonValue | undefined {
  if (typeof template === 'string') {
    const [match] = template.matchAll(PLACEHOLDER);
    if (match !== undefined && match[0] === template) return field(match[1] ?? '');
    return template.replaceAll(PLACEHOLDER, (_, name: string) => textOf(field(name)));
  }
  if (typeof template !== 'object' || template === null) return template;
  if (Array.isArray(template)) return template.map((item) => filled(item, field) ?? null);
  return Object.fromEntries(
    Object.entries(template).flatMap(([key, inner]) => {
      const value = filled(inner, field);
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

function textOf(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function fieldsOf(measurement: Measurement, meaning: Meaning): Field {
  const compensated = meaning.length === 'compensated' ? measurement.compensated_value : undefined;
  const length = compensated ?? measurement.measured_value;
  return (name) => {
    switch (name) {
      case 'temperature':
        return measurement.temperature_c;
      case 'length':
        return length;
      case 'deviation':
        return measurement.nominal_value === undefined ? undefined : length - measurement.nominal_value;
      case 'status':
        return isFail(measurement.temperature_c, measurement.verdict, meaning) ? 'FAIL' : 'ACTIVE';
      case 'gateway_id':
        return meaning.gatewayId;
      case 'idempotency_key':
        return meaning.idempotencyKey;
      default: {
        if (name.startsWith('details.')) return own(measurement.details, name.slice('details.'.length));
        // The configuration has been checked for others.
        const value = measurement[name as MeasurementField];
        return typeof value === 'object' ? [...value] : value;
      }
    }
  };
}

function own(details: Measurement['details'], name: string): JsonValue | undefined {
  return details !== undefined && Object.hasOwn(details, name) ? details[name] : undefined;
}

function isFail(
  temperatureC: number | undefined,
  verdict: JsonValue | undefined,
  { failAboveC, failVerdicts }: Meaning,
): boolean {
  if (failAboveC !== null && temperatureC !== undefined && temperatureC > failAboveC) return true;
  return typeof verdict === 'string' && failVerdicts.includes(verdict);
}
