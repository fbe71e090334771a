/** Files that a person names in a configuration: certificates, keys, credentials, passwords. They are small, and read at once. */
const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');

/** The certificates of all authorities of a system take 300 kB. */
export const NAMED_FILE_BYTES_MAX: number = 16 * 1024 * 1024;

/**
 * Its whole content. What is no file is not waited for: a pipe into which nobody writes would hold up all of the edge.
 * @throws Error, of the system or with a sentence of its own
 */
export function readNamedFile(path: string): Buffer {
  const { O_RDONLY, O_NONBLOCK } = fs.constants;
  const descriptor = fs.openSync(path, O_RDONLY | O_NONBLOCK);
  try {
    const stats = fs.fstatSync(descriptor);
    if (!stats.isFile()) throw new Error(`${path} is no file`);
    if (stats.size > NAMED_FILE_BYTES_MAX) throw new Error(`${path} is larger than ${NAMED_FILE_BYTES_MAX} bytes`);
    return fs.readFileSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
