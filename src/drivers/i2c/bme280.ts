/**
 * BME280: temperature, humidity and pressure of the air. Registers of 8 bits, read in a row; of two bytes of the
 * calibration the less significant is first, of the values the more significant.
 * Source: Bosch BST-BME280-DS002, 4.2.2 (calibration), 4.2.3 and 8.1 (compensation), 5.4 (registers), 9.1 (times).
 */
import { MillwrightError } from '../../base/errors.ts';
import type { Registers } from './registers.ts';
import { type Chip, checkId, rounded, type Values } from './chip.ts';

const CALIBRATION = { register: 0x88, length: 26 } as const;
const CALIBRATION_HUMIDITY = { register: 0xe1, length: 7 } as const;
const CHIP_ID = 0xd0;
const ID = 0x60;
/** Its sister without humidity, at the same address. */
const BMP280_ID = 0x58;
const CONTROL_HUMIDITY = 0xf2;
const STATUS = 0xf3;
const CONTROL_MEASUREMENT = 0xf4;
const DATA = { register: 0xf7, length: 8 } as const;
/** Everything once, and then sleep: so it warms itself least. */
const ONCE = { humidity: 0x01, forced: 0b001_001_01 } as const;
/** 1.25 + 2.3 + 2 · (2.3 + 0.575), the longest for one of each. */
const MEASUREMENT_MS = 10;
const BUSY_BITS = 0b1001;
const STATUS_TRIES_MAX = 10;
/** What the data hold where nothing was measured. */
const NOT_MEASURED = { temperature: 0x80000, pressure: 0x80000, humidity: 0x8000 } as const;

export interface Calibration {
  /** dig_T1 to dig_T3, at the same index. */
  readonly t: readonly number[];
  /** dig_P1 to dig_P9. */
  readonly p: readonly number[];
  /** dig_H1 to dig_H6. */
  readonly h: readonly number[];
}

/** As the converter gives them. */
export interface RawData {
  readonly temperature: number;
  readonly pressure: number;
  readonly humidity: number;
}

export function bme280(): Chip {
  let calibration: Calibration | undefined;
  return {
    start: async (registers) => {
      const id = (await registers.read(CHIP_ID, 1)).readUInt8();
      if (id === BMP280_ID) {
        throw new MillwrightError('config_invalid', 'what answers is a BMP280, which measures no humidity');
      }
      checkId('BME280', id, ID, 2);
      await ready(registers);
      const [first, humidity] = await registers.readAll([CALIBRATION, CALIBRATION_HUMIDITY]);
      calibration = calibrationOf(first!, humidity!);
    },
    measure: async (registers) => {
      await registers.write(CONTROL_HUMIDITY, ONCE.humidity);
      await registers.write(CONTROL_MEASUREMENT, ONCE.forced);
      await registers.sleep(MEASUREMENT_MS);
      await ready(registers);
      return compensated(rawOf(await registers.read(DATA.register, DATA.length)), calibration!);
    },
  };
}

async function ready(registers: Registers): Promise<void> {
  for (let tries = 1; tries <= STATUS_TRIES_MAX; tries += 1) {
    if (((await registers.read(STATUS, 1)).readUInt8() & BUSY_BITS) === 0) return;
    await registers.sleep(MEASUREMENT_MS);
  }
  throw new MillwrightError('connection_failed', 'the BME280 does not come to the end of a measurement');
}

/** @param first 0x88 to 0xA1; @param humidity 0xE1 to 0xE7 */
export function calibrationOf(first: Buffer, humidity: Buffer): Calibration {
  const signed = (index: number): number => first.readInt16LE(index * 2);
  return {
    t: [first.readUInt16LE(0), signed(1), signed(2)],
    p: [first.readUInt16LE(6), ...[4, 5, 6, 7, 8, 9, 10, 11].map(signed)],
    h: [
      first.readUInt8(25),
      humidity.readInt16LE(0),
      humidity.readUInt8(2),
      humidity.readInt8(3) * 16 + (humidity.readUInt8(4) & 0x0f),
      humidity.readInt8(5) * 16 + (humidity.readUInt8(4) >> 4),
      humidity.readInt8(6),
    ],
  };
}

/** @param data 0xF7 to 0xFE */
export function rawOf(data: Buffer): RawData {
  const bits20 = (at: number): number => (data.readUInt16BE(at) << 4) | (data.readUInt8(at + 2) >> 4);
  return { pressure: bits20(0), temperature: bits20(3), humidity: data.readUInt16BE(6) };
}

/** null where nothing was measured, or where it depends on a temperature that was not. */
export function compensated(raw: RawData, calibration: Calibration): Values {
  const nothing = { temperature_c: null, humidity_percent: null, pressure_hpa: null };
  if (raw.temperature === NOT_MEASURED.temperature) return nothing;
  const fine = fineTemperature(raw.temperature, calibration);
  const pressure = raw.pressure === NOT_MEASURED.pressure ? null : pressurePa(raw.pressure, fine, calibration);
  const humidity = raw.humidity === NOT_MEASURED.humidity ? null : humidityPercent(raw.humidity, fine, calibration);
  return {
    temperature_c: rounded(fine / 5120, 2),
    humidity_percent: humidity === null ? null : rounded(humidity, 2),
    pressure_hpa: pressure === null ? null : rounded(pressure / 100, 3),
  };
}

/** `t_fine` of 8.1: 5120 for each °C. */
export function fineTemperature(raw: number, { t }: Calibration): number {
  const [t1, t2, t3] = t as [number, number, number];
  const first = (raw / 16384 - t1 / 1024) * t2;
  const second = (raw / 131072 - t1 / 8192) ** 2 * t3;
  return first + second;
}

/** null where the calibration would have it divided by nothing. */
export function pressurePa(raw: number, fine: number, { p }: Calibration): number | null {
  const [p1, p2, p3, p4, p5, p6, p7, p8, p9] = p as [number, ...number[]] & { length: 9 };
  const half = fine / 2 - 64000;
  const square = (half * half * p6!) / 32768 + half * p5! * 2;
  const offset = square / 4 + p4! * 65536;
  const scale = (1 + ((p3! * half * half) / 524288 + p2! * half) / 524288 / 32768) * p1;
  if (scale === 0) return null;
  const pressure = ((1048576 - raw - offset / 4096) * 6250) / scale;
  return pressure + ((p9! * pressure * pressure) / 2147483648 + (pressure * p8!) / 32768 + p7!) / 16;
}

export function humidityPercent(raw: number, fine: number, { h }: Calibration): number {
  const [h1, h2, h3, h4, h5, h6] = h as [number, number, number, number, number, number];
  const off = fine - 76800;
  const slope = (h2 / 65536) * (1 + (h6 / 67108864) * off * (1 + (h3 / 67108864) * off));
  const linear = (raw - (h4 * 64 + (h5 / 16384) * off)) * slope;
  return Math.min(100, Math.max(0, linear * (1 - (h1 * linear) / 524288)));
}
