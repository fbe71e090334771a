/** For `millwright check --live`: looks into the folders and reads the newest file, and changes nothing. */
import { MillwrightError, messageOf } from '../../base/errors.ts';
import { decodeReading } from '../../model/reading.ts';
import { fileNames, fileState } from './folder.ts';
import { nameFilter } from './names.ts';
import type { FilesOptions } from './options.ts';
import { FileReader } from './reader.ts';
import { NotUnderstood, type Row } from './rows.ts';

/** Newest files are looked for among so many names of a folder. */
const NAMES_MAX = 10_000;
/** Rows of a file that are tried. */
const ROWS_MAX = 1_000;

/** As in a memory of nothing: every row is new, and what was read is not remembered. */
const NOTHING_KNOWN = {
  entry: () => undefined,
  knows: () => false,
  saw: () => {},
};

/** @returns what was found, as a sentence. @throws connection_failed, config_invalid: what is wrong, and what to do */
export async function checkFolders(options: FilesOptions): Promise<string> {
  const isWanted = nameFilter(options.pattern, options.ignore);
  let newest: { readonly path: string; readonly mtimeMs: number } | undefined;
  let files = 0;
  for (const folder of options.folders) {
    const names = (await namesIn(folder)).filter(isWanted);
    files += names.length;
    for (const name of names.slice(0, NAMES_MAX)) {
      const path = `${folder}/${name}`;
      const state = await fileState(path);
      if (state !== undefined && state.mtimeMs >= (newest?.mtimeMs ?? 0)) newest = { path, mtimeMs: state.mtimeMs };
    }
  }
  const where = options.folders.join(', ');
  if (newest === undefined) return `${where} can be read; no file in it is named like ${options.pattern} yet`;
  const { rows, readings } = await tryFile(options, newest.path);
  return `${files} files in ${where}; the newest, ${newest.path}, has ${rows} rows that give ${readings} readings`;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await fileNames(folder);
  } catch (cause) {
    const text = `the folder ${folder} cannot be read: mend folder, mount it, or let this user read it`;
    throw new MillwrightError('connection_failed', text, { cause });
  }
}

async function tryFile(options: FilesOptions, path: string): Promise<{ rows: number; readings: number }> {
  let rows = 0;
  let readings = 0;
  try {
    const reader = await FileReader.open({ options, memory: NOTHING_KNOWN, path, takeLastLine: true });
    if (reader === undefined) return { rows, readings };
    try {
      for await (const { row } of reader.rows()) {
        rows += 1;
        readings += readingsOf(row, options);
        if (rows >= ROWS_MAX) break;
      }
    } finally {
      await reader.close();
    }
  } catch (error) {
    const why = error instanceof NotUnderstood ? error.message : messageOf(error);
    throw new MillwrightError('config_invalid', `${path}: ${why}; look at format, and at its section here`);
  }
  return { rows, readings };
}

/** @throws NotUnderstood */
function readingsOf(row: Row, { compensation }: FilesOptions): number {
  let readings = 0;
  for (const finding of row.findings()) {
    const stated = finding['kind'] === 'measurement' && compensation !== null ? { compensation } : {};
    const decoded = decodeReading({ machine_id: 'check', ...stated, ...finding });
    if ('fault' in decoded) throw new NotUnderstood(`${row.place}: ${decoded.fault.path} ${decoded.fault.reason}`);
    readings += 1;
  }
  return readings;
}
