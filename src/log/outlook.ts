/** What a log's report means for who has to act: how far behind each sink is, how full the log is, and for how long there is room. */
import type { LogLimits } from './keeper.ts';
import type { LogReport } from './inspect.ts';

/** How much smaller segments become that are compressed, until some of the log's own tell: less than most do. */
export const RATIO_ASSUMED = 8;
/** A rate of less than this time says nothing. */
const SPAN_MICROS_MIN = 1_000_000;

export interface Surroundings {
  /** By the wall clock. */
  readonly nowMicros: number;
  /** null: nobody knows them. */
  readonly limits: Pick<LogLimits, 'bytesMax' | 'reserveBytes'> | null;
  /** On the log's disk; null where the system does not tell. */
  readonly freeBytes: number | null;
}

export interface Outlook {
  readonly oldestUnsentSeconds: { readonly [sink: string]: number };
  /** How large the log may become: its limit, or less where the disk is short of space; null: not known. */
  readonly bytesMax: number | null;
  /** Of what is appended, before compression, in the newest hour; null: not known. */
  readonly bytesPerSecond: number | null;
  readonly compressionRatio: number;
  /** The ratio is that of the log's own segments. */
  readonly ratioIsMeasured: boolean;
  /** Until the log is full, if no sink takes anything, at the present rate; null: not known. */
  readonly fullInSeconds: number | null;
}

export function outlookOf(report: LogReport, { nowMicros, limits, freeBytes }: Surroundings): Outlook {
  const { cursors, newestHour, bytes } = report;
  const ages = cursors.flatMap(({ sink, oldestUnsentMicros }) =>
    oldestUnsentMicros === null ? [] : [[sink, Math.max(0, nowMicros - oldestUnsentMicros) / 1e6] as const],
  );
  const possible = freeBytes === null ? Number.POSITIVE_INFINITY : bytes + freeBytes - (limits?.reserveBytes ?? 0);
  const bytesMax = limits === null ? null : Math.max(0, Math.min(limits.bytesMax, possible));
  const spanMicros = newestHour?.spanMicros ?? 0;
  const bytesPerSecond =
    newestHour === null || spanMicros < SPAN_MICROS_MIN ? null : newestHour.bytes / (spanMicros / 1e6);
  const measured = measuredRatio(report);
  const compressionRatio = measured ?? RATIO_ASSUMED;
  // When the log is full, all but its newest segment is compressed.
  const bytesThen = report.segments.reduce(
    (sum, segment) => sum + (segment.form === 'plain' ? segment.bytes / compressionRatio : segment.bytes),
    0,
  );
  const hasRate = bytesMax !== null && bytesPerSecond !== null && bytesPerSecond > 0;
  return {
    oldestUnsentSeconds: Object.fromEntries(ages),
    bytesMax,
    bytesPerSecond,
    compressionRatio,
    ratioIsMeasured: measured !== undefined,
    fullInSeconds: hasRate ? Math.max(0, bytesMax - bytesThen) / (bytesPerSecond / compressionRatio) : null,
  };
}

function measuredRatio({ segments }: LogReport): number | undefined {
  const compressed = segments.filter(({ form, batches }) => form === 'compressed' && batches > 0);
  const bytes = compressed.reduce((sum, segment) => sum + segment.bytes, 0);
  const plainBytes = compressed.reduce((sum, segment) => sum + segment.plainBytes, 0);
  return bytes === 0 || plainBytes === 0 ? undefined : plainBytes / bytes;
}
