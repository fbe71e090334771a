/**
 * Who logs in with a name and a password.
 *
 * A look at a password takes some 50 ms of one of the few threads by which the whole process, the log among it, uses the
 * disk: so one password is looked at after the other, and who comes while many wait is refused.
 */
import type { Clock } from '../../base/clock.ts';
import type { LogFields, LogLevel } from '../../base/logger.ts';
import { readNamedFile } from '../../base/named-file.ts';
import type { UserSettings } from './config.ts';
import { isPassword } from './passwords.ts';

/** They wait for half a second then. */
export const WAITING_MAX = 10;
/** Refusals are told so often; how many there were meanwhile is told with the next. */
export const TELL_MS = 10_000;
const NAME_LENGTH_MAX = 128;

export interface LoginsParts {
  readonly users: readonly UserSettings[];
  readonly clock: Clock;
  readonly log: (level: LogLevel, message: string, fields?: LogFields) => void;
}

export class Logins {
  readonly #parts: LoginsParts;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #untold = 0;

  constructor(parts: LoginsParts) {
    this.#parts = parts;
  }

  /** Never rejects. A client may send no name at all. */
  async isAllowed(name: string | null, password: string): Promise<boolean> {
    if (this.#waiting >= WAITING_MAX) {
      this.#tell('too many log in at once', { user: name });
      return false;
    }
    this.#waiting += 1;
    const looked = this.#last.then(() => this.#look(name, password));
    this.#last = looked;
    const isAllowed = await looked;
    this.#waiting -= 1;
    return isAllowed;
  }

  async #look(name: string | null, password: string): Promise<boolean> {
    const user = this.#parts.users.find((one) => one.name === name);
    try {
      if (user !== undefined && (await isPasswordOf(user, password))) return true;
      this.#tell('no such user, or another password', { user: name });
    } catch (error) {
      this.#tell('the password of the user cannot be read', { user: name, error });
    }
    return false;
  }

  #tell(reason: string, { user, ...fields }: { readonly user: string | null; readonly error?: unknown }): void {
    const { clock, log } = this.#parts;
    if (clock.monotonicMs() - this.#toldMs < TELL_MS) {
      this.#untold += 1;
      return;
    }
    const others = this.#untold === 0 ? {} : { others_before: this.#untold };
    log('warn', `an OPC UA client was refused: ${reason}`, {
      user: (user ?? '').slice(0, NAME_LENGTH_MAX),
      ...fields,
      ...others,
    });
    this.#toldMs = clock.monotonicMs();
    this.#untold = 0;
  }
}

async function isPasswordOf(user: UserSettings, password: string): Promise<boolean> {
  if ('passwordHash' in user) return await isPassword(password, user.passwordHash);
  const [first = ''] = readNamedFile(user.passwordFile).toString('utf8').split(/\r?\n/, 1);
  return first !== '' && password === first;
}
