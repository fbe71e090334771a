/**
 * TMP117: temperature to ±0.1 °C. Registers of 16 bits, the more significant byte first.
 * Source: Texas Instruments SBOSD82, tables 8-1 to 8-15 (registers), 7.3.1 and table 7-1 (temperatures).
 */
import { type Chip, checkId } from './chip.ts';

const TEMPERATURE = 0x00;
const CONFIGURATION = 0x01;
const DEVICE_ID = 0x0f;
/** The upper four bits are the revision. */
const DEVICE_ID_BITS = 0x0fff;
const ID = 0x117;
/** As after power-on: continuous, a conversion a second, each of eight averaged. */
const CONTINUOUS = 0x0220;
/** In the register of the temperature until the first conversion is done: it would be −256 °C. */
const NO_CONVERSION_YET = 0x8000;
const C_PER_BIT = 1 / 128;

export function tmp117(): Chip {
  return {
    start: async (registers) => {
      const id = (await registers.read(DEVICE_ID, 2)).readUInt16BE() & DEVICE_ID_BITS;
      checkId('TMP117', id, ID, 4);
      await registers.write(CONFIGURATION, CONTINUOUS >> 8, CONTINUOUS & 0xff);
    },
    measure: async (registers) => {
      const temperatureC = temperatureOf(await registers.read(TEMPERATURE, 2));
      return temperatureC === undefined ? {} : { temperature_c: temperatureC };
    },
  };
}

/** In °C; undefined before the first conversion. */
export function temperatureOf(register: Buffer): number | undefined {
  return register.readUInt16BE() === NO_CONVERSION_YET ? undefined : register.readInt16BE() * C_PER_BIT;
}
