/** What drivers of the main thread and the thread that speaks OPC UA say to each other. `id`: one driver's. */
import type { ErrorCode } from '../../base/errors.ts';
import type { LogFields, LogLevel } from '../../base/logger.ts';
import type { Reading } from '../../model/reading.ts';
import type { OpcuaOptions } from './options.ts';

export type ToThread =
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly machineId: string;
      readonly options: OpcuaOptions;
      readonly pkiFolder: string;
    }
  /** Ends the run; answered by `ended`. */
  | { readonly kind: 'stop'; readonly id: number }
  /** The driver does not run any more: what was kept for its next run is let go of. */
  | { readonly kind: 'forget'; readonly id: number };

export type FromThread =
  | { readonly kind: 'reading'; readonly id: number; readonly reading: Reading }
  | { readonly kind: 'connected'; readonly id: number }
  | { readonly kind: 'alive'; readonly id: number; readonly nextWithinMs: number | undefined }
  /** Of no driver: the thread does not hang, though its servers may have nothing to say for minutes. */
  | { readonly kind: 'awake'; readonly id: 0 }
  | { readonly kind: 'problem'; readonly id: number; readonly item: string; readonly reason: string | null }
  | {
      readonly kind: 'log';
      readonly id: number;
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
    }
  /** The run has ended; null: as it was told to. */
  | {
      readonly kind: 'ended';
      readonly id: number;
      readonly error: { readonly code: ErrorCode; readonly message: string } | null;
    };
