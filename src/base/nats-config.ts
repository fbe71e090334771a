/** The keys by which a configuration names NATS servers and how to log in there: the same at the edge and at the hub. */
import { z } from 'zod';
import { filePath, scalar, text, withoutLogin } from './config.ts';
import { MillwrightError } from './errors.ts';
import type { NatsConnectionSettings } from './nats.ts';

type Text = ReturnType<typeof text>;
type Optional = z.ZodOptional<Text>;

const URLS_ALLOWED = 'URLs such as nats://host:4222 or tls://host:4222, divided by commas';

/** To be spread into a section. */
export const natsConnectionKeys: {
  readonly url: Text;
  readonly user: Optional;
  readonly password: Optional;
  readonly token: Optional;
  readonly nkey_seed_file: Optional;
  readonly creds_file: Optional;
  readonly tls_ca_file: Optional;
  readonly tls_cert_file: Optional;
  readonly tls_key_file: Optional;
} = {
  url: scalar(URLS_ALLOWED, (value) => (serversOf(String(value)) === undefined ? undefined : String(value))).describe(
    'NATS servers, divided by commas; any one that answers is used. A user and password may stand in it',
  ),
  user: text().optional().describe('User; better than in the URL'),
  password: text().optional().describe('Password; better given by the environment where there is a variable for it'),
  token: text().optional().describe('Token, instead of user and password'),
  nkey_seed_file: filePath().optional().describe('File with the seed of an nkey (SU…)'),
  creds_file: filePath().optional().describe('Credentials file (.creds) of a user with a JWT'),
  tls_ca_file: filePath().optional().describe("PEM file of the authority that signed the servers' certificates"),
  tls_cert_file: filePath().optional().describe('PEM file of our own certificate, where the servers ask for one'),
  tls_key_file: filePath().optional().describe('PEM file of its key'),
};

type NatsConnectionKeys = z.output<z.ZodObject<typeof natsConnectionKeys>>;

/** @throws config_invalid for what is no URL of a NATS server: only where {@link natsConnectionKeys} have not read it */
export function natsConnectionOf(keys: NatsConnectionKeys): NatsConnectionSettings {
  const servers = serversOf(keys.url);
  if (servers === undefined) {
    throw new MillwrightError('config_invalid', `found "${withoutLogin(keys.url)}"; allowed: ${URLS_ALLOWED}`);
  }
  return {
    servers,
    user: keys.user ?? null,
    password: keys.password ?? null,
    token: keys.token ?? null,
    nkeySeedFile: keys.nkey_seed_file ?? null,
    credsFile: keys.creds_file ?? null,
    tlsCaFile: keys.tls_ca_file ?? null,
    tlsCertFile: keys.tls_cert_file ?? null,
    tlsKeyFile: keys.tls_key_file ?? null,
  };
}

const SCHEMES: readonly string[] = ['nats:', 'tls:'];

/** Each with its scheme and without a slash behind it; undefined when one of them is no URL of a NATS server. */
function serversOf(url: string): string[] | undefined {
  const servers: string[] = [];
  for (const written of url.split(',')) {
    const server = written.trim();
    const parsed = URL.parse(server.includes('://') ? server : `nats://${server}`);
    if (parsed === null || !SCHEMES.includes(parsed.protocol) || parsed.hostname === '') return undefined;
    if (!isPercentEncoded(parsed.username) || !isPercentEncoded(parsed.password)) return undefined;
    servers.push(parsed.href.replace(/\/$/, ''));
  }
  return servers;
}

/** Not so where a % stands for itself. */
function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
