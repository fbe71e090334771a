/**
 * Which messages are in the log and not acknowledged yet, also across crashes (decision 025).
 *
 * Between the append to the log and the broker's knowledge of it a crash can come: the broker then sends the message
 * again, as a duplicate with the same packet id. So each reading carries a mark, `<packet id>-<digest>/<place>`, and what
 * is marked in the log is left out. The broker sends again only what it does not know to be acknowledged, so the newest
 * marks are enough: they are saved every {@link SAVE_INTERVAL_MS}, and those since then are found in the log, from which
 * nothing of that time is deleted.
 *
 * A broker gives a packet id anew once it knows that the message before was acknowledged. So only the newest of each id is
 * remembered, and nothing when the session is a new one: else a machine that says the same again would be taken for one
 * that was heard, by a broker that gives few ids over and over.
 */
import type { Clock } from '../../base/clock.ts';
import { type IncomingMessage, UNACKNOWLEDGED_MAX } from '../../base/mqtt.ts';
import { readSmallFile, saveSmallFile } from '../../base/small-files.ts';
import type { ReadMemory } from '../../ports/driver.ts';

export const SAVE_INTERVAL_MS = 60_000;
export const SAVE_MESSAGES_MAX = 20_000;
/**
 * Messages whose marks are remembered, 200 bytes each. A lost line takes with it the acknowledgments that the broker
 * has not read yet, and while a backlog comes those may be thousands: mosquitto 2.0.11 (Debian 12) sends all it has with
 * the first of them, whatever it was allowed to send.
 */
const REMEMBERED_MAX = SAVE_MESSAGES_MAX;
/** Of these at least so many are saved: more than a broker may have sent without an acknowledgment. */
const SAVED_MIN: number = 2 * UNACKNOWLEDGED_MAX;
/** Marks in the file, of 29 bytes at most each: it has to be small. */
const FILE_MARKS_MAX = 25_000;
const FILE = 'acknowledged';

export class Acknowledgments {
  readonly #memory: ReadMemory;
  /** Of this process and of what was saved, by packet id, oldest first. */
  readonly #messages = new Map<number, Remembered>();
  /** Of single readings, found in the log at the start: a message may be there in part. */
  #readings = new Set<string>();
  #through = 0;
  #isLoaded = false;
  #isHolding = false;
  #sinceSaved = 0;
  #dueMs: number | undefined;

  constructor(memory: ReadMemory) {
    this.#memory = memory;
  }

  get source(): string {
    return this.#memory.source;
  }

