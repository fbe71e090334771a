/** What the sink and the thread of its server say to each other. */
import type { LogFields, LogLevel } from '../../base/logger.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Trouble } from '../../ports/sink.ts';
import type { OpcuaServerOptions } from './config.ts';

/** Handed to the thread when it is made. */
export interface ThreadData {
  readonly options: OpcuaServerOptions;
  readonly gatewayId: string;
  /** Of the sink. */
  readonly folder: string;
}

export interface SentBatch {
  readonly epoch: string;
  readonly sequence: number;
  readonly readings: number;
  readonly payload: Uint8Array;
}

export type ToThread =
  /** Answered by `taken` with its number. `isBacklog`: only the newest values of it are to be shown. */
  | {
      readonly kind: 'batches';
      readonly number: number;
      readonly batches: readonly SentBatch[];
      readonly isBacklog: boolean;
    }
  /** Answered likewise: that is the thread's sign of life. */
  | {
      readonly kind: 'status';
      readonly number: number;
      readonly status: EdgeStatus;
      readonly pollIntervalsMs: ReadonlyMap<string, number>;
    }
  | { readonly kind: 'stop' };

export type FromThread =
  | { readonly kind: 'taken'; readonly number: number }
  | { readonly kind: 'trouble'; readonly trouble: Trouble | null }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly message: string; readonly fields: LogFields };
