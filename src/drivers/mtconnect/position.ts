/**
 * How far an agent has been read, also across crashes: as strict as decision 019, by the same port.
 *
 * `position` in the source's state folder holds the agent's instanceId, the number of the next observation, what must be
 * known to go on (the newest words, active conditions), and the number of the log's batch up to which all that was
 * emitted is in the log. It is written after the log has the readings. What was emitted since is found in the log by its
 * marks, and until the position is written again `hold` keeps the log from deleting those batches.
 */
import { type Clock, unlessAborted } from '../../base/clock.ts';
import { readSmallFile, saveSmallFile } from '../../base/small-files.ts';
import type { ReadMemory } from '../../ports/driver.ts';
import { FoundMarks } from './marks.ts';
import type { ReaderState } from './reader.ts';

/** How long what was read may be in the log and not in the position. */
export const COMMIT_INTERVAL_MS = 30_000;
/** As {@link COMMIT_INTERVAL_MS}, in readings. */
export const COMMIT_READINGS_MAX = 20_000;

const FILE = 'position';
/** Batches of others that may be appended before it is written down that none of them is of this source. */
const IDLE_BATCHES_MAX = 10_000;
const NOTHING_KNOWN: ReaderState = { isLost: false, words: {}, conditions: [] };

export interface Position {
  readonly instance: string;
  /** Number of the next observation. */
  readonly next: number;
  /** When the newest document was made, by the agent's clock; blank where it did not say it. */
  readonly asOf: string;
  /** What holds before this number is still to be taken from `current`; null: it was. */
  readonly currentBefore: number | null;
}

export class PositionMemory {
  readonly #memory: ReadMemory;
  /** Of which device it is. */
  readonly #device: string;
  #position: Position | undefined;
  #saved = '';
  #savedThrough = 0;
  #found = new FoundMarks();
  #isLoaded = false;
  #isHolding = false;
  #isDamaged = false;
  #readings = 0;
  #dueMs: number | undefined;

  constructor(memory: ReadMemory, device: string) {
    this.#memory = memory;
    this.#device = device;
  }

  /** Undefined: nothing was ever read. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** There was one, and nobody can read it. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  get source(): string {
    return this.#memory.source;
  }

  /**
   * Reads the position, and what the log has beyond it.
   * @returns what to go on from; undefined when it was loaded before
   * @throws the system's error, or storage_failed: try again
   */
  async load(): Promise<{ readonly state: ReaderState; readonly found: FoundMarks } | undefined> {
    if (this.#isLoaded) return undefined;
    const { files, folder } = this.#memory;
    await files.makeFolder(folder);
    const file = await readSmallFile(files, `${folder}/${FILE}`);
    this.#isDamaged = file === 'damaged';
    const saved = typeof file === 'string' ? undefined : (file as unknown as SavedPosition);
    const found = new FoundMarks();
    for await (const mark of this.#memory.marksAfter(saved?.through ?? 0)) found.add(mark);
    this.#isLoaded = true;
    this.#found = found;
    this.#memory.hold(null);
    this.#isHolding = false;
    if (saved === undefined) return { state: NOTHING_KNOWN, found };
    // Another device was configured under this name: what was read of the one before says nothing of it.
    if (saved.device !== this.#device) {
      this.#found = new FoundMarks();
      return { state: NOTHING_KNOWN, found: this.#found };
    }
    this.#position = saved.position;
    // What was found stays held until it is remembered.
    if (found.isAny) this.#hold(saved.through);
    return { state: saved.reader, found };
  }

  /** Call before a reading is emitted: until the next {@link commit} the log keeps what comes. */
  begin(): void {
    this.#readings += 1;
    if (!this.#isHolding) this.#hold(this.#memory.lastSequence());
  }

  /** Whether it is time for a {@link commit}. */
  isDue(clock: Clock): boolean {
    const nowMs = clock.monotonicMs();
    this.#dueMs ??= nowMs + COMMIT_INTERVAL_MS;
    if (nowMs < this.#dueMs && this.#readings < COMMIT_READINGS_MAX) return false;
    this.#dueMs = nowMs + COMMIT_INTERVAL_MS;
    this.#readings = 0;
    return true;
  }

  /** To be remembered with the next {@link commit}. */
  move(position: Position): void {
    this.#position = position;
  }

  /**
   * Resolves when the log has all that was emitted, and the disk how far that is. Nothing may be emitted meanwhile.
   * @returns false when it was aborted before
   * @throws the system's error: all stays as it was
   */
  async commit(reader: ReaderState, signal: AbortSignal): Promise<boolean> {
    if (!(await unlessAborted(this.#memory.kept(), signal))) return false;
    const { files, folder } = this.#memory;
    const position = this.#position;
    // What a crash had left in the log is read again up to its end; before that it must be found there once more.
    if (position === undefined || position.next <= this.#found.newest(position.instance)) return true;
    const through = this.#memory.lastSequence();
    const value: SavedPosition = { device: this.#device, position, reader, through };
    const text = JSON.stringify([position.instance, position.next, position.currentBefore, reader]);
    const isSame = text === this.#saved && through - this.#savedThrough < IDLE_BATCHES_MAX;
    // With nothing emitted and nothing new there is nothing to write.
    if (this.#isHolding || !isSame) {
      await saveSmallFile(files, { folder, name: FILE, value: { ...value } });
      this.#saved = text;
      this.#savedThrough = through;
    }
    this.#isHolding = false;
    this.#memory.hold(null);
    return true;
  }

  #hold(after: number): void {
    this.#isHolding = true;
    this.#memory.hold(after);
  }
}

interface SavedPosition {
  readonly device: string;
  readonly position: Position;
  readonly reader: ReaderState;
  /** The log's readings of this source up to this batch are before the position. */
  readonly through: number;
}
