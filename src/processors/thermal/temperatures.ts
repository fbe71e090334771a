/** Where the temperature of a part or a scale comes from: the measurement, a sensor's samples, or in the end a fixed value. */
import type { Measurement, Reading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import { inC, inTime, type Sighting } from './gates.ts';
import { isPlausible, PLAUSIBLE_C, TemperatureHistory } from './history.ts';
import type { SensorSignal, TemperatureOptions } from './options.ts';

export interface Temperature extends Sighting {
  /** Standard uncertainty, K. */
  readonly uncertaintyK: number;
}

export interface Found {
  /** null: there is none. */
  readonly temperature: Temperature | null;
  /** What is to be told of it: why there is none, or why it is worth little. */
  readonly reasons: readonly string[];
}

export class TemperatureSource {
  readonly #place: 'part' | 'scale';
  readonly #options: TemperatureOptions;
  readonly #changeMicros: number;
  readonly #sensed = new TemperatureHistory();
  /** Of what the measurements say themselves, by machine. */
  readonly #measured = new Map<string, TemperatureHistory>();

  constructor(place: 'part' | 'scale', options: TemperatureOptions, changeMs: number) {
    this.#place = place;
    this.#options = options;
    this.#changeMicros = changeMs * 1000;
  }

  observe(reading: Reading): void {
    const { sensor } = this.#options;
    if (sensor === null || reading.machine_id !== sensor.machineId) return;
    if (reading.kind === 'event' || reading.kind === 'measurement') return;
    const value = Object.hasOwn(reading, sensor.signal) ? reading[sensor.signal] : undefined;
    if (typeof value === 'number') this.#sensed.add(microsOf(reading.timestamp), value);
  }

  /** For a measurement that says `own` of this place. */
  find(measurement: Measurement, own: number | undefined): Found {
    const micros = microsOf(measurement.timestamp);
    const { uncertaintyK, sensor, fixed } = this.#options;
    const missing: string[] = [];
    if (own !== undefined) {
      if (isPlausible(own)) return { temperature: this.#own(measurement.machine_id, micros, own), reasons: [] };
      const plausible = `${inC(PLAUSIBLE_C.min)} to ${inC(PLAUSIBLE_C.max)}`;
      missing.push(`the measurement says ${inC(own)}, and taken is ${plausible}`);
    }
    if (sensor !== null) {
      const nearest = this.#sensed.nearest(micros);
      const ageMs = nearest === undefined ? Number.POSITIVE_INFINITY : Math.abs(nearest.micros - micros) / 1000;
      if (nearest !== undefined && ageMs <= sensor.ageMsMax) {
        const changeK = this.#sensed.change(micros, this.#changeMicros);
        const temperature = { temperatureC: nearest.temperatureC, ageMs, changeK, uncertaintyK };
        return { temperature, reasons: missing.map((why) => `the ${this.#place} temperature is the sensor's: ${why}`) };
      }
      missing.push(sensorMissing(sensor, nearest === undefined ? undefined : ageMs));
    }
    if (fixed !== null) {
      const { temperatureC } = fixed;
      // What is only assumed has no age and does not change; its own reason says what it is worth.
      const temperature = { temperatureC, ageMs: 0, changeK: 0, uncertaintyK: fixed.uncertaintyK };
      const reason = `the ${this.#place} temperature is the fixed ${inC(temperatureC)} of the configuration`;
      return { temperature, reasons: [[reason, ...missing].join('; ')] };
    }
    if (missing.length === 0) missing.push('the measurement says none, and no sensor is configured');
    return { temperature: null, reasons: [`the ${this.#place} temperature is missing: ${missing.join('; ')}`] };
  }

  #own(machineId: string, micros: number, temperatureC: number): Temperature {
    let history = this.#measured.get(machineId);
    if (history === undefined) this.#measured.set(machineId, (history = new TemperatureHistory()));
    history.add(micros, temperatureC);
    const changeK = history.change(micros, this.#changeMicros);
    return { temperatureC, ageMs: 0, changeK, uncertaintyK: this.#options.uncertaintyK };
  }
}

function sensorMissing({ machineId, signal, ageMsMax }: SensorSignal, ageMs: number | undefined): string {
  const name = `${signal} of ${machineId}`;
  if (ageMs === undefined) return `nothing came from ${name} yet`;
  return `the nearest value of ${name} is ${inTime(ageMs)} away; allowed are ${inTime(ageMsMax)}`;
}
