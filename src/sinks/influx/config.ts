/** What a sink of type `influx` may be told. */
import { z } from 'zod';
import { choice, flag, name, scalar, section, text } from '../../base/config.ts';
import { httpKeys, type TlsFiles, tlsFilesOf } from '../../base/http-config.ts';

const written = section({
  ...httpKeys,
  path: scalar('a path that begins with a slash', (value) => {
    return /^\/[\x21-\x7e]*$/.test(String(value)) ? String(value) : undefined;
  })
    .prefault('/api/v2/write')
    .describe('Where lines are written, behind the url'),
  org: text().prefault('millwright').describe('Organization'),
  bucket: text().prefault('millwright').describe('Bucket; of InfluxDB 1.8: database/retention-policy'),
  machines: z
    .array(name(), { error: () => 'allowed: a list of names of machines' })
    .optional()
    .describe('Whose readings are written; default: all'),
  samples: flag().prefault(true).describe('Whether samples of machine tools are written, or measurements only'),
  status: flag()
    .prefault(true)
    .describe('Whether it is also written, every 2 s, how the edge, its log and its sinks fare'),
  compression: choice(['gzip', 'none']).prefault('gzip').describe('Of the requests'),
});

export const schema: z.ZodType<InfluxSinkOptions> = written.transform((keys) => ({
  url: keys.url,
  path: keys.path,
  timeoutMs: keys.timeout,
  token: keys.token ?? null,
  tls: tlsFilesOf(keys),
  org: keys.org,
  bucket: keys.bucket,
  machines: keys.machines ?? null,
  samples: keys.samples,
  status: keys.status,
  compression: keys.compression,
}));

/** As the schema leaves it. */
export interface InfluxSinkOptions {
  readonly url: string;
  readonly path: string;
  readonly timeoutMs: number;
  readonly token: string | null;
  readonly tls: TlsFiles;
  readonly org: string;
  readonly bucket: string;
  /** Null: all. */
  readonly machines: readonly string[] | null;
  readonly samples: boolean;
  readonly status: boolean;
  readonly compression: 'gzip' | 'none';
}
