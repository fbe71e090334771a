/** The keys by which a configuration names a server that is spoken to over HTTP: the same for several sinks. */
import { z } from 'zod';
import { duration, filePath, scalar, text } from './config.ts';

type Text = ReturnType<typeof text>;

/** To be spread into a section. */
export const httpKeys: {
  readonly url: Text;
  readonly timeout: z.ZodPrefault<ReturnType<typeof duration>>;
  readonly token: z.ZodOptional<Text>;
  readonly tls_ca_file: z.ZodOptional<Text>;
  readonly tls_cert_file: z.ZodOptional<Text>;
  readonly tls_key_file: z.ZodOptional<Text>;
} = {
  url: scalar('an http or https address, such as http://host:8080', (value) => {
    const url = URL.parse(String(value));
    return url !== null && /^https?:$/.test(url.protocol) && isPlain(url) ? String(value) : undefined;
  }).describe('Address of the server'),
  timeout: duration({ minMs: 100, maxMs: 600_000 }).prefault('30s').describe('How long one request may take'),
  token: headerText().optional().describe('Token for logging in'),
  tls_ca_file: filePath().optional().describe("PEM file of the authority that signed the server's certificate"),
  tls_cert_file: filePath().optional().describe('PEM file of our own certificate, where the server asks for one'),
  tls_key_file: filePath().optional().describe('PEM file of its key'),
};

/** Without what would not be sent: a query, and a user whose password the logs would show. */
function isPlain({ search, hash, username, password }: URL): boolean {
  return [search, hash, username, password].every((part) => part === '');
}

/** What may stand in a header of HTTP as it is. */
export function headerText(): Text {
  return scalar('plain characters without line breaks', (value) => {
    return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(String(value)) ? String(value) : undefined;
  });
}

export interface TlsFiles {
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
}

export function tlsFilesOf(keys: {
  readonly tls_ca_file?: string | undefined;
  readonly tls_cert_file?: string | undefined;
  readonly tls_key_file?: string | undefined;
}): TlsFiles {
  return {
    caFile: keys.tls_ca_file ?? null,
    certFile: keys.tls_cert_file ?? null,
    keyFile: keys.tls_key_file ?? null,
  };
}
