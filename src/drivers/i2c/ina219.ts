/**
 * INA219: voltage, current and power by a shunt. Registers of 16 bits, the more significant byte first.
 * Source: Texas Instruments SBOS448G, 8.5.1 (calibration and its example), 8.6 (registers).
 *
 * It has no identification; what its configuration is after a reset stands for one.
 */
import { type Chip, checkId, rounded, settingsLost, type Values } from './chip.ts';

const CONFIGURATION = 0x00;
const SHUNT_VOLTAGE = 0x01;
const BUS_VOLTAGE = 0x02;
const POWER = 0x03;
const CURRENT = 0x04;
const CALIBRATION = 0x05;
const RESET = 0x8000;
/** 32 V, ±320 mV, 12 bits, both continuously. Kept as it is. */
const AFTER_RESET = 0x399f;
const RESET_MS = 5;
/** Of the bus voltage's register. */
const OVERFLOW_BIT = 0x01;
const READY_BIT = 0x02;
const V_PER_BIT = 0.004;
const MV_PER_BIT = 0.01;
/** Volt·… of equation 1: calibration = 0.04096 / (A per bit · Ω). */
const CALIBRATION_CONSTANT = 0.04096;
const POWER_BITS = 20;
const CALIBRATION_BITS = 0xfffe;
/** Across the shunt at the largest current: what the configuration above can measure … */
export const SHUNT_V_MAX = 0.32;
/** … and what the calibration has room for: 0.04096 V · 2¹⁵ / 0xFFFE, rounded up. */
export const SHUNT_V_MIN = 0.0205;

export interface Ina219Settings {
  readonly shuntOhms: number;
  readonly currentMaxA: number;
}

/** Equation 1 and 2. The lowest bit of the register is always 0. */
export function calibrationOf({ shuntOhms, currentMaxA }: Ina219Settings): number {
  const aPerBit = currentMaxA / 2 ** 15;
  return Math.trunc(CALIBRATION_CONSTANT / (aPerBit * shuntOhms)) & CALIBRATION_BITS;
}

export function ina219(settings: Ina219Settings): Chip {
  const calibration = calibrationOf(settings);
  // What the whole calibration really makes of a bit, not what was wished for.
  const aPerBit = CALIBRATION_CONSTANT / (calibration * settings.shuntOhms);
  return {
    start: async (registers) => {
      await registers.write(CONFIGURATION, RESET >> 8, RESET & 0xff);
      await registers.sleep(RESET_MS);
      checkId('INA219', (await registers.read(CONFIGURATION, 2)).readUInt16BE(), AFTER_RESET, 4);
      await registers.write(CALIBRATION, calibration >> 8, calibration & 0xff);
      // Current and power are still those of a conversion before it: to read the power takes back that one is ready.
      await registers.read(POWER, 2);
    },
    measure: async (registers) => {
      const ranges = [SHUNT_VOLTAGE, BUS_VOLTAGE, POWER, CURRENT, CALIBRATION];
      const [shunt, bus, power, current, kept] = await registers.readAll(
        ranges.map((register) => ({ register, length: 2 })),
      );
      // Without it current and power would be 0, as if nothing flowed.
      if (kept!.readUInt16BE() !== calibration) throw settingsLost('INA219');
      return valuesOf({ shunt: shunt!, bus: bus!, power: power!, current: current! }, aPerBit);
    },
  };
}

/** Empty until a conversion is ready; current and power are null where they are too large for the registers. */
export function valuesOf(
  { shunt, bus, power, current }: { shunt: Buffer; bus: Buffer; power: Buffer; current: Buffer },
  aPerBit: number,
): Values {
  const status = bus.readUInt16BE();
  if ((status & (READY_BIT | OVERFLOW_BIT)) === 0) return {};
  const isTooLarge = (status & OVERFLOW_BIT) !== 0;
  return {
    bus_voltage_v: rounded((status >> 3) * V_PER_BIT, 3),
    shunt_voltage_mv: rounded(shunt.readInt16BE() * MV_PER_BIT, 2),
    current_a: isTooLarge ? null : rounded(current.readInt16BE() * aPerBit, 6),
    power_w: isTooLarge ? null : rounded(power.readUInt16BE() * POWER_BITS * aPerBit, 6),
  };
}
