import type { Random } from '../../../src/base/random.ts';
import { rowMapper } from '../../../src/drivers/files/columns.ts';
import { schema } from '../../../src/drivers/files/config.ts';
import { type CsvForm, type CsvRow, csvRows } from '../../../src/drivers/files/csv.ts';
import { between, chance, type Codec, mustBeEqual, pick } from '../codec.ts';
import { csvRefusals } from '../files.ts';
import { driverCase } from '../samples.ts';

const CASES = [
  'byte-order-mark',
  'crlf',
  'decimal-comma',
  'duplicate-rows',
  'empty-fields',
  'half-file',
  'no-header',
  'quoted',
];
const LENGTH = {
  characteristic: 'length',
  measured_value: { column: 'Length' },
  details: { t: { column: 'Temperature' } },
};
const OPTIONS = [
  { time: { column: 'Timestamp' }, measurements: [LENGTH], sample: { temperature: { column: 'Temperature' } } },
  {
    delimiter: ';',
    decimal: ',',
    encoding: 'latin1',
    header: false,
    time: { column: 1, format: 'd.M.yyyy H:m:s' },
    measurements: [{ characteristic: { column: 2 }, measured_value: { column: 3 }, unit: { column: 4 } }],
  },
  {
    header: false,
    measurements: [{ characteristic: { column: 1 }, measured_value: { column: 2 } }],
    time: { column: 3, format: 'unix_ms' },
  },
].map((csv) => schema.parse({ folder: '/fuzz', format: 'csv', zone: 'Europe/Berlin', csv }).csv!);

const FIELDS = [
  '2026-01-01T08:00:01Z',
  '31.10.2026 02:30:00',
  '20.5',
  '20,5',
  '',
  '"a ""b"""',
  '"a,\nb"',
  '"open',
  'é',
  '1e999',
];

/** By the options of the same place. */
const GOOD_ROWS: readonly ((number: number) => string)[] = [
  (number) => `2026-01-01T08:00:${number % 60}Z,"${number}.5",100.0${number}`,
  (number) => `31.10.2026 02:30:01;Bohrung ${number};25,0${number};mm`,
  (number) => `"bore ${number}",25.${number},17672544${number}250`,
];

export const codec: Codec = {
  about:
    'CSV: rows with their places, to readings by a column map; read on from any row as from the first, and of a file that grows as of the whole',
  corpus: CASES.map((name) => driverCase(`files/testcases/${name}/input.csv`)),
  words: [
    ',',
    ';',
    '"',
    '""',
    '\n',
    '\r\n',
    '\r',
    '\t',
    '"\n',
    '\n"',
    'Timestamp,Temperature,Length\n',
    '.',
    'Timestamp',
    ' ',
  ],
  opening: '"',
  generate(random) {
    const end = pick(random, ['\n', '\r\n']);
    const form = between(random, 0, 2);
    const rows = Array.from({ length: between(random, 0, 8) }, () =>
      chance(random, 0.9) ? GOOD_ROWS[form]!(between(random, 10, 99)) : row(random, form === 1 ? ';' : ','),
    );
    const header = form === 0 ? ['Timestamp,Temperature,Length'] : [];
    return Buffer.from([...header, ...rows].join(end) + (chance(random, 0.8) ? end : ''));
  },
  async read(input, random) {
    const fitting = OPTIONS[/^[^\n]*Timestamp/.test(input.toString('latin1')) ? 0 : input.includes(0x3b) ? 1 : 2]!;
    const csv = chance(random, 0.9) ? fitting : pick(random, OPTIONS);
    const { delimiter, encoding } = csv;
    const form = { delimiter, encoding, takeLastLine: chance(random, 0.5) };
    const rows = await rowsOf(input, 0, form);
    const isGrowing = !form.takeLastLine && chance(random, 0.5);
    if (!isGrowing) await mustGoOn(input, { rows, form, from: between(random, 0, rows.length) });
    else await mustGrow(input, { rows, form, cut: between(random, 0, input.length) });
    const [header] = rows;
    if (csv.header && header?.fields === null) return [{ code: 'not_understood', reason: 'its header' }];
    const map = rowMapper(csv, csv.header ? (header?.fields ?? []) : null, 'Europe/Berlin');
    return csvRefusals(csv.header ? rows.slice(1) : rows, map);
  },
};

/** From a row on there are the rows that came after it. */
async function mustGoOn(
  input: Buffer,
  { rows, form, from }: { rows: readonly CsvRow[]; form: CsvForm; from: number },
): Promise<void> {
  mustBeEqual(await rowsOf(input, rows[from - 1]?.end ?? 0, form), rows.slice(from), 'read on');
}

/** A part of it was there, and was read, before the rest was. */
async function mustGrow(
  input: Buffer,
  { rows, form, cut }: { rows: readonly CsvRow[]; form: CsvForm; cut: number },
): Promise<void> {
  const before = await rowsOf(input.subarray(0, cut), 0, form);
  const after = await rowsOf(input, before.at(-1)?.end ?? 0, form);
  mustBeEqual([...before, ...after], rows, 'as it grew');
}

function rowsOf(input: Buffer, from: number, form: CsvForm): Promise<CsvRow[]> {
  const file = {
    size: input.length,
    read: async (position: number, length: number): Promise<Buffer> => input.subarray(position, position + length),
  };
  return Array.fromAsync(csvRows(file, from, form));
}

function row(random: Random, delimiter: string): string {
  return Array.from({ length: between(random, 1, 5) }, () => pick(random, FIELDS)).join(delimiter);
}