  /** @throws storage_failed, or the system's error: try again */
  async load(): Promise<void> {
    if (this.#isLoaded) return;
    const { files, folder } = this.#memory;
    await files.makeFolder(folder);
    const file = await readSmallFile(files, `${folder}/${FILE}`);
    const saved = typeof file === 'string' ? NOTHING : (file as unknown as Saved);
    const found = [...saved.readings];
    for await (const reading of this.#memory.marksAfter(saved.through)) found.push(reading);
    // The last one stays.
    const newest = new Map(found.map((reading) => [packetIdOf(reading), messageMarkOf(reading)]));
    for (const mark of saved.messages) {
      if ((newest.get(packetIdOf(mark)) ?? mark) === mark) this.#messages.set(packetIdOf(mark), { mark, isKept: true });
    }
    this.#readings = new Set(found.filter((one) => newest.get(packetIdOf(one)) === messageMarkOf(one)));
    this.#through = saved.through;
    this.#isLoaded = true;
    // What was found stays held until it is remembered: a second crash must find it as well.
    this.#isHolding = found.length > 0;
    this.#memory.hold(this.#isHolding ? saved.through : null);
  }

  /** The session is a new one: nothing of those before can come again. @throws the system's error: try again */
  async forget(): Promise<void> {
    if (this.#messages.size === 0 && this.#readings.size === 0) return;
    this.#messages.clear();
    this.#readings.clear();
    this.#sinceSaved = 0;
    this.#through = this.#memory.lastSequence();
    await this.#save([]);
  }

  /** The marks that a message's readings are to carry; undefined for one that the log has. */
  marksOf(message: IncomingMessage, readings: number): (string | undefined)[] {
    const mark = markOf(message);
    const newest = this.#messages.get(packetIdOf(mark));
    const isKnown = message.isDuplicate && newest?.mark === mark;
    const mayBeFound = message.isDuplicate && newest === undefined;
    return Array.from({ length: readings }, (_, place) => {
      const own = `${mark}/${place}`;
      return isKnown || (mayBeFound && this.#readings.has(own)) ? undefined : own;
    });
  }

  /** Call before the message's readings are emitted: from then on the log keeps them until they are remembered. */
  begin(message: IncomingMessage): void {
    if (!this.#isHolding) this.#memory.hold(this.#memory.lastSequence());
    this.#isHolding = true;
    this.#remember(markOf(message));
    this.#sinceSaved += 1;
  }

  /** Resolves when the log has these messages, all that were begun so far. */
  async kept(messages: readonly IncomingMessage[]): Promise<void> {
    // What is begun after this comes to lie in later batches.
    const through = this.#memory.lastSequence();
    await this.#memory.kept();
    for (const message of messages) {
      const mark = markOf(message);
      if (this.#messages.get(packetIdOf(mark))?.mark === mark) {
        this.#messages.set(packetIdOf(mark), { mark, isKept: true });
      }
    }
    this.#through = through;
  }

  /** Saves what must be remembered, when it is time; the file is small. */
  async saveWhenDue(clock: Clock): Promise<void> {
    const nowMs = clock.monotonicMs();
    this.#dueMs ??= nowMs + SAVE_INTERVAL_MS;
    if (!this.#isHolding || (nowMs < this.#dueMs && this.#sinceSaved < SAVE_MESSAGES_MAX)) return;
    this.#dueMs = nowMs + SAVE_INTERVAL_MS;
    // What the log has of them may go when they are saved.
    const newest = [...this.#messages.values()].slice(-Math.max(SAVED_MIN, this.#sinceSaved));
    const marks = newest.filter(({ isKept }) => isKept).map(({ mark }) => mark);
    const settled = this.#sinceSaved - (newest.length - marks.length);
    const isOpen = (reading: string): boolean => {
      const message = this.#messages.get(packetIdOf(reading));
      return message === undefined || (message.mark === messageMarkOf(reading) && !message.isKept);
    };
    this.#readings = new Set([...this.#readings].filter(isOpen).slice(-(FILE_MARKS_MAX - marks.length)));
    await this.#save(marks);
    this.#sinceSaved -= settled;
  }

  async #save(messages: readonly string[]): Promise<void> {
    const through = this.#through;
    const value: Saved = { messages, readings: [...this.#readings], through };
    const { files, folder } = this.#memory;
    await saveSmallFile(files, { folder, name: FILE, value: { ...value } });
    this.#isHolding = [...this.#messages.values()].some(({ isKept }) => !isKept);
    this.#memory.hold(this.#isHolding ? through : null);
  }

  #remember(mark: string): void {
    this.#messages.delete(packetIdOf(mark));
    this.#messages.set(packetIdOf(mark), { mark, isKept: false });
    if (this.#messages.size <= REMEMBERED_MAX) return;
    const [oldest = 0] = this.#messages.keys();
    this.#messages.delete(oldest);
  }
}

interface Remembered {
  readonly mark: string;
  /** The log has it, as far as is known. */
  readonly isKept: boolean;
}

interface Saved {
  readonly messages: readonly string[];
  /** Of messages that have not come again yet. */
  readonly readings: readonly string[];
  /** The log's readings of this source up to this batch are of messages that are remembered here, or long acknowledged. */
  readonly through: number;
}

const NOTHING: Saved = { messages: [], readings: [], through: 0 };

/** 64 bits of the message's digest, and its packet id. */
function markOf({ topic, payload, packetId }: IncomingMessage): string {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256').update(topic).update('\0').update(payload);
  return `${packetId}-${hash.digest('hex').slice(0, 16)}`;
}

/** Of the mark of a message or of a reading. */
function packetIdOf(mark: string): number {
  return Number.parseInt(mark, 10);
}

function messageMarkOf(reading: string): string {
  return reading.slice(0, reading.indexOf('/'));
}
