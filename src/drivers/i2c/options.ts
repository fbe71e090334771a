/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */

export const CHIP_NAMES = ['TMP117', 'MCP9808', 'BME280', 'ADXL345', 'INA219'] as const;
export type ChipName = (typeof CHIP_NAMES)[number];

/** 7-bit addresses that each chip can be set to, by its data sheet; the first is the default. */
export const ADDRESSES: { readonly [Name in ChipName]: readonly [number, ...number[]] } = {
  TMP117: [0x48, 0x49, 0x4a, 0x4b],
  MCP9808: [0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f],
  BME280: [0x76, 0x77],
  ADXL345: [0x53, 0x1d],
  INA219: [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f],
};

/** What each chip measures. The unit is in the name. */
export const QUANTITIES: { readonly [Name in ChipName]: readonly string[] } = {
  TMP117: ['temperature_c'],
  MCP9808: ['temperature_c'],
  BME280: ['temperature_c', 'humidity_percent', 'pressure_hpa'],
  ADXL345: [
    'vibration_rms_g',
    'vibration_peak_g',
    'vibration_x_rms_g',
    'vibration_y_rms_g',
    'vibration_z_rms_g',
    'vibration_samples',
  ],
  INA219: ['bus_voltage_v', 'shunt_voltage_mv', 'current_a', 'power_w'],
};

export type ChipSettings =
  | { readonly name: 'TMP117' | 'MCP9808' | 'BME280' }
  /** Readings in a second that the chip takes by itself. */
  | { readonly name: 'ADXL345'; readonly rateHz: number }
  | { readonly name: 'INA219'; readonly shuntOhms: number; readonly currentMaxA: number };

export interface I2cOptions {
  /** `/dev/i2c-<bus>` */
  readonly bus: number;
  readonly address: number;
  readonly chip: ChipSettings;
  /** Signal or extra by quantity, for each quantity of the chip. */
  readonly names: { readonly [quantity: string]: string };
  /** The program that does the transfers. */
  readonly tool: string;
}
