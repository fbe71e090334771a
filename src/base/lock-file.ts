/**
 * A lock held by one process at a time, as a file with its id.
 *
 * The file holds the process id and the time that process began (from /proc, where there is one), so that a lock whose
 * holder is dead, or whose id has been given to another process since, is taken over.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { MillwrightError } from './errors.ts';

export interface LockFile {
  release(): void;
}

/** @throws MillwrightError log_locked with the holder's process id; storage_failed when the file cannot be written */
export function takeLock(file: string, what: string): LockFile {
  const mine = `${process.pid} ${startOf(process.pid)}\n`;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      writeFileSync(file, mine, { flag: 'wx' });
      return { release: () => rmSync(file, { force: true }) };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new MillwrightError('storage_failed', `cannot write the lock ${file}`, { cause });
      }
    }
    const holder = Number(readFileSync(file, 'utf8').split(' ')[0]);
    if (isHeld(file)) throw new MillwrightError('log_locked', `${what} is in use by process ${holder} (${file})`);
    rmSync(file, { force: true });
  }
  throw new MillwrightError('log_locked', `${what} is being taken by another process (${file})`);
}

function isHeld(file: string): boolean {
  const [id = '', start = ''] = readFileSync(file, 'utf8').trim().split(' ');
  const pid = Number(id);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return startOf(pid) === start;
}

/** Clock ticks from boot to the process's start (proc(5), field 22 of `stat`); `-` where it cannot be known. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
  } catch {
    return '-';
  }
}
