/**
 * `npm run bench -- log [PART ...]`: what the log does in a second, beside the bare calls that it stands on.
 *
 * Parts are append, compress, plain and compressed (which open and read a log of such segments); all when none is named. Each measurement is a process of its own on the built
 * program (`log-parts.support.ts`), so its peak of memory is its own; with the flags of an edge, which has no optimizing
 * compiler, and with Node's own. Batches hold 100 readings of simulated machines, and are made before any clock starts.
 *
 * The bare peer writes the same bytes into one file of the same file system: one batch, one fdatasync, and so on.
 * Where 16 appends wait the log writes them together, so there is a peer that does so too. Peer and log take turns, and the
 * ratio is the median of the turns' own.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { EDGE_NODE_FLAGS } from '../src/edge/flags.ts';
import { encodeFrame } from '../src/model/frame.ts';
import type { PartOptions, PartResult } from './log-parts.support.ts';
import { Shop } from './shop.support.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const BATCHES = Number(process.env['BATCHES'] ?? 4_000);
const LOG_BYTES = Number(process.env['LOG_MB'] ?? 1_000) * 1e6;

const LIMITS = {
  syncedRatio: 0.8,
  unsyncedPerSecond: 500_000,
  openSeconds: 3,
  coldReadPerSecond: 300_000,
} as const;
const READINGS_PER_BATCH = 100;
const BATCHES_MADE = 512;
const MACHINES = 10;
const WARM_BYTES_MAX = 10_000_000;
/** What kill -9 leaves of the record that was being written. */
const TORN_BYTES = 1_000;
/** Of the columns of what is printed. */
const WIDTHS: readonly number[] = [36, 38, 18, 24];

const NODE_FLAGS: { readonly [name: string]: readonly string[] } = {
  "the edge's flags": EDGE_NODE_FLAGS,
  "Node's own": [],
};

const PARTS: { readonly [part: string]: () => Promise<void> } = {
  append,
  compress,
  plain: () => openAndRead('plain', null),
  compressed: () => openAndRead('compressed', WARM_BYTES_MAX),
};

const base = mkdtempSync(path.join(tmpdir(), 'millwright-bench-'));
const program = path.join(base, 'log-parts.mjs');
const batchesFile = path.join(base, 'batches');

async function bench(wanted: readonly string[]): Promise<void> {
  writeProgram();
  const bytes = await writeBatches();
  say(`${READINGS_PER_BATCH} readings a batch, ${bytes.toFixed(0)} bytes in the mean; ${BATCHES} batches a turn`);
  say(`the edge's flags: ${EDGE_NODE_FLAGS.join(' ')}`);
  for (const [part, run] of Object.entries(PARTS)) if (wanted.length === 0 || wanted.includes(part)) await run();
}

type Turn = Partial<PartOptions> & Pick<PartOptions, 'part'>;

/** Each beside its peer. */
const APPENDS: { readonly [way: string]: Turn } = {
  'bare, 1 batch a sync': { part: 'bareSync' },
  'bare, 1 batch a sync, not blocking': { part: 'bareAsync' },
  'bare, 16 batches a sync': { part: 'bareSync', inFlight: 16 },
  'log, 1 waiting': { part: 'append' },
  'log, 16 waiting': { part: 'append', inFlight: 16 },
  'the same, compressing beside': { part: 'append', inFlight: 16, warmBytesMax: WARM_BYTES_MAX },
  'log, 16 waiting, a sync each second': { part: 'append', inFlight: 16, sync: 'interval' },
  'log, 16 waiting, no sync': { part: 'append', inFlight: 16, sync: 'never' },
};

try {
  await bench(process.argv.slice(2));
} finally {
  rmSync(base, { recursive: true, force: true });
}

