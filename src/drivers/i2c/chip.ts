/** What a chip does, by its data sheet: it is set up, and measures. One object for each connection. */
import { MillwrightError } from '../../base/errors.ts';
import type { Registers } from './registers.ts';

/** By quantity (`QUANTITIES`). null: the chip says that it does not know; a quantity that is left out: there is none yet. */
export type Values = { readonly [quantity: string]: number | null };

export interface Chip {
  /**
   * Makes sure that it is this chip, and sets it up.
   * @throws config_invalid for another chip, and what the registers throw
   */
  start(registers: Registers): Promise<void>;
  /** @throws connection_failed when the chip has lost its settings; and what the registers throw */
  measure(registers: Registers): Promise<Values>;
  /** For a chip that takes readings by itself and keeps only so many: to be called at least so often between two measurements. */
  readonly gathering?: { readonly everyMs: number; gather(registers: Registers): Promise<void> };
}

/** @throws config_invalid unless they are equal */
export function checkId(chip: string, found: number, expected: number, digits: number): void {
  if (found === expected) return;
  const hex = (id: number): string => `0x${id.toString(16).toUpperCase().padStart(digits, '0')}`;
  const text = `what answers is no ${chip}: its identification is ${hex(found)}, not ${hex(expected)}`;
  throw new MillwrightError('config_invalid', text);
}

/** A chip whose supply broke down is as it is after power-on: what it says then is not what was asked for. */
export function settingsLost(chip: string): MillwrightError {
  return new MillwrightError('connection_failed', `the ${chip} has lost its settings, as after a fault of its supply`);
}

/** Without the digits that are noise. */
export function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
