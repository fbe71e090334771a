/** Every type of driver by its name in the configuration. Nothing is loaded that the configuration does not name. */
import type { ZodType } from 'zod';
import type { Claim, Driver } from '../ports/driver.ts';

/** A method, not a function property, so that a driver's own type of options fits: its schema has checked them. */
export interface DriverModule {
  create(options: unknown): Driver;
}

/** Also with a method, for the same reason. */
export interface DriverConfigModule {
  readonly schema: ZodType;
  claims?(options: unknown): readonly Claim[];
}

export interface DriverEntry {
  /** Only for who reads the configuration: loads the schema library. */
  readonly schema: () => Promise<DriverConfigModule>;
  readonly create: () => Promise<DriverModule>;
}

export const DRIVERS: { readonly [type: string]: DriverEntry } = {
  files: { schema: () => import('./files/config.ts'), create: () => import('./files/driver.ts') },
  gpio: { schema: () => import('./gpio/config.ts'), create: () => import('./gpio/driver.ts') },
  i2c: { schema: () => import('./i2c/config.ts'), create: () => import('./i2c/driver.ts') },
  modbus: { schema: () => import('./modbus/config.ts'), create: () => import('./modbus/driver.ts') },
  mqtt: { schema: () => import('./mqtt/config.ts'), create: () => import('./mqtt/driver.ts') },
  mtconnect: { schema: () => import('./mtconnect/config.ts'), create: () => import('./mtconnect/driver.ts') },
  opcua: { schema: () => import('./opcua/config.ts'), create: () => import('./opcua/driver.ts') },
  shdr: { schema: () => import('./shdr/config.ts'), create: () => import('./shdr/driver.ts') },
  simulator: { schema: () => import('./simulator/config.ts'), create: () => import('./simulator/driver.ts') },
};
