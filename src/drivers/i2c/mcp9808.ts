/**
 * MCP9808: temperature to ±0.25 °C. Registers of 16 bits, the more significant byte first.
 * Source: Microchip DS25095A, 5.1 (registers), 5.1.3 and equation 5-1 (temperature), 5.1.4, 5.1.5 (identification).
 */
import { type Chip, checkId, settingsLost } from './chip.ts';

const CONFIGURATION = 0x01;
/** The critical limit: nobody uses it here, and after power-on it is 0, so it tells whether the supply broke down. */
const CRITICAL = 0x04;
const CRITICAL_85_C = 0x0550;
const TEMPERATURE = 0x05;
const MANUFACTURER_ID = 0x06;
const DEVICE_ID = 0x07;
const RESOLUTION = 0x08;
const MANUFACTURER = 0x0054;
const DEVICE = 0x04;
/** Continuous, no alerts. */
const CONTINUOUS = 0x0000;
const SIXTEENTHS = 0x03;
/** Of a conversion at that resolution. Before the first one the register says 0 °C. */
export const CONVERSION_MS = 250;
/** The upper three bits say which limits are passed, and are none of the temperature. */
const VALUE_BITS = 0x1fff;
const SIGN_BIT = 0x1000;

export function mcp9808(): Chip {
  return {
    start: async (registers) => {
      const [manufacturer, device] = await registers.readAll([
        { register: MANUFACTURER_ID, length: 2 },
        { register: DEVICE_ID, length: 2 },
      ]);
      checkId('MCP9808', manufacturer!.readUInt16BE(), MANUFACTURER, 4);
      checkId('MCP9808', device!.readUInt8(), DEVICE, 2);
      await registers.write(CONFIGURATION, CONTINUOUS >> 8, CONTINUOUS & 0xff);
      await registers.write(RESOLUTION, SIXTEENTHS);
      await registers.write(CRITICAL, CRITICAL_85_C >> 8, CRITICAL_85_C & 0xff);
      await registers.sleep(CONVERSION_MS);
    },
    measure: async (registers) => {
      const [temperature, critical] = await registers.readAll([
        { register: TEMPERATURE, length: 2 },
        { register: CRITICAL, length: 2 },
      ]);
      // It would say 0 °C until the first conversion.
      if (critical!.readUInt16BE() !== CRITICAL_85_C) throw settingsLost('MCP9808');
      return { temperature_c: temperatureOf(temperature!) };
    },
  };
}

/** In °C. */
export function temperatureOf(register: Buffer): number {
  const value = register.readUInt16BE() & VALUE_BITS;
  return ((value & SIGN_BIT) === 0 ? value : value - (VALUE_BITS + 1)) / 16;
}
