/** What a sink of type `opcua_server` may be told. */
import { z } from 'zod';
import { choice, duration, flag, integer, name, port, scalar, section, text } from '../../base/config.ts';
import { keyedDigest } from '../../base/keyed-digest.ts';
import { POLICIES, type Policy } from '../../base/opcua-policies.ts';
import { hashPassword, isPasswordHash } from './passwords.ts';

const list = <Item extends z.ZodType>(item: Item, what: string): z.ZodArray<Item> =>
  z.array(item, { error: () => `allowed: a list of ${what}` });

const user = section({
  name: name().describe('Name the client logs in with'),
  password: text().optional().describe('Its password'),
  password_hash: scalar('what "millwright hash-password" prints', (value) => {
    return isPasswordHash(String(value)) ? String(value) : undefined;
  })
    .optional()
    .describe('Or its hash, from "millwright hash-password"'),
  // No `filePath`: a changed one is no reason to start the server anew, as it is read at each login.
  password_file: text('a path').optional().describe('Or a file whose first line is the password'),
});

const written = section({
  host: text('an address of this machine')
    .prefault('0.0.0.0')
    .describe('Address to listen on; 0.0.0.0: every address of this machine'),
  port: port().prefault(4840).describe('Port to listen on'),
  hostnames: list(text('a host name or an address'), 'host names and addresses')
    .prefault([])
    .describe(
      'Other names by which clients reach this machine; they go into its certificate when that is made, at the first start',
    ),
  policies: list(choice(POLICIES), POLICIES.join(', '))
    .min(1, `allowed: a list of ${POLICIES.join(', ')}`)
    .prefault([...POLICIES])
    .describe('Security policies that are offered, all with SignAndEncrypt'),
  allow_none: flag()
    .prefault(false)
    .describe('Whether clients may also come without any security: everybody on the network reads along'),
  users: list(user, 'users').prefault([]).describe('Who may log in with a password'),
  anonymous: flag().prefault(false).describe('Whether clients may come without logging in'),
  pki_folder: text('a path')
    .optional()
    .describe("Folder of certificates; default: sinks/NAME/pki in the folder of the edge's log"),
  silent_after: duration({ minMs: 1_000, maxMs: 86_400_000 })
    .prefault('30s')
    .describe(
      'A source that is polled and gives no sign of life for so long, and for three of its intervals, is silent: its values become Bad',
    ),
  machines: list(name(), 'names of machines').optional().describe('Which are shown; default: all'),
  sessions_max: integer({ min: 1, max: 1_000 }).prefault(50).describe('Sessions of clients at a time'),
});

export const schema: z.ZodType<OpcuaServerOptions> = written.transform((keys, context) => {
  const problem = (path: (string | number)[], message: string): void => {
    context.addIssue({ code: 'custom', message: `allowed: ${message}`, path });
  };
  const users = keys.users.flatMap((one, index): UserSettings[] => {
    const { password, password_hash, password_file } = one;
    if ([password, password_hash, password_file].filter((way) => way !== undefined).length !== 1) {
      problem(['users', index], 'one of password, password_hash and password_file');
      return [];
    }
    if (keys.users.findIndex((other) => other.name === one.name) < index) {
      problem(['users', index, 'name'], 'a name of its own');
    }
    if (password_file !== undefined) return [{ name: one.name, passwordFile: password_file }];
    // Read again, the same password must give the same hash, or the server would start anew.
    const salt = keyedDigest(one.name, password ?? '');
    return [{ name: one.name, passwordHash: password_hash ?? hashPassword(password ?? '', salt) }];
  });
  return {
    host: keys.host,
    port: keys.port,
    hostnames: keys.hostnames,
    policies: keys.policies,
    allowNone: keys.allow_none,
    users,
    anonymous: keys.anonymous,
    pkiFolder: keys.pki_folder ?? null,
    silentAfterMs: keys.silent_after,
    machines: keys.machines ?? null,
    sessionsMax: keys.sessions_max,
  };
});

/** A password itself is never among the settings, which stand in a file. */
export type UserSettings =
  | { readonly name: string; readonly passwordHash: string }
  | { readonly name: string; readonly passwordFile: string };

/** As the schema leaves it. */
export interface OpcuaServerOptions {
  readonly host: string;
  /** 0: one that is free, for tests. */
  readonly port: number;
  readonly hostnames: readonly string[];
  readonly policies: readonly Policy[];
  readonly allowNone: boolean;
  readonly users: readonly UserSettings[];
  readonly anonymous: boolean;
  /** Null: `pki` in the sink's own folder. */
  readonly pkiFolder: string | null;
  readonly silentAfterMs: number;
  /** Null: all. */
  readonly machines: readonly string[] | null;
  readonly sessionsMax: number;
}
