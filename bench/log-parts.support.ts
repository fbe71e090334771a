/**
 * One part of `bench/log.ts`, in a process of its own: `node log-parts.mjs OPTIONS`, with {@link PartOptions} as JSON.
 * Writes a line of JSON, its {@link PartResult}. It is run without types and on the built program, as an edge is, so that
 * its memory is that of the log and of nothing else.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync, readFileSync, write, writevSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { nodeFiles } from '../src/base/node-files.ts';
import type { LogLimits } from '../src/log/keeper.ts';
import { DurableLog } from '../src/log/log.ts';
import type { SyncPolicy } from '../src/log/writer.ts';

export interface PartOptions {
  readonly part: 'bareSync' | 'bareAsync' | 'append' | 'open' | 'read' | 'compress' | 'fill';
  readonly folder: string;
  /** Of payloads, each behind its length. */
  readonly batchesFile: string;
  readonly batches: number;
  readonly inFlight: number;
  readonly sync: SyncPolicy['kind'];
  /** Plain segments beyond this are compressed; null: none is. */
  readonly warmBytesMax: number | null;
  /** For `fill`. */
  readonly bytes: number;
}

export interface PartResult {
  readonly seconds: number;
  readonly batches: number;
  readonly readings: number;
  /** Of the log in the end. */
  readonly bytes: number;
  /** Of payloads and their headers. */
  readonly plainBytes: number;
  /** Resident before the part began, and at most. */
  readonly baseMb: number;
  readonly peakMb: number;
}

const READINGS_PER_BATCH = 100;
/** As the edge's defaults have them. */
const SEGMENT_BYTES_MAX = 4_000_000;
const HOT_BYTES_MAX = 1_000_000;
/** As the sink `hub` reads. */
const READ_LIMITS = { batchesMax: 64, bytesMax: 256 * 1024 };
/** What the keeper may be behind while a log is filled at full speed. */
const UNCOMPRESSED_BYTES_MAX = 64_000_000;

const PARTS: { readonly [part in PartOptions['part']]: Part } = {
  bareSync,
  bareAsync,
  append,
  open,
  read,
  compress,
  fill,
};

type Part = (options: PartOptions, payloads: readonly Buffer[]) => Promise<Counted>;
type Counted = Partial<Pick<PartResult, 'seconds' | 'batches' | 'bytes' | 'plainBytes' | 'readings'>>;

