/** Logs on the real file system for tests, in a folder that goes with the test file, and batches that are known again. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type ErrorCode, hasCode } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { nodeFiles } from '../base/node-files.ts';
import type { Cursor } from './cursor.ts';
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './format.ts';
import { DurableLog, type LogOptions, type ReadLimits } from './log.ts';
import { ROOMY } from './options.test-support.ts';

export const START = '2026-01-01T08:00:00.000000Z';
export const ALL: ReadLimits = { batchesMax: 100_000, bytesMax: 100_000_000 };
export const PAYLOAD_BYTES = 1000;
export const RECORD_BYTES: number = RECORD_HEADER_BYTES + PAYLOAD_BYTES;

export const root: string = await mkdtemp(join(tmpdir(), 'millwright-log-'));
after(() => rm(root, { recursive: true }));

export function optionsFor(folder: string, changes: Partial<LogOptions> = {}): LogOptions {
  return {
    folder,
    files: nodeFiles,
    clock: new ManualClock(START),
    log: silentLogger,
    gatewayId: 'gateway',
    sinks: ['hub'],
    // Four records of the usual payload in a segment.
    segmentBytesMax: SEGMENT_HEADER_BYTES + 4 * RECORD_BYTES,
    hotBytesMax: 1_000_000,
    ...ROOMY,
    newId: () => 'log-1',
    ...changes,
  };
}

export async function newFolder(): Promise<string> {
  return join(await mkdtemp(join(root, 'log-')), 'data', 'log');
}

/** A recognisable payload of the usual length. */
export function payloadOf(number: number): Buffer {
  return Buffer.alloc(PAYLOAD_BYTES, `batch ${number} `);
}

/** Appends one at a time, so that segments are divided alike each time. */
export async function appendSeveral(log: DurableLog, count: number): Promise<void> {
  for (let made = 0; made < count; made += 1) await log.append(payloadOf(log.lastSequence + 1), 10);
}

export async function sequencesFrom(log: DurableLog, from = 1): Promise<number[]> {
  const batches = await log.read(from, ALL);
  for (const { sequence, payload } of batches) assert.deepEqual(Buffer.from(payload), payloadOf(sequence));
  return batches.map(({ sequence }) => sequence);
}

export function settleThrough(cursor: Cursor, sequence: number): Promise<void> {
  return cursor.settle({ first: 1, last: sequence, readings: 10 * sequence });
}

export function coded(code: ErrorCode): (error: unknown) => boolean {
  return (error) => hasCode(error, code);
}

/** A closed log of twelve batches in three segments, and the name of the first. */
export async function closedLog(): Promise<{ folder: string; segments: string[] }> {
  const folder = await newFolder();
  const log = await DurableLog.open(optionsFor(folder));
  await appendSeveral(log, 12);
  await log.close();
  const names = (await readdir(folder)).filter((name) => name.endsWith('.seg')).sort();
  assert.equal(names.length, 3);
  return { folder, segments: names.map((name) => join(folder, name)) };
}

export async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

export function isSegment(name: string): boolean {
  return name.endsWith('.seg');
}
