/** What the parts of one run share: `session.ts` makes it, and hands each of them what it needs. Loads the library. */
import type { DriverContext } from '../../ports/driver.ts';
import type { Connection } from './connection.ts';
import type { NodeSettings, OpcuaOptions } from './options.ts';

export type SessionContext = Pick<
  DriverContext,
  'machineId' | 'emit' | 'connected' | 'alive' | 'problem' | 'clock' | 'log'
>;

export interface Run {
  readonly options: OpcuaOptions;
  readonly connection: Connection;
  readonly context: SessionContext;
  /** Aborted when the run is over, however it ended. */
  readonly ended: AbortSignal;
  /** Ends the run, with this as the reason unless it was over before. */
  readonly fail: (error: unknown) => void;
}

/** A node that is wanted. Whether it is monitored, `monitoring.ts` looks after; what it tells, `readings.ts`. */
export interface Item {
  readonly settings: NodeSettings;
  /** In messages of the server, from 1. */
  readonly handle: number;
  /** Given by the server when it is monitored. */
  monitoredItemId: number | null;
  /** The server's clock when it was monitored, in its own time: what is older held then. */
  sinceMicros: number | null;
  /** It has told a value since. */
  hasTold: boolean;
  isUncertain: boolean;
  /** What was told of it last. */
  fault: string | null;
  lost: number;
  lostToldMs: number;
}

export function itemsOf(nodes: readonly NodeSettings[]): Item[] {
  return nodes.map((settings, index) => ({
    settings,
    handle: index + 1,
    monitoredItemId: null,
    sinceMicros: null,
    hasTold: false,
    isUncertain: false,
    fault: null,
    lost: 0,
    lostToldMs: Number.NEGATIVE_INFINITY,
  }));
}

/** Called for each value, so only what is new goes to the other thread. */
export function tellFault(item: Item, fault: string | null, context: SessionContext): void {
  if (item.fault === fault) return;
  item.fault = fault;
  context.problem(item.settings.node, fault);
}
