/** A processor as the edge makes it from the configuration, and measurements for it. */
import { checkConfig, parseConfig } from '../../base/config.ts';
import { decodeReading, type Measurement, type Reading } from '../../model/reading.ts';
import type { Observer, Processor } from '../../ports/processor.ts';
import { schema } from './config.ts';
import type { ThermalOptions } from './options.ts';
import { create } from './processor.ts';

/** From YAML. The options pass through JSON, as they do on their way to the running edge. */
export function thermal(text: string): Processor & Observer {
  const options: ThermalOptions = checkConfig(parseConfig({ file: 'thermal.yaml', text, environment: {} }), schema);
  return create(JSON.parse(JSON.stringify(options)) as ThermalOptions) as Processor & Observer;
}

export const START = '2026-01-01T08:00:00.000000Z';

export function measured(fields: Partial<Measurement>): Measurement {
  const origin = { machine_id: 'CMM-1', timestamp: START, kind: 'measurement' } as const;
  return { ...origin, characteristic: 'length', measured_value: 500, unit: 'mm', ...fields };
}

/** What one reading becomes; it must be one that the hub takes. */
export function processed(processor: Processor, reading: Reading): Measurement {
  const [result, ...more] = processor.process(Object.freeze(reading));
  const decoded = decodeReading(JSON.parse(JSON.stringify(result)));
  if (more.length > 0 || !('reading' in decoded)) throw new Error(JSON.stringify([decoded, more]));
  return decoded.reading as Measurement;
}