async function append(): Promise<void> {
  for (const [name, flags] of Object.entries(NODE_FLAGS)) {
    say(
      `\nappends, ${name}, ${ROUNDS} turns: median (least to most), and ratio to the bare peers: 1, 1 not blocking, 16`,
    );
    const turns = new Map<string, PartResult[]>(Object.keys(APPENDS).map((way) => [way, []]));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [way, options] of Object.entries(APPENDS)) turns.get(way)?.push(await runPart(options, flags));
    }
    const ratioTo = (peer: string, rates: readonly number[]): number =>
      median(rates.map((rate, index) => rate / perSecond(turns.get(peer)?.[index])));
    for (const [way, results] of turns) {
      const rates = results.map(perSecond);
      const ofOne = ratioTo('bare, 1 batch a sync', rates);
      const ofOneAsync = ratioTo('bare, 1 batch a sync, not blocking', rates);
      const ofSixteen = ratioTo('bare, 16 batches a sync', rates);
      const spread = `(${thousands(Math.min(...rates))} to ${thousands(Math.max(...rates))})`;
      const rate = `${thousands(median(rates))} readings/s ${spread}`;
      const ratios = [ofOne, ofOneAsync, ofSixteen].map((ratio) => ratio.toFixed(2)).join(', ');
      row([way, rate, ratios, memoryOf(results), appendVerdict(way, ofOne, median(rates))]);
    }
  }
}

/**
 * The log as the edge uses it, with what waits sharing a sync, is held to a bare write and fdatasync of each batch. The
 * other ratios show what of that is the sharing.
 */
function appendVerdict(way: string, ratioToOne: number, rate: number): string {
  if (way === 'log, 16 waiting')
    return verdict(ratioToOne >= LIMITS.syncedRatio, `${LIMITS.syncedRatio} of the bare one`);
  if (way !== 'log, 16 waiting, no sync') return '';
  return verdict(rate >= LIMITS.unsyncedPerSecond, `${thousands(LIMITS.unsyncedPerSecond)} readings/s`);
}

async function compress(): Promise<void> {
  say('\ncompression, all but the newest 10 MB');
  for (const [name, flags] of Object.entries(NODE_FLAGS)) {
    const result = await runPart({ part: 'compress', sync: 'never', warmBytesMax: WARM_BYTES_MAX }, flags);
    const { plainBytes, bytes, readings } = result;
    const ratio = `${(plainBytes / bytes).toFixed(1)} to 1`;
    const size = `${(plainBytes / readings).toFixed(0)} bytes a reading become ${(bytes / readings).toFixed(1)}`;
    row([name, size, ratio, memoryOf([result]), `${thousands(perSecond(result))} readings/s`]);
  }
}

async function openAndRead(form: string, warmBytesMax: number | null): Promise<void> {
  const folder = newFolder();
  await fillAndKill(folder, warmBytesMax);
  const { segments, bytes, lock } = dirtOf(folder);
  say(
    `\n${(bytes / 1e6).toFixed(0)} MB, ${segments} segments, ${form}; opened after kill -9, then read from end to end`,
  );
  for (const [name, flags] of Object.entries(NODE_FLAGS)) {
    writeFileSync(path.join(folder, 'log/lock'), lock);
    tear(folder);
    const cache = dropCaches();
    const opened = await runPart({ part: 'open', folder, warmBytesMax }, flags);
    const millis = `${(opened.seconds * 1000).toFixed(0)} ms`;
    const isQuick = opened.seconds < LIMITS.openSeconds;
    row([`open, ${name}`, millis, cache, memoryOf([opened]), verdict(isQuick, `${LIMITS.openSeconds} s`)]);
    const cacheOfRead = dropCaches();
    const read = await runPart({ part: 'read', folder, warmBytesMax }, flags);
    const isFast = perSecond(read) >= LIMITS.coldReadPerSecond;
    const limit = verdict(isFast, `${thousands(LIMITS.coldReadPerSecond)} readings/s`);
    const rate = `${thousands(perSecond(read))} readings/s, ${read.seconds.toFixed(1)} s`;
    row([`read, ${name}`, rate, cacheOfRead, memoryOf([read]), limit]);
  }
  rmSync(folder, { recursive: true });
}

/** Kills the process in the midst of its appends. */
async function fillAndKill(folder: string, warmBytesMax: number | null): Promise<void> {
  const options = { part: 'fill', folder, sync: 'never', warmBytesMax, bytes: LOG_BYTES, inFlight: 16 } as const;
  const child = startPart(options, []);
  child.stdout.once('data', () => child.kill('SIGKILL'));
  const [code, signal] = await once(child, 'exit');
  if (signal !== 'SIGKILL') throw new Error(`the log could not be filled: the process ended with ${code}`);
}

