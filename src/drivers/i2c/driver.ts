/**
 * Reads one chip on an I2C bus: a sample of all that it measures, at each sampling interval. What each chip does by its data
 * sheet is in the file of its name, the way to the bus in `i2ctransfer-port.ts`.
 *
 * A transfer that fails is tried again a few times (`registers.ts`); when it still fails, or the chip has lost its settings,
 * the run ends, and the next one finds the chip and sets it up anew. Sensors share nothing: the kernel keeps the bus in order.
 */
import { now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { nextTickMs } from '../../base/ticks.ts';
import type { CreateDriver, Driver, DriverContext } from '../../ports/driver.ts';
import { adxl345 } from './adxl345.ts';
import { bme280 } from './bme280.ts';
import type { Chip, Values } from './chip.ts';
import { ina219 } from './ina219.ts';
import { mcp9808 } from './mcp9808.ts';
import { tmp117 } from './tmp117.ts';
import { I2ctransferPort } from './i2ctransfer-port.ts';
import type { ChipSettings, I2cOptions } from './options.ts';
import type { I2cPort } from './port.ts';
import { Registers } from './registers.ts';

export const create: CreateDriver<I2cOptions> = (options) => new I2cDriver(options, new I2ctransferPort(options));

export class I2cDriver implements Driver {
  readonly #options: I2cOptions;
  readonly #port: I2cPort;

  constructor(options: I2cOptions, port: I2cPort) {
    this.#options = options;
    this.#port = port;
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    const { address, bus, chip: settings } = this.#options;
    const registers = new Registers({ port: this.#port, address, clock: context.clock, signal });
    const known = new Set<string>();
    try {
      const chip = createChip(settings);
      await chip.start(registers);
      if (signal.aborted) return;
      context.connected();
      await this.#measure({ chip, registers, context, signal, known });
    } catch (error) {
      if (signal.aborted) return;
      this.#lose(context, known);
      if (!(error instanceof MillwrightError)) throw error;
      const place = `0x${address.toString(16)} of bus ${bus}`;
      throw new MillwrightError(error.code, `the ${settings.name} at ${place} cannot be read`, { cause: error });
    }
  }

  /** Until aborted, or until it fails. */
  async #measure(parts: {
    chip: Chip;
    registers: Registers;
    context: DriverContext;
    signal: AbortSignal;
    known: Set<string>;
  }): Promise<void> {
    const { chip, registers, context, signal, known } = parts;
    const { clock } = context;
    let dueMs = clock.monotonicMs();
    while (!signal.aborted) {
      await context.room();
      const askedMs = clock.monotonicMs();
      const values = await chip.measure(registers);
      if (signal.aborted) return;
      context.answered(clock.monotonicMs() - askedMs);
      this.#emit(values, context, known);
      dueMs = nextTickMs(dueMs, context.samplingIntervalMs(), clock.monotonicMs());
      const { gathering } = chip;
      while (gathering !== undefined && dueMs - clock.monotonicMs() > gathering.everyMs) {
        await clock.sleep(gathering.everyMs, signal);
        if (signal.aborted) return;
        await gathering.gather(registers);
      }
      await clock.sleep(Math.max(0, dueMs - clock.monotonicMs()), signal);
    }
  }

  #emit(values: Values, context: DriverContext, known: Set<string>): void {
    const fields = Object.entries(values).map(([quantity, value]) => [this.#options.names[quantity], value] as const);
    if (fields.length === 0) return;
    for (const [name, value] of fields) {
      if (value === null) known.delete(name!);
      else known.add(name!);
    }
    context.emit({ machine_id: context.machineId, timestamp: now(context.clock), ...Object.fromEntries(fields) });
  }

  /** What was known is not known any more. */
  #lose(context: DriverContext, known: ReadonlySet<string>): void {
    if (known.size === 0) return;
    const values = Object.fromEntries([...known].map((name) => [name, null]));
    context.emit({ machine_id: context.machineId, timestamp: now(context.clock), ...values });
  }
}

function createChip(settings: ChipSettings): Chip {
  switch (settings.name) {
    case 'TMP117':
      return tmp117();
    case 'MCP9808':
      return mcp9808();
    case 'BME280':
      return bme280();
    case 'ADXL345':
      return adxl345(settings.rateHz);
    case 'INA219':
      return ina219(settings);
  }
}
