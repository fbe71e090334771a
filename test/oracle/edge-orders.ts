/** What the oracle tells the edge's process. */
import type { Failure } from './failing-files.ts';

export type Order = { readonly id: number } & OrderKind;

export type OrderKind =
  | { readonly kind: 'fail'; readonly failure: Failure }
  /** Only asks how many calls have failed. */
  | { readonly kind: 'ask' }
  | { readonly kind: 'heal' }
  | { readonly kind: 'step clock'; readonly ms: number };

export interface OrderDone {
  readonly id: number;
  /** Calls that have failed since the last `fail`. */
  readonly failed: number;
}
