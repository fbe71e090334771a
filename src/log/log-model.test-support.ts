/**
 * The log against a simple model: random operations, crashes at any call of the file system, and flipped bits, while old
 * segments are compressed beside it.
 *
 * The oracle: every append that resolved is read back byte for byte, once, under its own number, unless a flip
 * destroyed it, which is counted; and no identity that was ever read is given to another batch.
 *
 * A process of its own, `node log-model.test-support.ts FIRST_SEED LAST_SEED`: the test runner's hooks on every promise
 * would make it five times slower. A failing seed is printed.
 */
import assert from 'node:assert/strict';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { hasCode } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import { silentLogger } from '../base/logger.ts';
import { type Random, seededRandom } from '../base/random.ts';
import { SAVE_INTERVAL_MS } from './cursor.ts';
import { FaultyFiles } from './faulty-files.test-support.ts';
import { decodeSegmentHeader, parseSegmentName } from './format.ts';
import { readAll } from './inspect.ts';
import { DurableLog, type StoredBatch } from './log.ts';
import { ROOMY } from './options.test-support.ts';

const FOLDER = '/log';
const SINKS = ['hub', 'mes/2'] as const;
const STEPS = 120;
function segmentNumber(path: string): number {
  return parseSegmentName(path.slice(FOLDER.length + 1)) ?? 0;
}

class Model {
  readonly disk: FaultyFiles;
  readonly #random: Random;
  readonly #clock: ManualClock = new ManualClock('2026-01-01T08:00:00.000000Z');
  /** What was promised, and what a reader has seen: sequence → payload. */
  readonly acknowledged = new Map<number, string>();
  /** By epoch and sequence: the identity by which a far end drops what it has already. */
  readonly #seen = new Map<string, string>();
  /** Every payload that was ever handed over. */
  readonly #attempted = new Set<string>();
  readonly #settled = new Map<string, number>(SINKS.map((sink) => [sink, 0]));
  #destroyedMax = 0;
  #log: DurableLog | undefined;
  readonly #epochs = new Set<string>();
  #payloads = 0;
  #powerCuts = 0;
  readonly #done: string[] = [];
  operations = 0;
  crashes = 0;
  flips = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.disk = new FaultyFiles(this.#random);
  }

