/** What the kernel knows of a process. */
import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** A line of `/proc/PID/status`, such as VmRSS or VmHWM, in KiB. */
export function statusKb(pid: number, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** User and system time of all threads (proc(5), fields 14 and 15 of `stat`). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
