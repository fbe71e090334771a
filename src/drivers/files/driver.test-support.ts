/** The driver with real folders, and a log that keeps what it is told to. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../base/clock.ts';
import type { FileHandle, Files } from '../../base/files.ts';
import { createLogger } from '../../base/logger.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { decodeReading, type Measurement, type MachineEvent, type Reading } from '../../model/reading.ts';
import { READ_FROM_KEY, readFromOf } from '../../model/read-from.ts';
import type { ReadMemory } from '../../ports/driver.ts';
import { until } from '../../../test/support/until.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

/** Short waits, so that tests of waiting do not wait long. */
export const SHORT_WAITS: object = {
  settle: '30ms',
  last_line_after: '150ms',
  quarantine_after: '250ms',
  rescan: '100ms',
};

export const CSV: object = {
  time: { column: 'Timestamp' },
  measurements: [
    {
      characteristic: 'length',
      measured_value: { column: 'Observed_Part_Length_mm' },
      temperature_c: { column: 'Simulated_Temperature_C' },
    },
  ],
};
export const HEADER = 'Timestamp,Simulated_Temperature_C,True_Part_Length_mm,Observed_Part_Length_mm';

export function rowOf(second: number, length: number = 100 + second / 1000): string {
  const time = new Date(Date.UTC(2026, 0, 1, 8, 0, second)).toISOString();
  return `${time},20.5,100,${length.toFixed(6)}`;
}

/** Longer than anything that a test measures. */
const SENTINEL_MM = 1_000_000;

export class Bench {
  readonly root: string;
  readonly folder: string;
  readonly state: string;
  /** Every reading that is in the log. */
  readonly log: Reading[] = [];
  /** What is emitted from now on is not in the log when the crash comes. */
  logWorks = true;
  /** With so many readings it takes no more. */
  stallAfter: number = Infinity;
  /** Nothing more can be remembered: the disk is full. */
  isDiskFull = false;
  /** What cannot be read now, and why. */
  readonly problems: Map<string, string> = new Map<string, string>();
  errors: unknown[] = [];
  /** Of the driver's own log. */
  readonly lines: string[] = [];
  #lost: Reading[] = [];
  #held: number | null = 0;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #config: object = {};
  #marks = 0;

  static async make(): Promise<Bench> {
    const root = await mkdtemp(path.join(tmpdir(), 'millwright-files-'));
    const bench = new Bench(root);
    await mkdir(bench.folder);
    return bench;
  }

  constructor(root: string) {
    this.root = root;
    this.folder = path.join(root, 'in');
    this.state = path.join(root, 'state');
  }

  /** The batches that the log may not delete come after this one. */
  get held(): number | null {
    return this.#held;
  }

  start(config: object = { format: 'csv', csv: CSV }): void {
    this.#config = config;
    const options = schema.parse({ folder: this.folder, ...SHORT_WAITS, ...config });
    const driver = create(options) as ReturnType<typeof create> & { useMemory(memory: ReadMemory): void };
    this.#stop = new AbortController();
    this.#held = 0;
    const { log } = this;
    driver.useMemory({
      source: 'cmm',
      folder: this.state,
      files: this.#files(),
      lastSequence: () => log.length,
      kept: () => (this.#takes ? Promise.resolve() : new Promise(() => {})),
      hold: (after) => {
        this.#held = after;
      },
      // One reading a batch.
      marksAfter: async function* (sequence) {
        for (const reading of log.slice(sequence)) {
          const found = readFromOf(reading);
          if (found?.source === 'cmm') yield found.mark;
        }
      },
    });
    const context = {
      machineId: 'CMM-1',
      emit: (reading: Reading) => {
        const decoded = decodeReading(structuredClone(reading));
        if ('fault' in decoded) throw new Error(JSON.stringify(decoded.fault));
        (this.#takes ? this.log : this.#lost).push(decoded.reading);
      },
      connected: () => {},
      alive: () => {},
      answered: () => {},
      problem: (item: string, reason: string | null) => {
        if (reason === null) this.problems.delete(item);
        else this.problems.set(item, reason);
      },
      room: () => undefined,
      samplingIntervalMs: () => 100,
      clock: systemClock,
      random: Math.random,
      log: createLogger({
        level: 'info',
        pretty: false,
        write: (line) => this.lines.push(line),
        now: () => '',
      }),
    };
    const { signal } = this.#stop;
    this.#running = (async () => {
      while (!signal.aborted) {
        try {
          await driver.run(context, signal);
        } catch (error) {
          this.errors.push(error);
        }
        await systemClock.sleep(20, signal);
      }
    })();
  }

  /** As a stop and as a crash: what is in the log and on the disk is all that is left. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#lost = [];
    this.logWorks = true;
  }

  async restart(): Promise<void> {
    await this.stop();
    this.start(this.#config);
  }

  #files(): Files {
    const open: Files['open'] = async (file, mode) => {
      const handle = await nodeFiles.open(file, mode);
      const write: FileHandle['write'] = (buffers, position) => {
        if (this.isDiskFull) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
        return handle.write(buffers, position);
      };
      return {
        write,
        read: (into, position) => handle.read(into, position),
        datasync: () => handle.datasync(),
        truncate: (length) => handle.truncate(length),
        size: () => handle.size(),
        close: () => handle.close(),
      };
    };
    return { ...nodeFiles, open };
  }

  get #takes(): boolean {
    return this.logWorks && this.log.length < this.stallAfter;
  }

  get measurements(): Measurement[] {
    return this.log.filter((one): one is Measurement => one.kind === 'measurement');
  }

  get events(): MachineEvent[] {
    return this.log.filter((one): one is MachineEvent => one.kind === 'event');
  }

  values(): number[] {
    return this.measurements.map(({ measured_value }) => measured_value).filter((value) => value < SENTINEL_MM);
  }

  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await until(condition);
    } catch (cause) {
      throw new Error(`it did not come to ${String(condition)}; errors: ${this.errors.join('; ')}`, { cause });
    }
  }

  /** A file is dropped in and read: what was to be read before it has been. */
  async caughtUp(): Promise<void> {
    this.#marks += 1;
    const value = SENTINEL_MM + this.#marks;
    await writeFile(path.join(this.folder, `zz-${this.#marks}.csv`), `${HEADER}\n${rowOf(59, value)}\n`);
    await this.until(() => this.measurements.some(({ measured_value }) => measured_value === value));
  }
}

/** Without what names the place in the file. */
export function withoutPlace(reading: Reading): object {
  const { [READ_FROM_KEY]: own, details, ...rest } = reading as Measurement & Record<string, unknown>;
  void own;
  const { [READ_FROM_KEY]: inDetails, ...others } = details ?? {};
  void inDetails;
  return Object.keys(others).length > 0 ? { ...rest, details: others } : rest;
}
