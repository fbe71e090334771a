/**
 * The files that a configuration names (certificates, keys, credentials, passwords): their content belongs to the slice that
 * names them, which holds a digest of it. So a slice has changed when its files have, and no secret stays in memory.
 *
 * A file is taken only when it is whole. One that is written in place is empty at first, and a PEM file without its last line
 * is none; what is cut elsewhere nobody can tell, but it has changed a second later.
 */
import type { z } from 'zod';
import { type ConfigDocument, namedFiles, sentenceAt } from '../../base/config.ts';
import { messageOf } from '../../base/errors.ts';
import { keyedDigest } from '../../base/keyed-digest.ts';
import { readNamedFile } from '../../base/named-file.ts';
import type { FileDigests } from '../settings.ts';

export class DigestReader {
  /** By path: many slices may name one file. */
  readonly #read = new Map<string, Content>();
  /** A sentence for each file that cannot be used, with its place in the configuration. */
  readonly unusable: string[] = [];

  /** Of the files that this part of the document names, to be spread into its settings. */
  of(
    document: ConfigDocument,
    schema: z.ZodType,
    part: { readonly value: unknown; readonly at: readonly PropertyKey[] },
  ): { readonly files?: FileDigests } {
    const digests = new Map<string, string | null>();
    for (const { at, path } of namedFiles(document, schema, part)) {
      const content = this.#read.get(path) ?? contentOf(path);
      this.#read.set(path, content);
      const { digest, trouble } = content;
      digests.set(path, digest);
      if (trouble !== undefined) this.unusable.push(sentenceAt(document, at, trouble));
    }
    return digests.size === 0 ? {} : { files: Object.fromEntries(digests) };
  }
}

interface Content {
  readonly digest: string | null;
  /** Why it cannot be used. */
  readonly trouble?: string;
}

function contentOf(path: string): Content {
  try {
    const bytes = readNamedFile(path);
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
