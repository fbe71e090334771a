/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { StateRole } from '../../model/mtconnect/state.ts';
import type { FieldSettings } from '../../model/mtconnect/values.ts';
import type { ItemKind } from './parse.ts';

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
