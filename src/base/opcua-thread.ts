/** A thread in which OPC UA is spoken (decisions 023 and 024). */
import type { Logger } from './logger.ts';

type Worker = import('node:worker_threads').Worker;

export interface OpcuaThreadOptions {
  /** `import.meta.url` of a module beside which `thread.ts` stands. */
  readonly beside: string;
  readonly data?: unknown;
  /** In megabytes. That of the edge is 3, with which such a thread would spend its time on collecting garbage. */
  readonly youngGenerationMb: number;
  readonly log: Logger;
}

export function startOpcuaThread({ beside, data, youngGenerationMb, log }: OpcuaThreadOptions): Worker {
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  // Of the sources and of the built program alike.
  const file = new URL(`./thread${beside.slice(beside.lastIndexOf('.'))}`, beside);
  const worker = new Worker(file, {
    workerData: data,
    name: 'opcua',
    stdout: true,
    stderr: true,
    resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
  });
  // The library talks of its own accord; it must not do so among the lines of the log.
  for (const stream of [worker.stdout, worker.stderr]) {
    stream.on('data', (text: Buffer) => log.debug('node-opcua says', { text: String(text).trim() }));
  }
  return worker;
}
