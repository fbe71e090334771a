/** For tests that start servers of other makers. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Of util-linux, on every Linux. */
const SETPRIV = '/usr/bin/setpriv';

/** The command, so changed that its process ends with ours, also when ours is killed and can do nothing about it. */
export function endsWithUs(command: readonly string[]): readonly string[] {
  return existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', '--', ...command] : command;
}

/**
 * Where a program is that scripts/ can fetch: told by `npm test` in the environment, or found here when the file is run by
 * hand. @throws with what to do when it can be had neither way
 */
export async function provided({ variable, script }: { variable: string; script: string }): Promise<string> {
  const given = process.env[variable];
  if (given !== undefined) return given;
  const file = fileURLToPath(new URL(`../../scripts/${script}`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [file]);
  return stdout.trim();
}
