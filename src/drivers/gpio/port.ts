/** What tells how the lines of a chip stand. Opened by `gpio-tools.ts`; tests have pins in memory. */
import type { MillwrightError } from '../../base/errors.ts';
import type { Bias } from './options.ts';

export interface PinSettings {
  readonly chip: string;
  readonly lines: readonly { readonly line: string; readonly bias: Bias }[];
  readonly tools: string | null;
}

export interface Edge {
  /** Place of the line in the settings. */
  readonly index: number;
  /** The level after it, as it is on the wire. */
  readonly isHigh: boolean;
  /** How long ago it was. */
  readonly agoMs: number;
}

export interface EdgeTaker {
  edge(edge: Edge): void;
  /** Nobody watches any more, though nobody stopped it. Once. */
  ended(error: MillwrightError): void;
}

export interface Watch {
  /** Resolves when every edge is handed over and the lines are free. */
  stop(): Promise<void>;
}

export interface Pins {
  /** Levels on the wire, in the order of the settings. Not while they are watched: a line has one holder. */
  levels(signal: AbortSignal): Promise<readonly boolean[]>;
  /** Resolves when edges are told. */
  watch(taker: EdgeTaker, signal: AbortSignal): Promise<Watch>;
}

/** @throws config_invalid where trying again does not help; connection_failed; protocol_violation */
export type OpenPins = (settings: PinSettings, signal: AbortSignal) => Promise<Pins>;
