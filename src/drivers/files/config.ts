/** The `files` driver's part of a sensor in the configuration: from what a person writes to {@link FilesOptions}. */
import path from 'node:path';
import { z } from 'zod';
import { choice, duration, section, text } from '../../base/config.ts';
import { COMPENSATIONS, isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { type CsvOptions, type Filled, type FilesOptions, FORMATS } from './options.ts';
import { isZone, timeReader } from './times.ts';

/** What is never a finished file, whatever the pattern. */
const TEMPORARY_NAMES = ['.*', '~*', '*.tmp', '*.temp', '*.part', '*.partial', '*.filepart', '*.crdownload', '*.swp'];
const PATTERNS = { csv: '*.csv', qif: '*.qif', aqdef: '*.dfq', calypso: '*chr.txt' } as const;

const columnSchema = z
  .union([z.string().min(1), z.int().min(1)], { error: 'is the name of a column, or its number from 1' })
  .describe('Column: its name in the header, or its number from 1.');

const filledSchema = z.union([z.strictObject({ column: columnSchema }), z.string().min(1), z.number()], {
  error: 'is a value for all rows, or {column: NAME}',
});

const measurementSchema = z
  .strictObject({
    characteristic: filledSchema.describe('The feature that is measured.'),
    measured_value: filledSchema.describe('A row in which it is empty gives no measurement of it.'),
    unit: filledSchema.default('mm').describe('Unit of value, nominal and limits.'),
    part_id: filledSchema.optional(),
    serial_number: filledSchema.optional(),
    nominal_value: filledSchema.optional(),
    lower_limit: filledSchema.optional(),
    upper_limit: filledSchema.optional(),
    temperature_c: filledSchema.optional().describe('Temperature of the part.'),
    scale_temperature_c: filledSchema.optional().describe("Temperature of the machine's scales."),
    compensation: filledSchema.optional().describe('`none`, `scale` or `full`.'),
    details: z.record(z.string().min(1), filledSchema).default({}).describe('Anything else, under names of your own.'),
  })
  .describe('Fields of a measurement: a value for all rows, or `{column: NAME}`.');

const csvSchema = z
  .strictObject({
    delimiter: z.string().length(1, 'is one character').default(',').describe('Between two fields.'),
    decimal: z.enum(['.', ','], 'is "." or ","').default('.').describe('Sign before decimals.'),
    header: z.boolean().default(true).describe('The first line names the columns.'),
    growing: z.boolean().default(false).describe('Rows are appended to files. false: a file is written once.'),
    encoding: z.enum(['utf-8', 'latin1']).default('utf-8').describe('Of text that is not plain ASCII.'),
    time: z
      .strictObject({
        column: columnSchema,
        format: z.string().default('iso').describe('iso, unix_s, unix_ms, or like dd.MM.yyyy HH:mm:ss.'),
      })
      .optional()
      .describe('Column with the time; left out: the time at which the file was written.'),
    duplicate_rows: z
      .enum(['skip', 'keep'])
      .optional()
      .describe('A row equal to the one before it; default: skip where rows have a time, else keep.'),
    measurements: z.array(measurementSchema).default([]).describe('What each row gives: one for each feature.'),
    sample: z
      .record(z.string().min(1).max(NAME_LENGTH_MAX), filledSchema)
      .optional()
      .describe('Signals of a sample that each row gives, besides.'),
  })
  .describe('For format csv.');

const written = section({
  folder: text('a folder').optional().describe('Folder that is watched'),
  folders: z.array(text('a folder')).min(1).optional().describe('Instead of folder: several'),
  format: choice(FORMATS).describe('What the files are'),
  pattern: text('a file name with * and ?')
    .optional()
    .describe(`Names of the files; default: ${Object.values(PATTERNS).join(', ')}, by the format`),
  ignore: z
    .array(text('a file name with * and ?'))
    .default(TEMPORARY_NAMES)
    .describe('Names that are no finished files'),
  csv: csvSchema.optional(),
  zone: text('UTC, an offset such as +02:00, or a name such as Europe/Berlin')
    .prefault('UTC')
    .describe('Zone of times that name none'),
  unit: text().prefault('mm').describe('Unit of lengths, where the file does not say it; for csv see its measurements'),
  compensation: choice(COMPENSATIONS)
    .optional()
    .describe("What of the temperature's influence the machine has taken out already, where the file does not say it"),
  after_reading: choice(['leave', 'move', 'delete']).prefault('leave').describe('What becomes of a file that is read'),
  read_folder: text('a folder').optional().describe('For after_reading: move; default: read, in the watched folder'),
  quarantine_folder: text('a folder')
    .optional()
    .describe('For what cannot be understood; default: quarantine, in the watched folder'),
  settle: duration({ minMs: 10, maxMs: 3_600_000 })
    .prefault('100ms')
    .describe('A file is read when its size and time have not changed for so long'),
  last_line_after: duration({ minMs: 10, maxMs: 86_400_000 })
    .prefault('5s')
    .describe('A last line without a line end is taken when the file has not changed for so long'),
  quarantine_after: duration({ minMs: 10, maxMs: 86_400_000 })
    .prefault('10s')
    .describe('A file that looks unfinished goes to the quarantine when it has not changed for so long'),
  rescan: duration({ minMs: 100, maxMs: 86_400_000 })
    .prefault('5s')
    .describe('All files are looked at so often, also where the system tells no changes, as on network shares'),
}).superRefine((options, context) => {
  const fault = (at: readonly (string | number)[], message: string): void => {
    context.addIssue({ code: 'custom', path: [...at], message: `allowed: ${message}` });
  };
  if ((options.folder === undefined) === (options.folders === undefined))
    fault(['folder'], 'one of folder and folders');
  if (!isZone(options.zone)) fault(['zone'], 'UTC, an offset such as +02:00, or a name such as Europe/Berlin');
  if (options.quarantine_after < options.last_line_after) fault(['quarantine_after'], 'last_line_after or more');
  const watched = (options.folders ?? [options.folder ?? '']).map((folder) => path.resolve(folder));
  for (const key of ['read_folder', 'quarantine_folder'] as const) {
    const folder = options[key];
    if (folder !== undefined && watched.includes(path.resolve(folder)))
      fault([key], 'a folder that is not watched: what is put there would be read again');
  }
  const { csv } = options;
  if ((options.format === 'csv') !== (csv !== undefined)) fault(['csv'], 'a section for format csv, and only then');
  if (csv === undefined) return;
  if (csv.measurements.length === 0 && csv.sample === undefined) fault(['csv'], 'measurements, or sample, or both');
  if (csv.growing && options.after_reading !== 'leave') fault(['after_reading'], 'leave, for files that grow');
  if (csv.decimal === csv.delimiter) fault(['csv', 'decimal'], 'another sign than the delimiter');
  if (csv.time !== undefined && timeReader(csv.time.format, options.zone) === undefined) {
    fault(['csv', 'time', 'format'], 'iso, unix_s, unix_ms, or a pattern such as dd.MM.yyyy HH:mm:ss');
  }
  for (const name of Object.keys(csv.sample ?? {})) {
    if (!isSignalKey(name) || name === '__proto__')
      fault(['csv', 'sample', name], 'the name of a signal, or one of your own');
  }
  for (const { at, column } of columnsOf(csv)) {
    if (!csv.header && typeof column === 'string') fault(at, 'the number of a column, since there is no header');
  }
});

type WrittenCsv = z.output<typeof csvSchema>;
type WrittenFilled = z.output<typeof filledSchema>;

/** Output: {@link FilesOptions}. */
export const schema: z.ZodType<FilesOptions, unknown> = written.transform((options): FilesOptions => {
  const folders = (options.folders ?? [options.folder ?? '']).map((folder) => path.resolve(folder));
  const below = (name: string): string => path.join(folders[0] ?? '', name);
  return {
    folders,
    pattern: options.pattern ?? PATTERNS[options.format],
    ignore: options.ignore,
    format: options.format,
    csv: options.csv === undefined ? null : csvOptions(options.csv),
    zone: options.zone,
    unit: options.unit,
    compensation: options.compensation ?? null,
    settleMs: options.settle,
    lastLineAfterMs: options.last_line_after,
    quarantineAfterMs: options.quarantine_after,
    rescanMs: options.rescan,
    afterReading: options.after_reading,
    readFolder: options.read_folder === undefined ? below('read') : path.resolve(options.read_folder),
    quarantineFolder:
      options.quarantine_folder === undefined ? below('quarantine') : path.resolve(options.quarantine_folder),
  };
});

function csvOptions(csv: WrittenCsv): CsvOptions {
  return {
    delimiter: csv.delimiter,
    decimal: csv.decimal,
    header: csv.header,
    growing: csv.growing,
    encoding: csv.encoding,
    time: csv.time ?? null,
    skipDuplicates: (csv.duplicate_rows ?? (csv.time === undefined ? 'keep' : 'skip')) === 'skip',
    measurements: csv.measurements.map(({ details, ...fields }) => ({
      ...filledMap(fields),
      ...filledMap(Object.fromEntries(Object.entries(details).map(([name, filled]) => [`details.${name}`, filled]))),
    })),
    sample: csv.sample === undefined ? null : filledMap(csv.sample),
  };
}

function filledMap(fields: Readonly<Record<string, WrittenFilled | undefined>>): Record<string, Filled> {
  const entries = Object.entries(fields).flatMap(([name, filled]): [string, Filled][] => {
    if (filled === undefined) return [];
    return [[name, typeof filled === 'object' ? { column: filled.column } : { constant: filled }]];
  });
  return Object.fromEntries(entries);
}

function columnsOf(csv: WrittenCsv): { at: (string | number)[]; column: string | number }[] {
  const columns: { at: (string | number)[]; column: string | number }[] = [];
  if (csv.time !== undefined) columns.push({ at: ['csv', 'time', 'column'], column: csv.time.column });
  const add = (at: (string | number)[], fields: Readonly<Record<string, unknown>>): void => {
    for (const [name, filled] of Object.entries(fields)) {
      if (typeof filled === 'object' && filled !== null && 'column' in filled) {
        columns.push({ at: [...at, name], column: filled.column as string | number });
      }
    }
  };
  for (const [index, fields] of csv.measurements.entries()) {
    add(['csv', 'measurements', index], fields);
    add(['csv', 'measurements', index, 'details'], fields.details);
  }
  add(['csv', 'sample'], csv.sample ?? {});
  return columns;
}
