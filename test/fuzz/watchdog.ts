/** Ends the process when one input takes for ever: nothing else can, since reading never gives the turn back. */
import { Worker } from 'node:worker_threads';

/** What no input takes that ends at all, however busy the machine is. */
export const STUCK_MS = 60_000;
const LOOK_MS = 1_000;

export interface Watchdog {
  /** Call before each input. */
  begins(input: number): void;
  close(): Promise<void>;
}

/** @param name what stands in its last words, in which `#` becomes the input's number */
export function startWatchdog(name: string): Watchdog {
  const shared = new Float64Array(new SharedArrayBuffer(8));
  const worker = new Worker(WATCH, { eval: true, workerData: { shared, name, stuckMs: STUCK_MS, lookMs: LOOK_MS } });
  worker.unref();
  return {
    begins: (input) => {
      shared[0] = input;
    },
    close: async () => void (await worker.terminate()),
  };
}

const WATCH = `
const { writeSync } = require('node:fs');
const { shared, name, stuckMs, lookMs } = require('node:worker_threads').workerData;
let input = -1;
let sinceMs = performance.now();
setInterval(() => {
  if (shared[0] !== input) {
    input = shared[0];
    sinceMs = performance.now();
  } else if (performance.now() - sinceMs > stuckMs) {
    writeSync(2, 'HANGS: ' + name.replace('#', input) + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }
}, lookMs);
`;
