/**
 * Mends a log that no process has open: `millwright log repair`.
 *
 * An edge goes on with a damaged log by itself; this finds all damage at once, and leaves files that are whole. No batch
 * that can be read is given up. What cannot be read goes to the quarantine first, and the edge tells of it with `gap`
 * events at its next start. Each step leaves the log as good as it was or better, so that it may be cut off anywhere and
 * done again; on a sound log it does nothing.
 */
import type { Clock } from '../base/clock.ts';
import { hasCode, MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import { takeLock } from '../base/lock-file.ts';
import { silentLogger } from '../base/logger.ts';
import { cursorsFolder, loadCursors, saveCursor, settledOf } from './cursor.ts';
import { inspectLog, type LogReport, type SegmentReport } from './inspect.ts';
import { Quarantine, quarantineFolder } from './quarantine.ts';
import {
  epochOf,
  findIdentity,
  findSegments,
  isBarelyBegun,
  isOfLog,
  type LogIdentity,
  LOCK_NAME,
  type Recovered,
  recoverSegments,
  saveIdentity,
} from './recovery.ts';
import { rewriteSegment } from './rewrite.ts';
import { Segment } from './segments.ts';

export interface RepairOptions {
  readonly files: Files;
  readonly folder: string;
  readonly clock: Clock;
  /** For an identity that is damaged; undefined when nobody knows. */
  readonly gatewayId: string | undefined;
}

export interface Repaired {
  readonly before: LogReport;
  /** What was done, in sentences; empty for a log that needed nothing. */
  readonly done: readonly string[];
  readonly after: LogReport;
}

/**
 * @throws log_locked while a process has the log open
 * @throws not_found when there is no log in the folder
 * @throws log_format when it is of a newer version; nothing is changed
 * @throws storage_failed when the disk cannot be read or written: what was done so far holds
 */
export async function repairLog(options: RepairOptions): Promise<Repaired> {
  const { files, folder } = options;
  // Before a lock is made in a folder that may not be a log's.
  await inspectableLog(files, folder);
  const lock = `${folder}/${LOCK_NAME}`;
  await takeLock(files, { path: lock, what: 'the log' }).catch((error: unknown) => {
    if (hasCode(error, 'log_locked')) throw new MillwrightError('log_locked', `${error.message}: stop the edge first`);
    throw error;
  });
  try {
    const before = await inspectLog(files, folder);
    const done = needsRepair(before) ? await new Repair(options, before).run() : [];
    return { before, done, after: done.length === 0 ? before : await inspectLog(files, folder) };
  } catch (error) {
    if (error instanceof MillwrightError) throw error;
    throw new MillwrightError('storage_failed', `the log in ${folder} cannot be read or written`, { cause: error });
  } finally {
    await files.remove(lock);
  }
}

async function inspectableLog(files: Files, folder: string): Promise<void> {
  const identity = await findIdentity(files, folder, await findSegments(files, folder));
  if (identity === undefined) throw new MillwrightError('not_found', `there is no log in ${folder}`);
}

function needsRepair({ sound, segments }: LogReport): boolean {
  return !sound || segments.some((segment) => segment.unfinishedBytes > 0 || segment.corruptRanges.length > 0);
}

class Repair {
  readonly #options: RepairOptions;
  readonly #before: LogReport;
  readonly #quarantine: Quarantine;
  readonly #done: string[] = [];

  constructor(options: RepairOptions, before: LogReport) {
    this.#options = options;
    this.#before = before;
    this.#quarantine = new Quarantine({ ...options, log: silentLogger });
  }

  async run(): Promise<readonly string[]> {
    const { files, folder } = this.#options;
    await files.makeFolder(quarantineFolder(folder));
    await this.#quarantine.load();
    const found = await findSegments(files, folder);
    const identity = await findIdentity(files, folder, found);
    if (identity === undefined) return this.#done;
    const loaded = await loadCursors(files, cursorsFolder(folder), identity.id);
    const sinks = loaded.map(({ sink }) => sink);
    for (const name of this.#before.foreignSegments) this.#done.push(`${name} of another log is moved to quarantine/`);
    const recovered = await recoverSegments(
      // What recovery would log is in the reports.
      { ...this.#options, log: silentLogger, quarantine: this.#quarantine },
      { found, identity, ...settledOf(sinks, loaded) },
    );
    for (const report of this.#before.segments) await this.#mendSegment(report, recovered);
    // Which epochs there are is known best while the segments are as they were found.
    const ofLog = found.filter((segment) => isOfLog(segment, identity) && !isBarelyBegun(segment));
    const epochs = ofLog.map((segment) => ({
      epoch: epochOf(segment, identity),
      firstSequence: segment.firstSequence,
    }));
    await this.#mendIdentity(identity, epochs);
    await this.#mendCursors(identity, recovered.segments.first?.firstSequence ?? recovered.lastSequence + 1);
    return this.#done;
  }

  async #mendSegment(report: SegmentReport, { segments, lastSequence }: Recovered): Promise<void> {
    const { name, unfinishedBytes, corruptRanges, headerDamaged, missingBatches } = report;
    const segment = segments.all.find((one) => one.name === name);
    if (unfinishedBytes > 0) this.#done.push(`${name}: the end, torn while it was written, is cut off`);
    if (segment === undefined) {
      // Recovery leaves an empty newest segment, which it does not count: one without a header says nothing.
      if (headerDamaged) await this.#remove(name);
    } else if (corruptRanges.length > 0 || headerDamaged) {
      await this.#rewrite(segment, report, segments.lastSequenceOf(segment, lastSequence));
      const what = headerDamaged ? 'its header' : 'what can be read of it';
      this.#done.push(`${name}: ${what} is written anew`);
    } else if (missingBatches > 0) {
      for (const { firstSequence: first, lastSequence: last } of this.#missingAfter(name)) {
        const range = { first, last: last ?? first, batches: (last ?? first) - first + 1 };
        const about = { ...range, reason: 'they are missing', segment: name, pieces: [] };
        const isRemembered = await this.#quarantine.add(about, undefined);
        if (!isRemembered) throw new MillwrightError('storage_failed', 'damage could not be written down');
      }
      this.#done.push(`${name}: the batches missing after it are written down in quarantine/`);
    }
  }

  #missingAfter(name: string): LogReport['missing'] {
    return this.#before.missing.filter(({ segment }) => segment === name);
  }

  /** In the form that old segments have, whose blocks answer for the numbers that are gone. */
  async #rewrite(segment: Segment, report: SegmentReport, lastSequence: number): Promise<void> {
    const { files, folder } = this.#options;
    const { header, bytes } = segment;
    const { oldestAppendedAtMicros, readingsBefore } = report;
    const known = report.headerDamaged
      ? { ...header, createdAtMicros: oldestAppendedAtMicros ?? 0, readingsBefore: readingsBefore ?? 0 }
      : header;
    const rewritten = await rewriteSegment({
      files,
      folder,
      quarantine: this.#quarantine,
      segment: new Segment(known, bytes),
      lastSequence,
      settledThrough: 0,
      thinning: header.thinning,
      how: undefined,
      bytesMax: Number.POSITIVE_INFINITY,
      borders: [],
      onWritten: () => {},
    });
    if (rewritten === undefined) return;
    await files.rename(rewritten.temporary, `${folder}/${segment.name}`);
    await files.syncFolder(folder);
  }

  async #remove(name: string): Promise<void> {
    const { files, folder } = this.#options;
    await files.remove(`${folder}/${name}`);
    await files.syncFolder(folder);
    this.#done.push(`${name}: nothing was in it, and it is removed`);
  }

  async #mendIdentity(identity: LogIdentity, epochs: LogIdentity['epochs']): Promise<void> {
    if (!identity.isDamaged) return;
    await saveIdentity(this.#options, { id: identity.id, gatewayId: this.#options.gatewayId, epochs });
    this.#done.push('log.identity: restored from the segments');
  }

  /** The sink is sent again what it may have had already, and drops that by its identity. */
  async #mendCursors({ id }: LogIdentity, firstSequence: number): Promise<void> {
    const { files, folder, clock } = this.#options;
    for (const { sink, position } of this.#before.cursors) {
      if (position !== null) continue;
      const cursor = { files, folder: cursorsFolder(folder), epoch: id, sink, clock };
      await saveCursor(cursor, { position: firstSequence - 1, islands: [] });
      this.#done.push(`cursor of ${sink}: it begins again at the oldest batch kept, ${firstSequence}`);
    }
  }
}
