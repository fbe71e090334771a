/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { MachineState } from '../../model/signals.ts';

/** Of a stack light, by default in the order of what counts most. */
export const COLOURS = ['red', 'amber', 'blue', 'green', 'white'] as const;
export type Colour = (typeof COLOURS)[number];

export const BIASES = ['as_is', 'pull_up', 'pull_down', 'disabled'] as const;
export type Bias = (typeof BIASES)[number];

export type LineUse =
  /** Kept as true or false under its name. */
  | { readonly kind: 'input' }
  /** Kept as off, on or blinking under its name. */
  | { readonly kind: 'lamp'; readonly colour: Colour }
  /** Each time it becomes active a part is finished, unless that is sooner than this after the one before. */
  | { readonly kind: 'part_counter'; readonly minIntervalMs: number };

export interface LineSettings {
  /** Offset on the chip, or the line's name. */
  readonly line: string;
  readonly name: string;
  readonly bias: Bias;
  readonly isActiveLow: boolean;
  /** How long a level must stand to count. */
  readonly debounceMs: number;
  readonly use: LineUse;
}

/** What a lamp means when it is lit; null: nothing. */
export interface LampMeaning {
  readonly colour: Colour;
  readonly on: MachineState | null;
  readonly blinking: MachineState | null;
}

export interface GpioOptions {
  /** Name, path, number or label of the chip. */
  readonly chip: string;
  readonly lines: readonly LineSettings[];
  /** A lamp that goes on twice within this time is blinking, until it has not changed for as long. */
  readonly blinkMs: number;
  /** The first that is lit and means something decides the machine's state. */
  readonly meanings: readonly LampMeaning[];
  /** The state when none is. */
  readonly none: MachineState;
  /** Time between two looks whether all edges were told. */
  readonly checkMs: number;
  /** Folder of the programs; null: as the system finds them. */
  readonly tools: string | null;
}