/** What the killed process has left. */
function dirtOf(folder: string): { segments: number; bytes: number; lock: Buffer } {
  const names = segmentsIn(folder);
  const bytes = names.reduce((sum, name) => sum + statSync(name).size, 0);
  return { segments: names.length, bytes, lock: readFileSync(path.join(folder, 'log/lock')) };
}

/** Cuts the newest record short, as a process that dies within a write does. */
function tear(folder: string): void {
  const newest = segmentsIn(folder).at(-1);
  if (newest !== undefined) truncateSync(newest, statSync(newest).size - TORN_BYTES);
}

function segmentsIn(folder: string): string[] {
  const names = readdirSync(path.join(folder, 'log')).filter((name) => name.endsWith('.seg'));
  return names.sort().map((name) => path.join(folder, 'log', name));
}

/** @returns whether what follows reads the disk */
function dropCaches(): string {
  try {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return 'page cache dropped';
  } catch {
    return 'page cache kept';
  }
}

/** In a folder of its own, if none is given. */
async function runPart(turn: Turn, flags: readonly string[]): Promise<PartResult> {
  const child = startPart(turn, flags);
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`${turn.part} ended with ${code}`);
  return JSON.parse(said);
}

function startPart(turn: Turn, flags: readonly string[]): ChildProcessByStdio<null, Readable, null> {
  const folder = turn.folder ?? newFolder();
  const common = { batchesFile, batches: BATCHES, inFlight: 1, sync: 'batch', warmBytesMax: null, bytes: 0 } as const;
  const options: PartOptions = { ...common, ...turn, folder };
  const child = spawn(process.execPath, [...flags, program, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.once('exit', () => turn.folder ?? rmSync(folder, { recursive: true }));
  return child;
}

function newFolder(): string {
  return mkdtempSync(path.join(base, 'run-'));
}

/** The parts as JavaScript beside nothing else, using the built program. */
function writeProgram(): void {
  const source = readFileSync(new URL('log-parts.support.ts', import.meta.url), 'utf8');
  const built = new URL('../dist/', import.meta.url).href;
  const script = stripTypeScriptTypes(source).replaceAll(/'\.\.\/src\/(.*)\.ts'/g, `'${built}$1.js'`);
  writeFileSync(program, script);
}

/** @returns the mean length */
async function writeBatches(): Promise<number> {
  const shop = new Shop(MACHINES, Date.UTC(2026, 0, 5, 6) * 1000);
  const pieces: Uint8Array[] = [];
  let frames: Uint8Array[] = [];
  let bytes = 0;
  for (let made = 0; made < BATCHES_MADE; ) {
    for (const reading of await shop.tick()) {
      frames.push(encodeFrame(reading));
      if (frames.length < READINGS_PER_BATCH) continue;
      const length = Buffer.alloc(4);
      const payload = Buffer.concat(frames);
      length.writeUInt32BE(payload.length);
      pieces.push(length, payload);
      bytes += payload.length;
      frames = [];
      made += 1;
    }
  }
  writeFileSync(batchesFile, Buffer.concat(pieces));
  return bytes / BATCHES_MADE;
}

function perSecond(result: PartResult | undefined): number {
  return result === undefined ? Number.NaN : result.readings / result.seconds;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function verdict(isMet: boolean, limit: string): string {
  return `limit ${limit}: ${isMet ? 'met' : 'SHORT'}`;
}

/** The peak, and what of it was there before: Node and the batches to be written. */
function memoryOf(results: readonly PartResult[]): string {
  const peakMb = Math.max(...results.map((result) => result.peakMb));
  return `peak ${peakMb.toFixed(0)} MB (${median(results.map((result) => result.baseMb)).toFixed(0)} before)`;
}

function thousands(value: number): string {
  return `${(value / 1000).toFixed(0)} k`;
}

function row(cells: readonly string[]): void {
  say(
    `  ${cells
      .map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0))
      .join('  ')
      .trimEnd()}`,
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
