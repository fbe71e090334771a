/**
 * The files that a configuration names (certificates, keys, credentials, passwords): their content belongs to the slice that
 * names them, which holds a digest of it. So a slice has changed when its files have, and no secret stays in memory.
 *
 * A file is taken only when it is whole. One that is written in place is empty at first, and a PEM file without its last line
 * is none; what is cut elsewhere nobody can tell, but it has changed a second later.
 */
import { readFile, stat } from 'node:fs/promises';
import type { z } from 'zod';
import { type ConfigDocument, namedFiles, pathText } from '../../base/config.ts';
import { messageOf } from '../../base/errors.ts';
import { keyedDigest } from '../../base/keyed-digest.ts';
import type { FileDigests } from '../settings.ts';

/** The certificates of all authorities of a system take 300 kB. */
export const NAMED_FILE_BYTES_MAX: number = 16 * 1024 * 1024;

export class DigestReader {
  readonly #document: ConfigDocument;
  /** By path: many slices may name one file. */
  readonly #read = new Map<string, Promise<Content>>();
  /** A sentence for each file that cannot be used, with its place in the configuration. */
  readonly unusable: string[] = [];

  constructor(document: ConfigDocument) {
    this.#document = document;
  }

  /** Of the files that this part of the document names, to be spread into its settings. */
  async of(
    schema: z.ZodType,
    part: { readonly value: unknown; readonly at: readonly PropertyKey[] },
  ): Promise<{ readonly files?: FileDigests }> {
    const digests = new Map<string, string | null>();
    for (const { at, path } of namedFiles(this.#document, schema, part)) {
      const reading = this.#read.get(path) ?? contentOf(path);
      this.#read.set(path, reading);
      const { digest, trouble } = await reading;
      digests.set(path, digest);
      if (trouble === undefined) continue;
      const line = this.#document.lineOf(at);
      this.unusable.push(`${this.#document.file}${line === undefined ? '' : `:${line}`}: ${pathText(at)}: ${trouble}`);
    }
    return digests.size === 0 ? {} : { files: Object.fromEntries(digests) };
  }
}

interface Content {
  readonly digest: string | null;
  /** Why it cannot be used. */
  readonly trouble?: string;
}

/** Never rejects. */
async function contentOf(path: string): Promise<Content> {
  try {
    const stats = await stat(path);
    // What comes through a pipe comes once, for whom it is meant.
    if (!stats.isFile() && !stats.isDirectory()) return { digest: null };
    if (stats.size > NAMED_FILE_BYTES_MAX) {
      return { digest: null, trouble: `${path} is larger than ${NAMED_FILE_BYTES_MAX} bytes` };
    }
    const bytes = await readFile(path);
    const digest = keyedDigest(bytes).toString('base64url');
    if (bytes.length === 0) return { digest, trouble: `${path} is empty` };
    if (isCutOff(bytes.toString('latin1'))) return { digest, trouble: `${path} is cut off: a part of it has no end` };
    return { digest };
  } catch (error) {
    return { digest: null, trouble: `cannot be read: ${messageOf(error)}` };
  }
}

/** RFC 7468: what begins with BEGIN ends with END. */
function isCutOff(text: string): boolean {
  return text.split('-----BEGIN ').length > text.split('-----END ').length;
}
