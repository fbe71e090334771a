/**
 * Small files that are read and saved whole: an identity, a cursor, a lock. A line of JSON, and its CRC-32 in a line below.
 */
import type { FileHandle, Files } from './files.ts';
import { isSystemError } from './node-files.ts';

const { crc32 } = process.getBuiltinModule('node:zlib');

/** No small file comes near this; the largest hold what is active of a machine's conditions. */
const SMALL_FILE_BYTES_MAX = 1024 * 1024;

/** 'damaged': it is there, but does not fit its checksum. */
export type SmallFile = Record<string, unknown> | 'missing' | 'damaged';

export async function readSmallFile(files: Files, path: string): Promise<SmallFile> {
  let handle: FileHandle;
  try {
    handle = await files.open(path, 'read');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return 'missing';
    throw error;
  }
  try {
    const bytes = Buffer.alloc(Math.min(await handle.size(), SMALL_FILE_BYTES_MAX));
    return decodeSmallFile(bytes.subarray(0, await handle.read(bytes, 0))) ?? 'damaged';
  } finally {
    await handle.close();
  }
}

/**
 * Replaces `folder/name` in one step: after a crash there is the old content or the new, whole.
 * @returns how many bytes were written, once they are on the disk
 */
export async function saveSmallFile(
  files: Files,
  { folder, name, value }: { folder: string; name: string; value: { readonly [key: string]: unknown } },
): Promise<number> {
  const bytes = encodeSmallFile(value);
  if (bytes.length > SMALL_FILE_BYTES_MAX)
    throw new RangeError(`a small file of ${bytes.length} bytes could not be read`);
  const temporary = `${folder}/${name}.tmp`;
  await files.remove(temporary);
  await writeNewFile(files, temporary, [bytes]);
  await files.rename(temporary, `${folder}/${name}`);
  await files.syncFolder(folder);
  return bytes.length;
}

/** A new file with this content, synced; its folder is not. */
export async function writeNewFile(files: Files, path: string, content: readonly Uint8Array[]): Promise<void> {
  const handle = await files.open(path, 'create');
  try {
    await handle.write(content, 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/**
 * A small file's text: one line of JSON, and a line with its checksum.
 * @returns the bytes to save
 */
export function encodeSmallFile(value: { readonly [key: string]: unknown }): Buffer {
  const line = JSON.stringify(value);
  return Buffer.from(`${line}\n${crc32(line).toString(16).padStart(8, '0')}\n`);
}

/** The object of {@link encodeSmallFile}; undefined when it is damaged. Never throws. */
export function decodeSmallFile(bytes: Uint8Array): Record<string, unknown> | undefined {
  const [line = '', sum, ...rest] = Buffer.from(bytes).toString('utf8').split('\n');
  if (rest.join('') !== '' || sum !== crc32(line).toString(16).padStart(8, '0')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
