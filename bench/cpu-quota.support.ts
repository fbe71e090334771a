/** A process held to a part of a core, as if its machine were smaller, by a control group of Linux (as root). */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';

const PERIOD_US = 10_000;
const VERSION_1 = '/sys/fs/cgroup/cpu';
const VERSION_2 = '/sys/fs/cgroup';

/** Whether this machine lets us. */
export function canHold(): boolean {
  return (
    process.getuid?.() === 0 && (existsSync(`${VERSION_1}/tasks`) || existsSync(`${VERSION_2}/cgroup.controllers`))
  );
}

/** Returns what takes the group away when the process has ended. */
export function holdToCores(pid: number, cores: number): () => void {
  const isVersion1 = existsSync(`${VERSION_1}/tasks`);
  const group = `${isVersion1 ? VERSION_1 : VERSION_2}/millwright-bench-${pid}`;
  const quotaUs = Math.round(cores * PERIOD_US);
  if (!isVersion1) writeFileSync(`${VERSION_2}/cgroup.subtree_control`, '+cpu');
  mkdirSync(group);
  if (isVersion1) {
    writeFileSync(`${group}/cpu.cfs_period_us`, String(PERIOD_US));
    writeFileSync(`${group}/cpu.cfs_quota_us`, String(quotaUs));
  } else {
    writeFileSync(`${group}/cpu.max`, `${quotaUs} ${PERIOD_US}`);
  }
  writeFileSync(`${group}/cgroup.procs`, String(pid));
  return () => rmdirSync(group);
}
