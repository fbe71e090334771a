/**
 * Passwords of users, kept as `scrypt:SALT:KEY`, both in base64url: scrypt (RFC 7914) with N = 16384, r = 8, p = 1, which
 * takes some 50 ms, so that a stolen file does not give the passwords away.
 */
const { randomBytes, scrypt, scryptSync, timingSafeEqual } = process.getBuiltinModule('node:crypto');

const SALT_BYTES = 16;
const KEY_BYTES = 32;
const HASH = /^scrypt:([\w-]{22}):([\w-]{43})$/;
/** Longest password that is worked on. */
const PASSWORD_LENGTH_MAX = 1_024;

/** @param from its first 16 bytes are the salt */
export function hashPassword(password: string, from: Uint8Array = randomBytes(SALT_BYTES)): string {
  const salt = Buffer.from(from.subarray(0, SALT_BYTES));
  return `scrypt:${salt.toString('base64url')}:${scryptSync(password, salt, KEY_BYTES).toString('base64url')}`;
}

export function isPasswordHash(text: string): boolean {
  return HASH.test(text);
}

/** Whether it is the password of that hash; false for what is no hash. */
export async function isPassword(password: string, hash: string): Promise<boolean> {
  const [, salt, key] = HASH.exec(hash) ?? [];
  if (salt === undefined || key === undefined || password.length > PASSWORD_LENGTH_MAX) return false;
  const derived = await new Promise<Buffer>((resolve, reject) => {
    scrypt(password, Buffer.from(salt, 'base64url'), KEY_BYTES, (error, derived) => {
      if (error === null) resolve(derived);
      else reject(error);
    });
  });
  return timingSafeEqual(derived, Buffer.from(key, 'base64url'));
}
