/** The driver's options as `config.ts` leaves them: complete and checked, plain JSON. */
import type { Compensation } from '../../model/reading.ts';

export const FORMATS = ['csv', 'qif', 'aqdef', 'calypso'] as const;
export type Format = (typeof FORMATS)[number];

/** What a field is filled from: the same for every row, or a column by its name in the header or its number from 1. */
export type Filled = { readonly constant: string | number } | { readonly column: string | number };

export interface TimeColumn {
  readonly column: string | number;
  /** `iso`, `unix_s`, `unix_ms`, or a pattern such as `dd.MM.yyyy HH:mm:ss`. */
  readonly format: string;
}

export interface CsvOptions {
  readonly delimiter: string;
  readonly decimal: '.' | ',';
  readonly header: boolean;
  /** Rows are appended to files; else a file is whole when it is there. */
  readonly growing: boolean;
  readonly encoding: 'utf-8' | 'latin1';
  /** null: the file's own time. */
  readonly time: TimeColumn | null;
  /** A row that is equal to the one before it is the same row. */
  readonly skipDuplicates: boolean;
  /** By the measurement's field; `details.x` for one of the details. */
  readonly measurements: readonly { readonly [field: string]: Filled }[];
  /** By the sample's field. */
  readonly sample: { readonly [field: string]: Filled } | null;
}

export interface FilesOptions {
  readonly folders: readonly string[];
  /** Names with `*` and `?`. */
  readonly pattern: string;
  readonly ignore: readonly string[];
  readonly format: Format;
  readonly csv: CsvOptions | null;
  /** `UTC`, an offset, or an IANA name: of times that name none. */
  readonly zone: string;
  /** Where the file does not say it. */
  readonly compensation: Compensation | null;
  /** Of lengths, where the file does not say it. */
  readonly unit: string;
  readonly settleMs: number;
  readonly lastLineAfterMs: number;
  readonly quarantineAfterMs: number;
  readonly rescanMs: number;
  readonly afterReading: 'leave' | 'move' | 'delete';
  /** Below the watched folder, or anywhere. */
  readonly readFolder: string;
  readonly quarantineFolder: string;
}

/** Rows are appended to its files. */
export function isGrowing({ csv }: FilesOptions): boolean {
  return csv?.growing === true;
}
