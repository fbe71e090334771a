/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { ItemKind } from './parse.ts';
import type { StateRole } from './state.ts';

/** One key of a sample that an item fills. */
export interface FieldSettings {
  /** A standard signal, or a name in `extra`. */
  readonly name: string;
  /** `auto`: a number where the text is one, else text. */
  readonly type: 'number' | 'integer' | 'text' | 'auto' | 'data_set';
  /** value · scale + offset, of numbers. */
  readonly scale: number;
  readonly offset: number;
  /** Which of the blank-separated values; null: the text as a whole. */
  readonly index: number | null;
}

export interface ItemSettings {
  readonly kind: ItemKind;
  /** Empty for conditions and messages, and for items that only decide the state. */
  readonly fields: readonly FieldSettings[];
}

export interface ShdrOptions {
  readonly host: string;
  readonly port: number;
  /** The device whose items are wanted; null takes every device's. */
  readonly device: string | null;
  readonly items: { readonly [item: string]: ItemSettings };
  readonly state: { readonly [role in StateRole]: string | null };
  /** The item with the active program's name. */
  readonly program: string | null;
  readonly conditions: 'all' | readonly string[];
  /** Whether items that are not named anywhere are taken under their own names. */
  readonly takeAll: boolean;
  /** How often to ask an adapter that knows the heartbeat but does not say how often. */
  readonly heartbeatMs: number;
  readonly connectTimeoutMs: number;
  /** Of stamps without a zone: `Z` or `+02:00`. */
  readonly assumeZone: string;
}
