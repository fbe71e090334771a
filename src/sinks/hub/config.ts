/** What a sink of type `hub` may be told. */
import { z } from 'zod';
import { duration, filePath } from '../../base/config.ts';

export const schema: z.ZodType<HubSinkOptions> = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/, error: 'is the http or https address of the hub, such as http://hub:8081' })
      .describe('Address of the hub, without /api.'),
    timeout: duration({ minMs: 100, maxMs: 600_000 }).prefault('30s').describe('How long one request may take'),
    token: z
      .string()
      .regex(/^[\x21-\x7e]+$/, 'is one word of plain characters')
      .optional()
      .describe('Sent as Authorization: Bearer.'),
    tls_ca_file: filePath().optional().describe("PEM file of the authority that signed the hub's certificate."),
  })
  .transform(({ url, timeout, token, tls_ca_file }) => ({
    url,
    timeoutMs: timeout,
    token: token ?? null,
    tlsCaFile: tls_ca_file ?? null,
  }));

/** As the schema leaves it. */
export interface HubSinkOptions {
  readonly url: string;
  readonly timeoutMs: number;
  readonly token: string | null;
  readonly tlsCaFile: string | null;
}
