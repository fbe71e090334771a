/** The driver with real HTTP and real files, and a log that keeps what it is told to, batch by batch. */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until } from '../../../test/support/until.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { nodeFiles } from '../../base/node-files.ts';
import { decodeReading, type MachineEvent, type Reading, type Sample } from '../../model/reading.ts';
import { readFromOf } from '../../model/read-from.ts';
import type { ReadMemory } from '../../ports/driver.ts';
import { type AgentDevice, type AgentOptions, MtconnectAgent } from '../../sim/mtconnect-agent.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';

export const SOURCE = 'agent';

export async function openAgent(
  devices: readonly AgentDevice[],
  options: Partial<AgentOptions> = {},
): Promise<{ agent: MtconnectAgent; url: string }> {
  const agent = new MtconnectAgent({
    devices,
    bufferSize: 131_072,
    instanceId: 1_665_746_507,
    version: '2.0',
    multipart: 'mixed',
    isBoundaryQuoted: false,
    clock: systemClock,
    ...options,
  });
  const port = await agent.listen('127.0.0.1', 0);
  return { agent, url: `http://127.0.0.1:${port}` };
}

export class Bench {
  readonly folder: string;
  readonly #url: string;
  readonly #clock: Clock;
  /** What is in the log for good, a reading a batch. */
  readonly log: Reading[] = [];
  /** What a crash takes away. */
  #waiting: Reading[] = [];
  readonly errors: unknown[] = [];
  connections = 0;
  /** What cannot be read now, and why. */
  readonly problems: Map<string, string> = new Map<string, string>();
  readonly latencies: (number | null)[] = [];
  signs = 0;
  /** How often the driver has asked for all to be in the log. */
  commits = 0;
  #held: number | null = 0;
  #isCrashing = false;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  static async make(url: string, clock: Clock = systemClock): Promise<Bench> {
    return new Bench(await mkdtemp(path.join(tmpdir(), 'millwright-mtconnect-')), url, clock);
  }

  constructor(folder: string, url: string, clock: Clock) {
    this.folder = folder;
    this.#url = url;
    this.#clock = clock;
  }

  /** The batches that the log may not delete come after this one. */
  get held(): number | null {
    return this.#held;
  }

  start(config: object = {}): void {
    const options = schema.parse({ url: this.#url, interval: '0s', heartbeat: '1s', ...config });
    const driver = create(options) as ReturnType<typeof create> & { useMemory(memory: ReadMemory): void };
    const { log } = this;
    this.#stop = new AbortController();
    this.#held = 0;
    driver.useMemory({
      source: SOURCE,
      folder: path.join(this.folder, 'state'),
      files: nodeFiles,
      lastSequence: () => log.length,
      kept: async () => {
        if (this.#isCrashing) throw new Error('crashed');
        this.commits += 1;
        this.keep();
      },
      hold: (after) => {
        this.#held = after;
      },
      marksAfter: async function* (sequence) {
        for (const reading of log.slice(sequence)) {
          const found = readFromOf(reading);
          if (found?.source === SOURCE) yield found.mark;
        }
      },
    });
    const context = {
      machineId: 'M-1',
      emit: (reading: Reading) => {
        const decoded = decodeReading(structuredClone(reading));
        if ('fault' in decoded) throw new Error(JSON.stringify(decoded.fault));
        this.#waiting.push(decoded.reading);
      },
      connected: () => {
        this.connections += 1;
      },
      alive: () => {
        this.signs += 1;
      },
      answered: (latencyMs: number | null) => void this.latencies.push(latencyMs),
      problem: (item: string, reason: string | null) => {
        if (reason === null) this.problems.delete(item);
        else this.problems.set(item, reason);
      },
      room: () => undefined,
      samplingIntervalMs: () => 100,
      clock: this.#clock,
      random: Math.random,
      log: silentLogger,
    };
    const { signal } = this.#stop;
    this.#running = (async () => {
      while (!signal.aborted) {
        try {
          await driver.run(context, signal);
        } catch (error) {
          this.errors.push(error);
        }
        await systemClock.sleep(2, signal);
      }
    })();
  }

  /** All that waits is in the log, or so much of it. */
  keep(readings: number = this.#waiting.length): void {
    this.log.push(...this.#waiting.splice(0, readings));
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Also those that a crash would take away. */
  get all(): readonly Reading[] {
    return [...this.log, ...this.#waiting];
  }

  get events(): MachineEvent[] {
    return this.all.filter((one): one is MachineEvent => one.kind === 'event');
  }

  get samples(): Sample[] {
    return this.all.filter((one): one is Sample => one.kind === undefined);
  }

  gaps(): MachineEvent[] {
    return this.events.filter(({ event_type }) => event_type === 'gap');
  }

  /** As a crash, at any moment: what waits is lost, and what is not on the disk. */
  async crash(): Promise<void> {
    this.#isCrashing = true;
    this.#stop.abort();
    await this.#running;
    this.#waiting = [];
    this.#isCrashing = false;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.keep();
  }

  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await until(condition);
    } catch (cause) {
      throw new Error(`it did not come to ${String(condition)}; errors: ${this.errors.join('; ')}`, { cause });
    }
  }
}
