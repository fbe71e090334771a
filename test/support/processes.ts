/** For tests that start servers of other makers. */
import { existsSync } from 'node:fs';

/** Of util-linux, on every Linux. */
const SETPRIV = '/usr/bin/setpriv';

/** The command, so changed that its process ends with ours, also when ours is killed and can do nothing about it. */
export function endsWithUs(command: readonly string[]): readonly string[] {
  return existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', '--', ...command] : command;
}