  history(): string {
    return this.#done.slice(-12).join(', ');
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) {
      this.operations += 1;
      await this.#step();
    }
    await this.#close();
    this.disk.healthy();
    await this.#checkAll();
  }

  async #step(): Promise<void> {
    const log = await this.#opened();
    const choices: [number, string, () => Promise<void>][] = [
      [40, 'append', () => this.#append(log)],
      [20, 'read', () => this.#read(log)],
      [15, 'settle', () => this.#settle(log)],
      [6, 'crash in the midst', () => this.#crashDuringAppends(log)],
      [6, 'failing disk', () => this.#failDuringAppends(log)],
      [5, 'kill, read, power cut', () => this.#killReadAndCutPower(log)],
      [4, 'close', () => this.#close()],
      [3, 'crash', async () => this.#crash(this.#crashKind())],
      [2, 'flip', () => this.#flip()],
      [4, 'check', () => this.#checkAll()],
    ];
    let at = this.#random() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, name, action] of choices) {
      at -= weight;
      if (at >= 0) continue;
      this.#done.push(name);
      await action();
      return;
    }
  }

  async #opened(): Promise<DurableLog> {
    // Opening may be struck by a crash or fault too.
    for (let attempt = 0; this.#log === undefined; attempt += 1) {
      if (attempt === 0 && this.#random() < 0.3) this.disk.crashAfter(this.#below(30), this.#crashKind());
      else if (attempt === 0 && this.#random() < 0.2) this.disk.failAfter(this.#below(10), 'EIO', 1 + this.#below(3));
      else this.disk.healthy();
      try {
        this.#log = await DurableLog.open(this.#options(this.disk.mount()));
      } catch (error) {
        assert.ok(attempt < 5 && hasCode(error, 'storage_failed'), String(error));
        this.crashes += 1;
      }
    }
    this.disk.healthy();
    this.#epochs.add(this.#log.epoch);
    return this.#log;
  }

  #options(files: Files): Parameters<typeof DurableLog.open>[0] {
    let alive = true;
    const random = this.#random;
    return {
      folder: FOLDER,
      files,
      clock: this.#clock,
      log: silentLogger,
      gatewayId: 'gateway',
      sinks: SINKS,
      segmentBytesMax: 8000,
      hotBytesMax: 3000,
      sync: ROOMY.sync,
      // Two segments stay as they are, those before them are compressed.
      limits: { ...ROOMY.limits, warmBytesMax: 17_000 },
      newId: () => `e${Math.floor(random() * 1e9)}`,
      // Each opening is another process; the one before is dead.
      processes: {
        pid: this.#payloads + 1,
        identify: async (): Promise<string | undefined> => {
          const mine = alive;
          alive = false;
          return mine ? `process ${this.operations}` : undefined;
        },
      },
    };
  }

  async #append(log: DurableLog): Promise<void> {
    await Promise.all(Array.from({ length: 1 + this.#below(8) }, () => this.#appendOne(log)));
  }

  async #appendOne(log: DurableLog): Promise<void> {
    this.#payloads += 1;
    const length = this.#random() < 0.05 ? 6000 : this.#below(900);
    const payload = `${this.#payloads}:${'x'.repeat(length)}`;
    this.#attempted.add(payload);
    try {
      const sequence = await log.append(Buffer.from(payload), 1 + (this.#payloads % 5));
      assert.ok(!this.acknowledged.has(sequence), `sequence ${sequence} was given twice`);
      const seen = this.#seen.get(`${log.epoch}/${sequence}`);
      assert.equal(seen ?? payload, payload, `batch ${log.epoch}/${sequence} was seen as another`);
      this.acknowledged.set(sequence, payload);
    } catch (error) {
      if (!hasCode(error, 'storage_failed')) throw error;
    }
  }

  async #read(log: DurableLog): Promise<void> {
    const from = log.firstSequence + this.#below(log.lastSequence - log.firstSequence + 2);
    const batches = await log.read(from, { batchesMax: 1 + this.#below(20), bytesMax: this.#below(20_000) });
    this.#check(batches, from);
  }

  #check(batches: readonly StoredBatch[], from: number): void {
    let expected = from;
    for (const { epoch, sequence, payload } of batches) {
      assert.ok(this.#epochs.has(epoch), 'has the epoch of an opening');
      assert.ok(sequence >= expected, 'in order');
      const text = Buffer.from(payload).toString();
      assert.ok(this.#attempted.has(text), 'is a batch that was appended');
      assert.equal(text, this.acknowledged.get(sequence) ?? text, `batch ${sequence} is what was appended`);
      const identity = `${epoch}/${sequence}`;
      assert.equal(text, this.#seen.get(identity) ?? text, `batch ${identity} is what was seen before`);
      this.#seen.set(identity, text);
      expected = sequence + 1;
    }
  }

  async #settle(log: DurableLog): Promise<void> {
    for (const sink of SINKS) {
      const cursor = log.cursor(sink);
      const sequence = Math.min(log.lastSequence, cursor.position + this.#below(30));
      await cursor.settle({ first: 1, last: sequence, readings: 0 });
      this.#settled.set(sink, Math.max(sequence, this.#settled.get(sink) ?? 0));
      const backlog = log.backlog(sink);
      assert.ok(backlog.batches <= log.lastSequence - cursor.position);
      assert.equal(backlog.batches === 0, backlog.oldestAppendedAtMicros === null);
    }
    if (this.#random() < 0.5) await this.#letCursorsBeSaved();
  }

  /** The disk is in memory, so a few turns of the loop are enough for all that a save does. */
  async #letCursorsBeSaved(): Promise<void> {
    await this.#clock.step(SAVE_INTERVAL_MS);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  async #crashDuringAppends(log: DurableLog): Promise<void> {
    this.disk.crashAfter(this.#below(12), this.#crashKind());
    await this.#append(log);
    await this.#append(log);
    this.#crash(this.#crashKind());
  }

  async #failDuringAppends(log: DurableLog): Promise<void> {
    this.disk.failAfter(this.#below(6), this.#random() < 0.5 ? 'ENOSPC' : 'EIO', 1 + this.#below(5));
    for (let group = 0; group < 4; group += 1) await this.#append(log);
    if (this.#random() < 0.3) this.#crash(this.#crashKind());
    this.disk.healthy();
  }

  /** What a killed process has left in the page cache only must not be shown to a reader and then be lost. */
  async #killReadAndCutPower(log: DurableLog): Promise<void> {
    if (this.#random() < 0.5) this.disk.crashAfter(this.#below(3), 'kill');
    else this.disk.failAfter(this.#below(2), 'EIO', 1 + this.#below(3));
    await this.#append(log);
    this.#crash('kill');
    await this.#checkAll();
    this.#powerCuts += 1;
    this.#crash('power');
  }

  #crash(kind: 'kill' | 'power'): void {
    this.crashes += 1;
    if (kind === 'kill') this.disk.kill();
    else this.disk.cutPower();
    this.#log = undefined;
    this.disk.healthy();
  }

  async #close(): Promise<void> {
    await this.#log?.close();
    this.#log = undefined;
  }

  async #flip(): Promise<void> {
    await this.#close();
    const segments = this.disk.paths().filter((path) => path.startsWith(FOLDER) && /^\d+\.seg$/.test(path.slice(5)));
    const index = this.#below(segments.length);
    const path = segments[index];
    if (path === undefined) return;
    const content = this.disk.content(path) ?? Buffer.alloc(0);
    const header = decodeSegmentHeader(content);
    const isCompressed = header.kind === 'good' && header.header.form === 'compressed';
    this.disk.flip(path, this.#below(content.length));
    this.flips += 1;
    // These segments are so short that a compressed one is a single block, and stands or falls as a whole.
    const [first, next] = [segmentNumber(path), segmentNumber(segments[index + 1] ?? path)];
    this.#destroyedMax += isCompressed ? next - first : 1;
  }

  /** Reads the whole log, in pieces, and compares. */
  async #checkAll(): Promise<void> {
    const log = await this.#opened();
    const present = new Map<string, number>();
    const first = log.firstSequence;
    let from = first;
    for (;;) {
      const batches = await log.read(from, { batchesMax: 1 + this.#below(30), bytesMax: 10_000 });
      this.#check(batches, from);
      for (const { sequence, payload } of batches) {
        const text = Buffer.from(payload).toString();
        assert.ok(!present.has(text), `batch ${sequence} is there twice`);
        present.set(text, sequence);
      }
      const last = batches.at(-1);
      if (last === undefined) break;
      from = last.sequence + 1;
    }
    const settled = Math.min(...this.#settled.values());
    assert.ok(first <= settled + 1, `deleted before it was settled: ${first} > ${settled} + 1`);
    const missing = [...this.acknowledged].filter(([sequence, text]) => sequence >= first && !present.has(text));
    const about = `lost: ${missing.map(([sequence]) => sequence).join(' ')} of ${first} to ${log.lastSequence}`;
    assert.ok(missing.length <= this.#destroyedMax, `${about}; ${this.#destroyedMax} flips`);
    const { quarantined_batches: counted } = log.status();
    assert.ok(missing.length <= counted, `${about}, and not counted`);
    if (this.flips === 0 && this.#powerCuts === 0) assert.equal(counted, 0, 'no false alarm');
    let stored = 0;
    for await (const { sequence, payload } of readAll(this.disk.current, FOLDER)) {
      // What is not durable, a reader within does not see.
      if (sequence > log.lastSequence) break;
      assert.equal(present.get(Buffer.from(payload).toString()), sequence, 'read from outside as from within');
      stored += 1;
    }
    assert.equal(stored, present.size);
  }

  #crashKind(): 'kill' | 'power' {
    const kind = this.#random() < 0.5 ? 'kill' : 'power';
    if (kind === 'power') this.#powerCuts += 1;
    return kind;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

const [first = 1, last = first] = process.argv.slice(2).map(Number);
const sums = { operations: 0, calls: 0, crashes: 0, flips: 0, batches: 0 };
for (let seed = first; seed <= last; seed += 1) {
  const model = new Model(seed);
  try {
    await model.run();
  } catch (error) {
    process.stderr.write(`seed ${seed} fails after ${model.operations} operations: ${model.history()}\n`);
    throw error;
  }
  sums.operations += model.operations;
  sums.calls += model.disk.calls;
  sums.crashes += model.crashes;
  sums.flips += model.flips;
  sums.batches += model.acknowledged.size;
}
process.stdout.write(JSON.stringify(sums));
