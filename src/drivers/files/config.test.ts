import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, parseConfig } from '../../base/config.ts';
import { schema } from './config.ts';
import type { FilesOptions } from './options.ts';
import { nameFilter } from './names.ts';

function read(text: string): FilesOptions {
  return checkConfig(parseConfig({ file: 'edge.yaml', text, environment: {} }), schema);
}

const CSV = 'folder: /in\nformat: csv\ncsv:\n  measurements: [{characteristic: a, measured_value: {column: V}}]\n';

test('a folder and a format are enough, and for csv a column', () => {
  const options = read('folder: /in\nformat: qif');
  assert.deepEqual(
    [options.folders, options.pattern, options.csv, options.afterReading],
    [['/in'], '*.qif', null, 'leave'],
  );
  assert.deepEqual([options.readFolder, options.quarantineFolder], ['/in/read', '/in/quarantine']);
  assert.deepEqual(read(CSV).csv?.measurements, [
    { characteristic: { constant: 'a' }, measured_value: { column: 'V' }, unit: { constant: 'mm' } },
  ]);
});

test('what cannot be meant is refused with line, key, and what is allowed', () => {
  const faults: [string, RegExp][] = [
    ['format: qif', /folder: .*one of folder and folders/],
    ['folder: /in\nfolders: [/a]\nformat: qif', /one of folder and folders/],
    ['folder: /in\nformat: xls', /edge\.yaml:2: format: found "xls"; allowed: csv, qif, aqdef, calypso/],
    ['folder: /in\nformat: csv', /csv: .*a section for format csv/],
    ['folder: /in\nformat: csv\ncsv: {}', /measurements, or sample, or both/],
    [`${CSV}zone: Mars/Base`, /zone: found "Mars\/Base"; allowed: UTC, an offset/],
    [`${CSV}quarantine_after: 1s`, /quarantine_after: found "1s"; allowed: last_line_after or more/],
    [
      `${CSV}  growing: true\nafter_reading: delete`,
      /after_reading: found "delete"; allowed: leave, for files that grow/,
    ],
    [`${CSV}  decimal: ','`, /decimal: found ","; allowed: another sign than the delimiter/],
    [`${CSV}  time: {column: T, format: dd.MM.yyyy}`, /csv\.time\.format: found "dd.MM.yyyy"; allowed: iso/],
    [`${CSV}  header: false`, /measured_value: .*the number of a column, since there is no header/],
    [`${CSV}  sample: {machine_id: {column: V}}`, /csv\.sample\.machine_id: .*the name of a signal/],
    [`${CSV}read_folder: /in/../in`, /read_folder: found "\/in\/\.\.\/in"; allowed: a folder that is not watched/],
    [`${CSV}quarantine_folder: /in/`, /quarantine_folder: .*a folder that is not watched/],
    [`${CSV}compensation: half`, /compensation: found "half"; allowed: none, scale, full/],
  ];
  for (const [text, pattern] of faults) assert.throws(() => read(text), pattern, text);
});

test('names: the pattern in any letter case, and never a temporary name', () => {
  const { pattern, ignore } = read(CSV);
  const isWanted = nameFilter(pattern, ignore);
  const names = ['a.csv', 'A.CSV', 'a.csv.tmp', '.a.csv', '~a.csv', 'a.csv.part', 'acsv', 'a.txt'];
  assert.deepEqual(names.filter(isWanted), ['a.csv', 'A.CSV']);
  assert.deepEqual(['part_chr.txt', 'part_hdr.txt', 'p1.txt', 'p12.txt'].filter(nameFilter('p?.txt', [])), ['p1.txt']);
});
