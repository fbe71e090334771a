/** What a sink of type `hub` may be told. */
import { z } from 'zod';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000 } as const;

const duration = z.union([z.string(), z.number()]).transform((value, context): number => {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m)?$/.exec(String(value));
  const unit = match?.[2] as keyof typeof UNIT_MS | undefined;
  const ms = match === null ? Number.NaN : Number(match[1]) * UNIT_MS[unit ?? 's'];
  if (ms >= 100 && ms <= 600_000) return ms;
  context.addIssue({
    code: 'custom',
    message: 'is a duration from 100ms to 10m, such as 30s (a bare number: seconds)',
  });
  return z.NEVER;
});

export const schema: z.ZodType<HubSinkOptions> = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/, error: 'is the http or https address of the hub, such as http://hub:8081' })
      .describe('Address of the hub, without /api.'),
    timeout: duration.default(30_000).describe('How long one request may take, e.g. 30s.'),
    token: z
      .string()
      .regex(/^[\x21-\x7e]+$/, 'is one word of plain characters')
      .optional()
      .describe('Sent as Authorization: Bearer.'),
    tls_ca_file: z.string().min(1).optional().describe("PEM file of the authority that signed the hub's certificate."),
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
