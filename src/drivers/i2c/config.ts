/** The `i2c` driver's part of a sensor in the configuration: from what a person writes to {@link I2cOptions}. */
import { z } from 'zod';
import { choice, integer, name, number, section, text } from '../../base/config.ts';
import { isSignalKey } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import type { Claim } from '../../ports/driver.ts';
import { RATES } from './adxl345.ts';
import { SHUNT_V_MAX, SHUNT_V_MIN } from './ina219.ts';
import { ADDRESSES, CHIP_NAMES, type ChipSettings, type I2cOptions, QUANTITIES } from './options.ts';

/** The one quantity that a standard signal has in the same unit. */
const TEMPERATURE = { quantity: 'temperature_c', signal: 'temperature' } as const;
const DEFAULT_RATE_HZ = 100;

const written = section({
  bus: integer({ min: 0, max: 255 }).prefault(1).describe('Number of the bus: 1 for /dev/i2c-1'),
  chip: choice(CHIP_NAMES).describe('What is there'),
  address: integer({ min: 0x03, max: 0x77 })
    .optional()
    .describe('Its address, as 0x48; default: the first that its data sheet names'),
  names: z
    .record(z.string(), name(), { error: () => 'allowed: a section of "quantity: name" lines' })
    .prefault({})
    .describe(
      'Names under which its quantities are kept, of docs/drivers/i2c.md; default: their own. temperature_c may fill the signal temperature',
    ),
  rate_hz: integer({ min: 25, max: 400 })
    .optional()
    .describe(`ADXL345: readings in a second, ${Object.keys(RATES).join(', ')}; default: ${DEFAULT_RATE_HZ}`),
  shunt_ohms: number({ min: 0.0001, max: 100, unit: '(Ω)' }).optional().describe('INA219: resistance of the shunt'),
  max_current: number({ min: 0.001, max: 3_000, unit: '(A)' })
    .optional()
    .describe('INA219: largest current that is to be measured; sets its resolution'),
  tool: text('a program')
    .prefault('i2ctransfer')
    .describe('Of i2c-tools; by its path where it is not found by its name'),
});

type Written = z.output<typeof written>;

/** Output: {@link I2cOptions}. */
export const schema: z.ZodType<I2cOptions, unknown> = written
  .superRefine((options, context) => {
    for (const { path, message } of faultsOf(options)) {
      context.addIssue({ code: 'custom', path, message: `allowed: ${message}` });
    }
  })
  .transform((options): I2cOptions => {
    const { bus, chip, address, names, tool } = options;
    const quantities = QUANTITIES[chip];
    return {
      bus,
      address: address ?? ADDRESSES[chip][0],
      chip: chipOf(options),
      names: Object.fromEntries(quantities.map((quantity) => [quantity, names[quantity] ?? quantity])),
      tool,
    };
  });

/** Behind a multiplexer of the kernel's each channel is a bus with a number of its own. */
export function claims({ bus, address }: I2cOptions): Claim[] {
  return [{ path: ['address'], what: `address 0x${address.toString(16).padStart(2, '0')} of I2C bus ${bus}` }];
}

function chipOf({ chip, rate_hz, shunt_ohms, max_current }: Written): ChipSettings {
  switch (chip) {
    case 'ADXL345':
      return { name: chip, rateHz: rate_hz ?? DEFAULT_RATE_HZ };
    case 'INA219':
      return { name: chip, shuntOhms: shunt_ohms ?? Number.NaN, currentMaxA: max_current ?? Number.NaN };
    case 'TMP117':
    case 'MCP9808':
    case 'BME280':
      return { name: chip };
  }
}

interface Fault {
  readonly path: string[];
  readonly message: string;
}

function faultsOf(options: Written): Fault[] {
  const { chip, address, rate_hz, shunt_ohms, max_current } = options;
  const faults: Fault[] = [];
  const addresses = ADDRESSES[chip];
  if (address !== undefined && !addresses.includes(address)) {
    const known = addresses.map((one) => `0x${one.toString(16)}`).join(', ');
    faults.push({ path: ['address'], message: `${known}, for ${chip}` });
  }
  if (rate_hz !== undefined && (chip !== 'ADXL345' || RATES[rate_hz] === undefined)) {
    faults.push({ path: ['rate_hz'], message: `${Object.keys(RATES).join(', ')}, and only for ADXL345` });
  }
  for (const [key, value] of Object.entries({ shunt_ohms, max_current })) {
    if ((value !== undefined) !== (chip === 'INA219'))
      faults.push({ path: [key], message: 'with INA219, and only there' });
  }
  if (chip === 'INA219' && shunt_ohms !== undefined && max_current !== undefined) {
    const shuntV = Number((shunt_ohms * max_current).toFixed(9));
    if (shuntV < SHUNT_V_MIN || shuntV > SHUNT_V_MAX) {
      faults.push({
        path: ['max_current'],
        message: `one that makes ${SHUNT_V_MIN} to ${SHUNT_V_MAX} V across the shunt`,
      });
    }
  }
  return [...faults, ...nameFaults(options)];
}

function nameFaults({ chip, names }: Written): Fault[] {
  const faults: Fault[] = [];
  const quantities = QUANTITIES[chip];
  const taken = new Set(quantities.filter((quantity) => names[quantity] === undefined));
  for (const [quantity, own] of Object.entries(names)) {
    const path = ['names', quantity];
    if (!quantities.includes(quantity)) {
      faults.push({ path, message: `a name for ${quantities.join(', ')}` });
      continue;
    }
    const fills = quantity === TEMPERATURE.quantity && own === TEMPERATURE.signal;
    const isOwn = isSignalKey(own) && signalNamed(own) === undefined && own !== '__proto__';
    if (!fills && !isOwn) {
      faults.push({ path, message: 'a name of your own; of the signals only temperature, for temperature_c' });
    }
    if (taken.has(own)) faults.push({ path, message: 'a name that is not taken yet' });
    taken.add(own);
  }
  return faults;
}
