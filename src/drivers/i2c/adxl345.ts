/**
 * ADXL345: acceleration of three axes, here as vibration. It takes readings at a steady rate by itself and keeps the last 32.
 * Registers of 8 bits; of two bytes the less significant first.
 * Source: Analog Devices ADXL345, rev. G, tables 1 (scale), 7 (rates), 19 (registers), p. 21 (FIFO).
 *
 * Vibration is what is left when the mean over the interval, which is gravity and the sensor's own offset, is taken away.
 */
import { MillwrightError } from '../../base/errors.ts';
import { MESSAGES_MAX } from './port.ts';
import type { Registers } from './registers.ts';
import { type Chip, checkId, rounded, settingsLost, type Values } from './chip.ts';

const DEVICE_ID = 0x00;
const ID = 0xe5;
const RATE = 0x2c;
const POWER_CONTROL = 0x2d;
const MEASURE = 0x08;
const DATA_FORMAT = 0x31;
/** Full resolution, ±16 g: 3.9 mg for a bit whatever the range. */
const FULL_RESOLUTION_16_G = 0x0b;
const DATA = { register: 0x32, length: 6 } as const;
const FIFO_CONTROL = 0x38;
const FIFO_OFF = 0x00;
/** The newest are kept. */
const FIFO_STREAM = 0x80;
const FIFO_STATUS = 0x39;
const ENTRIES_BITS = 0x3f;
const FIFO_SIZE = 32;
/** Nominal, of table 1: 256 bits for 1 g. */
const G_PER_BIT = 1 / 256;
/** Each entry is a write and a read. */
const ENTRIES_IN_TRANSFER = MESSAGES_MAX / 2;
/** Readings of one interval that are kept; more are given up, the oldest first. */
export const READINGS_MAX = 40_000;
/** So often in a row nothing may be there though the rate says that something should be. */
const EMPTY_MAX = 3;

/** Table 7: what stands in the register for each rate, in readings a second, that a bus of 100 kHz can carry. */
export const RATES: { readonly [hz: number]: number } = { 25: 0x08, 50: 0x09, 100: 0x0a, 200: 0x0b, 400: 0x0c };

export interface Acceleration {
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

export function adxl345(rateHz: number): Chip {
  const readings: Acceleration[] = [];
  let empty = 0;
  const gather = async (registers: Registers): Promise<void> => {
    const taken = await takeAll(registers);
    empty = taken.length === 0 ? empty + 1 : 0;
    if (empty >= EMPTY_MAX) throw new MillwrightError('connection_failed', 'the ADXL345 takes no readings');
    readings.push(...taken);
    if (readings.length > READINGS_MAX) readings.splice(0, readings.length - READINGS_MAX);
  };
  return {
    start: async (registers) => {
      checkId('ADXL345', (await registers.read(DEVICE_ID, 1)).readUInt8(), ID, 2);
      await registers.write(POWER_CONTROL, 0);
      await registers.write(FIFO_CONTROL, FIFO_OFF);
      await registers.write(RATE, RATES[rateHz]!);
      await registers.write(DATA_FORMAT, FULL_RESOLUTION_16_G);
      await registers.write(FIFO_CONTROL, FIFO_STREAM);
      await registers.write(POWER_CONTROL, MEASURE);
      await registers.sleep(10 + 2000 / rateHz);
    },
    measure: async (registers) => {
      await gather(registers);
      return vibrationOf(readings.splice(0));
    },
    // At two thirds of what it keeps, so that a late call loses nothing.
    gathering: { everyMs: ((FIFO_SIZE / rateHz) * 1000 * 2) / 3, gather },
  };
}

/** All that the chip has kept, in g. */
async function takeAll(registers: Registers): Promise<Acceleration[]> {
  const [status, power] = await registers.readAll([
    { register: FIFO_STATUS, length: 1 },
    { register: POWER_CONTROL, length: 1 },
  ]);
  if (power!.readUInt8() !== MEASURE) throw settingsLost('ADXL345');
  const entries = Math.min(status!.readUInt8() & ENTRIES_BITS, FIFO_SIZE + 1);
  const taken: Acceleration[] = [];
  while (taken.length < entries) {
    const count = Math.min(entries - taken.length, ENTRIES_IN_TRANSFER);
    const data = await registers.readAll(Array.from({ length: count }, () => DATA));
    taken.push(...data.map(accelerationOf));
  }
  return taken;
}

/** In g. @param data 0x32 to 0x37 */
export function accelerationOf(data: Buffer): Acceleration {
  const axis = (at: number): number => data.readInt16LE(at) * G_PER_BIT;
  return { x: axis(0), y: axis(2), z: axis(4) };
}

/** RMS and peak of what is not the mean, in g. Of one reading alone nothing can be said. */
export function vibrationOf(readings: readonly Acceleration[]): Values {
  const count = readings.length;
  if (count < 2) return {};
  const mean = (of: (one: Acceleration) => number): number => readings.reduce((sum, one) => sum + of(one), 0) / count;
  const [x, y, z] = [mean((one) => one.x), mean((one) => one.y), mean((one) => one.z)];
  const squares = {
    x: mean((one) => (one.x - x) ** 2),
    y: mean((one) => (one.y - y) ** 2),
    z: mean((one) => (one.z - z) ** 2),
  };
  const peak = readings.reduce((most, one) => Math.max(most, Math.hypot(one.x - x, one.y - y, one.z - z)), 0);
  const inG = (value: number): number => rounded(value, 5);
  return {
    vibration_rms_g: inG(Math.sqrt(squares.x + squares.y + squares.z)),
    vibration_peak_g: inG(peak),
    vibration_x_rms_g: inG(Math.sqrt(squares.x)),
    vibration_y_rms_g: inG(Math.sqrt(squares.y)),
    vibration_z_rms_g: inG(Math.sqrt(squares.z)),
    vibration_samples: count,
  };
}
