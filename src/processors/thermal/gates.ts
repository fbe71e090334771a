/**
 * Gates: what makes a measurement untrustworthy though it can be corrected. Each that is configured and not passed gives
 * one sentence with its numbers; a gate whose numbers are not known is not passed. All are off unless configured.
 */
import type { MachineState } from '../../model/signals.ts';

export interface GateOptions {
  readonly temperatureCMin: number | null;
  readonly temperatureCMax: number | null;
  /** Largest change of a temperature, in K, over a time that ends with the measurement. */
  readonly change: { readonly maxK: number; readonly overMs: number } | null;
  /** Between part and scale. */
  readonly differenceKMax: number | null;
  /** Between a sensor's value and the measurement. */
  readonly sensorAgeMsMax: number | null;
  /** Least time since the machine was last running; `machineId` null: the one that measured. */
  readonly soak: { readonly timeMs: number; readonly machineId: string | null } | null;
}

/** A temperature as the gates see it. */
export interface Sighting {
  readonly temperatureC: number;
  /** Between the sensor's value and the measurement; 0 for the measurement's own. */
  readonly ageMs: number;
  /** In K over `change.overMs`; undefined: not known. */
  readonly changeK: number | undefined;
}

export interface GateInput {
  readonly part: Sighting | null;
  /** null: there is none of its own. */
  readonly scale: Sighting | null;
  /** Time since the machine was last running; undefined: no state of it was seen. */
  readonly soakedMs: number | undefined;
}

/** One sentence for each gate that is not passed. */
export function gateReasons(options: GateOptions, { part, scale, soakedMs }: GateInput): string[] {
  const reasons = [...placeReasons(options, 'part', part), ...placeReasons(options, 'scale', scale)];
  const { differenceKMax, soak } = options;
  if (differenceKMax !== null) {
    const difference = part === null || scale === null ? undefined : Math.abs(part.temperatureC - scale.temperatureC);
    if (difference === undefined) reasons.push('the difference of part and scale temperature is not known');
    else if (difference > differenceKMax) {
      reasons.push(`part and scale temperature differ by ${inK(difference)}; allowed are ${inK(differenceKMax)}`);
    }
  }
  if (soak !== null) {
    if (soakedMs === undefined) reasons.push('the soak time is not known: no state of the machine was seen yet');
    else if (soakedMs < soak.timeMs) {
      reasons.push(`the soak time was ${inTime(soakedMs)}; needed are ${inTime(soak.timeMs)}`);
    }
  }
  return reasons;
}

function placeReasons(options: GateOptions, place: 'part' | 'scale', sighting: Sighting | null): string[] {
  if (sighting === null) return [];
  const { temperatureCMin, temperatureCMax, change, sensorAgeMsMax } = options;
  const { temperatureC, ageMs, changeK } = sighting;
  const reasons: string[] = [];
  if (temperatureCMin !== null && temperatureC < temperatureCMin) {
    reasons.push(`the ${place} temperature is ${inC(temperatureC)}; allowed are ${inC(temperatureCMin)} and more`);
  }
  if (temperatureCMax !== null && temperatureC > temperatureCMax) {
    reasons.push(`the ${place} temperature is ${inC(temperatureC)}; allowed are ${inC(temperatureCMax)} and less`);
  }
  if (change !== null) {
    const over = inTime(change.overMs);
    if (changeK === undefined) reasons.push(`the change of the ${place} temperature over ${over} is not known yet`);
    else if (changeK > change.maxK) {
      const allowed = inK(change.maxK);
      reasons.push(`the ${place} temperature changed by ${inK(changeK)} in ${over}; allowed are ${allowed}`);
    }
  }
  if (sensorAgeMsMax !== null && ageMs > sensorAgeMsMax) {
    const allowed = inTime(sensorAgeMsMax);
    reasons.push(`the ${place} temperature is ${inTime(ageMs)} from the measurement; allowed are ${allowed}`);
  }
  return reasons;
}

/** Since when a machine is not running, from its states. */
export class SoakClock {
  #seenMicros = Number.NEGATIVE_INFINITY;
  #isRunning = false;
  /** Where the machine was never seen to run: since it was first seen. */
  #restingSinceMicros: number | undefined;

  saw(state: MachineState, micros: number): void {
    if (micros < this.#seenMicros) return;
    this.#seenMicros = micros;
    const isRunning = state === 'running';
    if (!isRunning && (this.#isRunning || this.#restingSinceMicros === undefined)) this.#restingSinceMicros = micros;
    this.#isRunning = isRunning;
  }

  /** undefined: no state was seen. */
  soakedMs(micros: number): number | undefined {
    if (this.#isRunning) return 0;
    if (this.#restingSinceMicros === undefined) return undefined;
    return Math.max(0, micros - this.#restingSinceMicros) / 1000;
  }
}

export function inC(temperatureC: number): string {
  return `${shown(temperatureC)} °C`;
}

export function inTime(ms: number): string {
  if (ms < 60_000) return `${shown(ms / 1000)} s`;
  return ms < 3_600_000 ? `${shown(ms / 60_000)} min` : `${shown(ms / 3_600_000)} h`;
}

function inK(difference: number): string {
  return `${shown(difference)} K`;
}

function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}