async function runPart(options: PartOptions): Promise<void> {
  const payloads = payloadsOf(options);
  const baseMb = statusMb('VmRSS');
  const startedMs = performance.now();
  const counted = await PARTS[options.part](options, payloads);
  const seconds = (performance.now() - startedMs) / 1000;
  const batches = counted.batches ?? options.batches;
  const readings = batches * READINGS_PER_BATCH;
  const memory = { baseMb, peakMb: statusMb('VmHWM') };
  const result: PartResult = { seconds, batches, readings, bytes: 0, plainBytes: 0, ...counted, ...memory };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** The peer: into one file, as many batches in one write and one sync as the log is given at once, by calls that block. */
async function bareSync({ folder, batches, inFlight }: PartOptions, payloads: readonly Buffer[]): Promise<Counted> {
  const descriptor = openSync(`${folder}/bare`, 'w');
  for (let made = 0; made < batches; made += inFlight) {
    const group = Array.from({ length: Math.min(inFlight, batches - made) }, (_, index) => at(payloads, made + index));
    writevSync(descriptor, group);
    fdatasyncSync(descriptor);
  }
  closeSync(descriptor);
  return {};
}

/** One batch after the other, by calls that leave the process free to read machines meanwhile, as the log's do. */
async function bareAsync({ folder, batches }: PartOptions, payloads: readonly Buffer[]): Promise<Counted> {
  const descriptor = openSync(`${folder}/bare`, 'w');
  const writeAsync = promisify(write);
  const syncAsync = promisify(fdatasync);
  for (let made = 0; made < batches; made += 1) {
    await writeAsync(descriptor, at(payloads, made));
    await syncAsync(descriptor);
  }
  closeSync(descriptor);
  return {};
}

async function append(options: PartOptions, payloads: readonly Buffer[]): Promise<Counted> {
  const log = await openLog(options);
  const startedMs = performance.now();
  let made = 0;
  const work = async (): Promise<void> => {
    while (made < options.batches) {
      made += 1;
      await log.append(at(payloads, made), READINGS_PER_BATCH);
    }
  };
  await Promise.all(Array.from({ length: options.inFlight }, work));
  const seconds = (performance.now() - startedMs) / 1000;
  await log.close();
  return { seconds };
}

async function open(options: PartOptions): Promise<Counted> {
  const startedMs = performance.now();
  const log = await openLog(options);
  const seconds = (performance.now() - startedMs) / 1000;
  const { bytes, first_sequence: first, last_sequence: last } = log.status();
  const readings = log.backlog('hub').readings;
  await log.close();
  return { seconds, bytes, readings, batches: last - first + 1 };
}

async function read(options: PartOptions): Promise<Counted> {
  const log = await openLog(options);
  const startedMs = performance.now();
  let batches = 0;
  let readings = 0;
  let plainBytes = 0;
  for (let next = log.firstSequence; next <= log.lastSequence; ) {
    const found = await log.read(next, READ_LIMITS);
    const newest = found.at(-1);
    if (newest === undefined) break;
    for (const batch of found) {
      readings += batch.readings;
      plainBytes += batch.payload.length;
    }
    batches += found.length;
    next = newest.sequence + 1;
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const expected = log.backlog('hub').readings;
  if (readings !== expected) throw new Error(`${readings} readings were read of ${expected}`);
  const { bytes } = log.status();
  await log.close();
  return { seconds, batches, readings, bytes, plainBytes };
}

/** Appends without sync, and the time until all but the newest segments is compressed. */
async function compress(options: PartOptions, payloads: readonly Buffer[]): Promise<Counted> {
  const log = await openLog(options);
  for (let made = 0; made < options.batches; made += 1) {
    await log.append(at(payloads, made), READINGS_PER_BATCH);
    if (uncompressedBytes(log) > UNCOMPRESSED_BYTES_MAX) await compressed(log, options);
  }
  await compressed(log, options);
  const { bytes, bytes_appended: appended } = log.status();
  const plainLeft = uncompressedBytes(log);
  await log.close();
  const plainBytes = appended - plainLeft;
  return {
    bytes: bytes - plainLeft,
    plainBytes,
    readings: options.batches * READINGS_PER_BATCH * (plainBytes / appended),
  };
}

/** Until the log has so many bytes; then says so, and goes on until it is killed. */
async function fill(options: PartOptions, payloads: readonly Buffer[]): Promise<Counted> {
  const log = await openLog(options);
  let hasSaid = false;
  let made = 0;
  const work = async (): Promise<never> => {
    for (;;) {
      made += 1;
      await log.append(at(payloads, made), READINGS_PER_BATCH);
      if (options.warmBytesMax !== null && uncompressedBytes(log) > UNCOMPRESSED_BYTES_MAX) {
        await compressed(log, options);
      }
      if (!hasSaid && log.status().bytes >= options.bytes) {
        hasSaid = true;
        process.stdout.write('filled\n');
      }
    }
  };
  return Promise.race(Array.from({ length: options.inFlight }, work));
}

async function compressed(log: DurableLog, { warmBytesMax }: PartOptions): Promise<void> {
  while (uncompressedBytes(log) > (warmBytesMax ?? Number.POSITIVE_INFINITY)) await sleep(5);
}

/** Nothing is deleted here, so what is not appended was compressed. */
function uncompressedBytes(log: DurableLog): number {
  const { bytes, bytes_appended: appended, bytes_written: written } = log.status();
  return bytes - (written - appended);
}

function openLog({ folder, sync, warmBytesMax }: PartOptions): Promise<DurableLog> {
  const limits: LogLimits = {
    warmBytesMax: warmBytesMax ?? 2 ** 40,
    bytesMax: 2 ** 41,
    ageMsMax: null,
    reserveBytes: 0,
    whenFull: { samples: 'thin', measurements: 'drop_oldest', events: 'drop_oldest' },
  };
  return DurableLog.open({
    folder: `${folder}/log`,
    files: nodeFiles,
    clock: systemClock,
    log: silentLogger,
    gatewayId: 'bench',
    sinks: ['hub'],
    segmentBytesMax: SEGMENT_BYTES_MAX,
    hotBytesMax: HOT_BYTES_MAX,
    sync: { kind: sync, intervalMs: 1000 },
    limits,
    newId: () => `bench-${process.pid}`.padEnd(8, '0'),
  });
}

function payloadsOf({ batchesFile }: PartOptions): Buffer[] {
  const bytes = readFileSync(batchesFile);
  const payloads: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    payloads.push(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at)));
  }
  return payloads;
}

function at(payloads: readonly Buffer[], index: number): Buffer {
  const payload = payloads[index % payloads.length];
  if (payload === undefined) throw new Error('there are no batches');
  return payload;
}

function statusMb(key: string): number {
  const found = new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) / 1024;
}

await runPart(JSON.parse(process.argv[2] ?? ''));
