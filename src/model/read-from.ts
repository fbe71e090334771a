/**
 * Where a reading was read, for sources that can be read again, such as files: part of the reading, so that the log
 * itself tells after a crash what has been read (decision 019).
 */
import type { Reading } from './reading.ts';

export interface ReadFrom {
  /** Name of the source in the configuration. */
  readonly source: string;
  /** Name of the file, without its folder; absent where there are no files. */
  readonly file?: string;
  /** Of the file's rows that give readings, from 1. */
  readonly row?: number;
  /** By which the source knows it again. */
  readonly mark: string;
}

/** The key in a sample, and in the `details` of a measurement or an event. */
export const READ_FROM_KEY = 'read_from';

/** A measurement or an event carries it in its `details`, a sample as an extra. */
export function withReadFrom<Kind extends Reading>(reading: Kind, from: ReadFrom): Kind {
  const value = { ...from };
  if (reading.kind !== 'measurement' && reading.kind !== 'event') return { ...reading, [READ_FROM_KEY]: value };
  return { ...reading, details: { ...reading.details, [READ_FROM_KEY]: value } };
}

export function readFromOf(reading: Reading): ReadFrom | undefined {
  const value = (reading.kind === 'measurement' || reading.kind === 'event' ? reading.details : reading)?.[
    READ_FROM_KEY
  ];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { source, file, row, mark } = value as Record<string, unknown>;
  if (typeof source !== 'string' || typeof mark !== 'string') return undefined;
  const place = typeof file === 'string' && typeof row === 'number' ? { file, row } : {};
  return { source, ...place, mark };
}
