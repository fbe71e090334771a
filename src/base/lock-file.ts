/**
 * A lock: a file names the process that has a folder in use. One whose process is dead is taken over.
 *
 * It keeps one machine's processes apart. It cannot see a process on another machine, or in another process namespace,
 * that shares the folder.
 */
import { MillwrightError } from './errors.ts';
import type { Files } from './files.ts';
import { isSystemError } from './node-files.ts';
import { encodeSmallFile, readSmallFile, writeNewFile } from './small-files.ts';

/** The processes of this machine, as far as the lock needs to know them. */
export interface Processes {
  readonly pid: number;
  /** Tells a process from a later one with the same pid; undefined when there is no such process. */
  identify(pid: number): Promise<string | undefined>;
}

/**
 * `what` is named in the error: "the log", "the data folder".
 * @throws log_locked when a living process holds it
 */
export async function takeLock(
  files: Files,
  { path, what, processes = systemProcesses }: { path: string; what: string; processes?: Processes },
): Promise<void> {
  const own = await processes.identify(processes.pid);
  const content = { format: 'millwright-lock', version: 1, pid: processes.pid, process: own ?? '' };
  for (let attempt = 0; ; attempt += 1) {
    try {
      await writeNewFile(files, path, [encodeSmallFile(content)]);
      return;
    } catch (error) {
      if (!isSystemError(error, 'EEXIST') || attempt > 0) throw error;
    }
    await refuseLiving(files, { path, what, processes });
    await files.remove(path);
  }
}

async function refuseLiving(
  files: Files,
  { path, what, processes }: { path: string; what: string; processes: Processes },
): Promise<void> {
  const pid = await livingHolder(files, path, processes);
  if (pid !== undefined) throw new MillwrightError('log_locked', `${what} is in use by process ${pid} (see ${path})`);
}

/** The process that holds the lock; undefined when there is none, or it is dead. */
export async function livingHolder(
  files: Files,
  path: string,
  processes: Processes = systemProcesses,
): Promise<number | undefined> {
  const found = await readSmallFile(files, path);
  // A lock without its content is that of a process that died while it made it.
  if (found === 'missing' || found === 'damaged' || typeof found['pid'] !== 'number') return undefined;
  const living = await processes.identify(found['pid']);
  return living === undefined || living !== found['process'] ? undefined : found['pid'];
}

/** This machine's processes. Where there is no /proc, a pid that is in use counts as the same process. */
export const systemProcesses: Processes = {
  pid: process.pid,
  identify: async (pid) => {
    try {
      process.kill(pid, 0);
    } catch (error) {
      if (isSystemError(error, 'ESRCH')) return undefined;
    }
    return (await linuxProcess(pid)) ?? (pid === process.pid ? `${pid}@${performance.timeOrigin}` : `${pid}`);
  },
};

/** Boot id and start time in ticks since boot: field 22 of /proc/PID/stat (proc(5)). */
async function linuxProcess(pid: number): Promise<string | undefined> {
  const fs = process.getBuiltinModule('node:fs');
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in brackets, and may hold spaces and brackets itself.
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${boot}/${startTicks}`;
  } catch {
    return undefined;
  }
}
