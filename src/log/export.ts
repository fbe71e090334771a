/** The readings of a log as text for other programs: `millwright log export`. */
import type { Files } from '../base/files.ts';
import { decodeMessage } from '../model/frame.ts';
import { kindOf, MEASUREMENT_VALUES, type Reading } from '../model/reading.ts';
import { SIGNAL_NAMES } from '../model/signals.ts';
import { readAll } from './inspect.ts';
import { includesReading, type LogRange } from './range.ts';

export const EXPORT_FORMATS = ['ndjson', 'csv'] as const;

export interface ExportOptions {
  readonly files: Files;
  readonly folder: string;
  readonly format: (typeof EXPORT_FORMATS)[number];
  readonly range: LogRange;
  /** With the identity of its batch before each reading; null: without. */
  readonly identity: { readonly gatewayId: string } | null;
  /** Told of each piece of a batch that is no reading, and is left out. */
  readonly onFault: (sequence: number, reason: string) => void;
}

/** `gateway_id`, `epoch`, `sequence`. */
type Identity = Readonly<Record<string, string | number>>;

/** One piece of text for each batch, so that memory does not grow with the log. */
export async function* exportedText(options: ExportOptions): AsyncGenerator<string> {
  const { files, folder, format, range, identity, onFault } = options;
  if (format === 'csv') yield csvLine([...(identity === null ? [] : IDENTITY_COLUMNS), ...COLUMNS]);
  for await (const { epoch, sequence, payload } of readAll(files, folder, range.sequences)) {
    const { readings, faults } = decodeMessage(payload);
    for (const { reason } of faults) onFault(sequence, reason);
    const about: Identity = identity === null ? {} : { gateway_id: identity.gatewayId, epoch, sequence };
    const wanted = readings.filter((reading) => includesReading(range, reading));
    const lines = wanted.map((reading) => (format === 'csv' ? csvRow(reading, about) : jsonLine(reading, about)));
    if (lines.length > 0) yield lines.join('');
  }
}

/** With an identity, the reading stands beside it: a machine may have signals of those names. */
function jsonLine(reading: Reading, about: Identity): string {
  return `${JSON.stringify('sequence' in about ? { ...about, reading } : reading)}\n`;
}

const IDENTITY_COLUMNS = ['gateway_id', 'epoch', 'sequence'];
const COMMON_COLUMNS = ['kind', 'machine_id', 'timestamp', 'gateway_time', 'clock_quality'];
const SAMPLE_COLUMNS: readonly string[] = [...SIGNAL_NAMES, 'sampling_factor'];
const EVENT_COLUMNS = [
  'event_type',
  'item',
  'state',
  'previous_state',
  'level',
  'native_code',
  'native_severity',
  'qualifier',
  'text',
];
const COLUMNS: readonly string[] = [
  ...COMMON_COLUMNS,
  ...SAMPLE_COLUMNS,
  ...EVENT_COLUMNS,
  ...MEASUREMENT_VALUES,
  'extra',
];
/** A sample's own `text` or `unit` is an extra value, not an event's. */
const OWN_COLUMNS = {
  sample: new Set([...COMMON_COLUMNS, ...SAMPLE_COLUMNS]),
  event: new Set([...COMMON_COLUMNS, ...EVENT_COLUMNS]),
  measurement: new Set([...COMMON_COLUMNS, ...MEASUREMENT_VALUES]),
} as const;

/** What has no column of its own is JSON in the last one. A value that is not known and one that was not said are empty alike. */
function csvRow(reading: Reading, about: Identity): string {
  const kind = kindOf(reading);
  const own = OWN_COLUMNS[kind];
  const values = new Map<string, string | number>([['kind', kind]]);
  const extra: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(reading)) {
    if (value === null && own.has(key)) continue;
    if (own.has(key) && (typeof value === 'string' || typeof value === 'number')) values.set(key, value);
    else extra[key] = value;
  }
  if (Object.keys(extra).length > 0) values.set('extra', JSON.stringify(extra));
  return csvLine([...Object.values(about), ...COLUMNS.map((column) => values.get(column))]);
}

/** RFC 4180: fields with a comma, a quote or a line end in quotes, with quotes doubled; lines end in CR LF. */
function csvLine(values: readonly (string | number | undefined)[]): string {
  const fields = values.map((value) => {
    const text = value === undefined ? '' : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${fields.join(',')}\r\n`;
}
