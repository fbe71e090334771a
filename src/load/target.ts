/** Where to publish and whom to ask, as the command line and the environment say it. */
import { readFileSync } from 'node:fs';
import { withoutLogin } from '../base/config.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { natsConnectionOf } from '../base/nats-config.ts';
import type { NatsConnectionSettings } from '../base/nats.ts';
import { percentDecoded } from '../base/percent.ts';
import type { HubAddress } from './http-client.ts';

/** The options of the command line that say how to connect. */
export interface ConnectionOptions {
  /** `nats://…`, `tls://…` (several divided by commas), `http://…` or `https://…`. */
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  readonly nkeySeedFile?: string;
  readonly credsFile?: string;
  readonly tlsCaFile?: string;
  readonly tlsCertFile?: string;
  readonly tlsKeyFile?: string;
}

export type Target =
  | { readonly kind: 'nats'; readonly connection: NatsConnectionSettings }
  | { readonly kind: 'http'; readonly hub: HubAddress };

/** @throws config_invalid for an address of another kind; storage_failed for a file that cannot be read */
export function targetOf(options: ConnectionOptions): Target {
  if (/^https?:/i.test(options.url)) return { kind: 'http', hub: hubOf(options) };
  if (!/^(nats|tls):\/\/./i.test(options.url)) {
    const allowed = "nats://host:4222 or tls://host:4222 (several divided by commas), or a hub's http://host:8081";
    throw new MillwrightError('config_invalid', `--url: found "${withoutLogin(options.url)}"; allowed: ${allowed}`);
  }
  const connection = natsConnectionOf({
    url: options.url,
    user: options.user,
    password: options.password,
    token: options.token,
    nkey_seed_file: options.nkeySeedFile,
    creds_file: options.credsFile,
    tls_ca_file: options.tlsCaFile,
    tls_cert_file: options.tlsCertFile,
    tls_key_file: options.tlsKeyFile,
  });
  return { kind: 'nats', connection };
}

/** @throws config_invalid for what is no address of a hub; storage_failed for a file that cannot be read */
export function hubOf(
  { url, user, password, token, tlsCaFile, tlsCertFile, tlsKeyFile }: ConnectionOptions,
  option: '--url' | '--hub' = '--url',
): HubAddress {
  const parsed = URL.parse(url);
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new MillwrightError(
      'config_invalid',
      `${option}: found "${withoutLogin(url)}"; allowed: the address of a hub, http://host:8081`,
    );
  }
  const name = user ?? percentDecoded(parsed.username);
  const secret = password ?? percentDecoded(parsed.password);
  const basic = name === '' ? null : `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`;
  return {
    url,
    authorization: token === undefined ? basic : `Bearer ${token}`,
    tls: {
      ...(tlsCaFile !== undefined && { ca: pem(tlsCaFile) }),
      ...(tlsCertFile !== undefined && { cert: pem(tlsCertFile) }),
      ...(tlsKeyFile !== undefined && { key: pem(tlsKeyFile) }),
    },
  };
}

/** Addresses as they may be told: without passwords. */
export function toldAddress(target: Target): string {
  if (target.kind === 'http') return URL.parse(target.hub.url)?.origin ?? '';
  return target.connection.servers.map((server) => `${new URL(server).protocol}//${new URL(server).host}`).join(', ');
}

function pem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new MillwrightError('storage_failed', `the file ${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}
