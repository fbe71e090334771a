/** The registers of one chip: transfers to its address, tried again a few times. */
import type { Clock } from '../../base/clock.ts';
import { hasCode, MillwrightError } from '../../base/errors.ts';
import { type I2cPort, type Message, MESSAGES_MAX } from './port.ts';

/** A byte is lost on a long wire now and then: a transfer is tried so many times, so long after another. */
export const TRIES_MAX = 3;
export const RETRY_MS = 10;

export interface RegisterRange {
  readonly register: number;
  readonly length: number;
}

export class Registers {
  readonly #port: I2cPort;
  readonly #address: number;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  constructor(parts: { port: I2cPort; address: number; clock: Clock; signal: AbortSignal }) {
    this.#port = parts.port;
    this.#address = parts.address;
    this.#clock = parts.clock;
    this.#signal = parts.signal;
  }

  /** Neighbouring registers, one byte each, or one register of several bytes: as the chip counts. */
  async read(register: number, length: number): Promise<Buffer> {
    const [bytes] = await this.readAll([{ register, length }]);
    return bytes!;
  }

  /** All in one transfer; at most {@link MESSAGES_MAX}/2. */
  async readAll(ranges: readonly RegisterRange[]): Promise<readonly Buffer[]> {
    if (ranges.length > MESSAGES_MAX / 2) throw new RangeError(`${ranges.length} ranges of registers`);
    const messages = ranges.flatMap(({ register, length }) => [{ write: [register] }, { read: length }]);
    return this.#transfer(messages);
  }

  async write(register: number, ...bytes: readonly number[]): Promise<void> {
    await this.#transfer([{ write: [register, ...bytes] }]);
  }

  sleep(ms: number): Promise<void> {
    return this.#clock.sleep(ms, this.#signal);
  }

  async #transfer(messages: readonly Message[]): Promise<readonly Buffer[]> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#port.transfer(this.#address, messages, this.#signal);
      } catch (error) {
        if (tries >= TRIES_MAX || this.#signal.aborted || hasCode(error, 'config_invalid')) throw error;
        if (!(error instanceof MillwrightError)) throw error;
        await this.sleep(RETRY_MS);
      }
    }
  }
}
