/**
 * A digest that tells whether a secret is the same as before, and to nobody what it is: its key is made at each start of an
 * edge, is handed on by the environment to what reads the configuration again (decision 028), and stands in no file.
 */
const { createHmac, randomBytes } = process.getBuiltinModule('node:crypto');

export const DIGEST_KEY_VARIABLE = 'MILLWRIGHT_DIGEST_KEY';
/** Of this process, and of those that it hands it to. */
export const DIGEST_KEY: string = process.env[DIGEST_KEY_VARIABLE] ?? randomBytes(32).toString('base64url');

/** 32 bytes, of the parts and of where one ends and the next begins. */
export function keyedDigest(...parts: readonly (string | Uint8Array)[]): Buffer {
  const digest = createHmac('sha256', DIGEST_KEY);
  for (const part of parts) digest.update(`${Buffer.byteLength(part)}:`).update(part);
  return digest.digest();
}
