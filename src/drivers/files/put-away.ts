/**
 * What becomes of a file once the log has its readings: it stays, is moved or deleted, or goes to the quarantine, as rows of
 * it may do alone.
 */
import { now } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type MachineEvent, TEXT_LENGTH_MAX } from '../../model/reading.ts';
import type { DriverContext } from '../../ports/driver.ts';
import type { Emitter } from './emitter.ts';
import { fileNames, fileState, isSame, makeFolder, moveInto, removeFile, writeFile } from './folder.ts';
import type { FileEntry, FilesMemory } from './memory.ts';
import { type FilesOptions, isGrowing } from './options.ts';
import { type MarkedRow, nameOf } from './reader.ts';
import { Troubles } from './troubles.ts';

/** So much of a mark stands in the name of a file with rows in the quarantine. */
const PLACE_MARK_LENGTH = 6;
/** `item` of the event that tells of a file or rows in the quarantine. */
const QUARANTINE_ITEM = 'quarantine';
/** Of the file beside one in the quarantine that says why. */
const REASON_SUFFIX = '.reason.txt';

export interface BadRow {
  readonly row: MarkedRow;
  readonly reason: string;
}

interface PutAwayParts {
  readonly options: FilesOptions;
  readonly memory: FilesMemory;
  readonly context: DriverContext;
  readonly emitter: Emitter;
}

export class PutAway {
  readonly #parts: PutAwayParts;
  /** Files that could not be moved or deleted. */
  readonly stuck: Troubles;

  constructor(parts: PutAwayParts) {
    this.#parts = parts;
    this.stuck = new Troubles(parts.context);
  }

  destinationOf({ isDone, fault }: FileEntry): 'stays' | 'quarantine' | 'move' | 'delete' {
    const { options } = this.#parts;
    // A file that is written to for ever stays with its writer.
    if (!isDone || isGrowing(options)) return 'stays';
    if (fault !== null) return 'quarantine';
    return options.afterReading === 'leave' ? 'stays' : options.afterReading;
  }

  /** The whole file, once what was read of it is remembered. */
  async file(entry: FileEntry): Promise<void> {
    const { options, memory } = this.#parts;
    const { path, fault } = entry;
    const destination = this.destinationOf(entry);
    if (destination === 'stays') return;
    // It may have been written to since, and is then read again first.
    const state = await fileState(path);
    if (state === undefined || !isSame(state, entry)) return;
    await this.#tryTo(path, async () => {
      if (destination === 'delete') {
        await removeFile(path);
      } else {
        const target = await moveInto(destination === 'move' ? options.readFolder : options.quarantineFolder, path);
        if (fault !== null && target !== undefined) await writeFile(target + REASON_SUFFIX, `${fault}\n`);
      }
      memory.forgetPath(path);
    });
  }

  /**
   * The rows go to a file of their own, which can be put right and dropped into the folder again.
   * @returns false when they could not be written
   */
  async badRows(path: string, bad: readonly BadRow[]): Promise<boolean> {
    const { quarantineFolder } = this.#parts.options;
    const [first] = bad;
    if (first === undefined) return true;
    const name = nameOf(path);
    const dot = name.lastIndexOf('.') > 0 ? name.lastIndexOf('.') : name.length;
    const { header, progress, mark } = first.row;
    // With the mark, so that a file of the same name does not take the place of what is there.
    const place = `row-${progress.rows}.${mark.slice(0, PLACE_MARK_LENGTH)}`;
    const target = `${quarantineFolder}/${name.slice(0, dot)}.${place}${name.slice(dot)}`;
    const lines = [...(header === '' ? [] : [header]), ...bad.map(({ row }) => row.row.text)];
    const reason = reasonsOf(bad);
    const isWritten = await this.#tryTo(path, async () => {
      await makeFolder(quarantineFolder);
      // Rows were read as Latin-1: their bytes come out as they were.
      await writeFile(target, Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
      await writeFile(target + REASON_SUFFIX, `${name}\n${reason}\n`);
    });
    this.tellFault(path, { row: progress.rows, mark: `${mark}/!`, reason });
    return isWritten;
  }

  tellFault(path: string, { row, mark, reason }: { row: number; mark: string; reason: string }): void {
    const { context, options, emitter } = this.#parts;
    // What is no text at all may stand in it.
    const text = `${nameOf(path)}: ${reason}`.slice(0, TEXT_LENGTH_MAX).replaceAll('\0', '').toWellFormed();
    context.log.warn('a file, or rows of it, make no sense and go to the quarantine', { path, reason: text });
    const event: MachineEvent = {
      machine_id: context.machineId,
      timestamp: now(context.clock),
      kind: 'event',
      event_type: 'message',
      item: QUARANTINE_ITEM,
      text,
      details: { folder: options.quarantineFolder },
    };
    emitter.emit(path, event, { row, mark });
  }

  /** What lies there waits for a person, however long ago it came. */
  async lookAtQuarantine(): Promise<void> {
    const { options, context } = this.#parts;
    const names = await fileNames(options.quarantineFolder).catch((): string[] => []);
    const count = names.filter((name) => !name.endsWith(REASON_SUFFIX)).length;
    const files = count === 1 ? '1 file waits' : `${count} files wait`;
    const what = `${files} in ${options.quarantineFolder}, the reasons beside: put right and drop in again, or delete`;
    context.problem(QUARANTINE_ITEM, count === 0 ? null : what);
  }

  /** A folder that cannot be written is a person's work; reading does not wait for it. With a rescan it is tried again. */
  async #tryTo(path: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.stuck.end(path);
      return true;
    } catch (error) {
      if (this.stuck.has(path)) return false;
      const { context } = this.#parts;
      const reason = messageOf(error);
      context.log.error('a file that was read could not be moved, copied or deleted', { path, reason });
      this.stuck.begin(path, `was read, and cannot be moved, copied or deleted: ${reason}`);
      return false;
    }
  }
}

export function reasonsOf(bad: readonly BadRow[]): string {
  return bad.map(({ row, reason }) => `${row.row.place}: ${reason}`).join('\n');
}
