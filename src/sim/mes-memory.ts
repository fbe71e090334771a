/**
 * What the stand-in MES has got: accepted values in the order of arrival, and how each key was answered. All of it is in
 * memory, within limits; with a file it is still known after a restart.
 *
 * The file has a line of JSON for each key that was answered: `{"key", "received_at", "body"}` of an accepted value,
 * `{"refused"}` with the key of a refused one. Above them may stand `{"earlier"}`: how many values by machine were
 * forgotten because there were too many. A line is written before the answer, and no write waits for the disk: a stand-in
 * that is killed loses nothing, one whose machine loses power the newest seconds.
 */
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MillwrightError } from '../base/errors.ts';
import { isSystemError } from '../base/node-files.ts';

/** One accepted value. */
export interface Received {
  /** Null where it came without one. */
  readonly key: string | null;
  readonly received_at: string;
  readonly body: { readonly [field: string]: unknown };
}

interface Refused {
  readonly refused: string;
}

interface Earlier {
  readonly earlier: { readonly [machineId: string]: number };
}

type Line = Received | Refused | Earlier;

/** Values that are remembered, up to twice as many; of older ones only the count. At one in five seconds, a day and more. */
export const RECEIVED_MAX = 25_000;
export const KEYS_MAX = 100_000;

export class MesMemory {
  readonly #file: string | null;
  #received: Received[] = [];
  #count = 0;
  readonly #byMachine = new Map<string, number>();
  readonly #answered = new Map<string, 'accepted' | 'refused'>();

  constructor(file: string | null) {
    this.#file = file;
  }

  /** Reads the file, where there is one. @throws storage_failed */
  open(): void {
    if (this.#file === null) return;
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true });
      const lines = textOf(this.#file)
        .split('\n')
        .filter((line) => line !== '');
      for (const line of lines) this.#take(line);
      // Without what makes no sense, such as the half of a line that was being written, and no longer than its limit.
      this.#rewrite();
    } catch (cause) {
      throw new MillwrightError('storage_failed', `the file ${this.#file} cannot be used`, { cause });
    }
  }

  /** Accepted, each once. */
  get count(): number {
    return this.#count;
  }

  get byMachine(): { readonly [machineId: string]: number } {
    return Object.fromEntries(this.#byMachine);
  }

  get received(): readonly Received[] {
    return this.#received;
  }

  /** How the value with this key was answered; undefined: not yet. */
  answerTo(key: string): 'accepted' | 'refused' | undefined {
    return this.#answered.get(key);
  }

  accept(value: Received): void {
    this.#write(value);
    this.#accepted(value);
    if (this.#received.length <= 2 * RECEIVED_MAX) return;
    this.#received = this.#received.slice(-RECEIVED_MAX);
    this.#rewrite();
  }

  refuse(key: string): void {
    this.#write({ refused: key });
    this.#remember(key, 'refused');
  }

  #accepted(value: Received): void {
    if (value.key !== null) this.#remember(value.key, 'accepted');
    this.#add(String(value.body['machine_id']), 1);
    this.#received.push(value);
  }

  #add(machineId: string, count: number): void {
    this.#count += count;
    this.#byMachine.set(machineId, (this.#byMachine.get(machineId) ?? 0) + count);
  }

  #remember(key: string, answer: 'accepted' | 'refused'): void {
    this.#answered.set(key, answer);
    if (this.#answered.size <= KEYS_MAX) return;
    const [oldest = ''] = this.#answered.keys();
    this.#answered.delete(oldest);
  }

  /** What makes no sense is passed over. */
  #take(text: string): void {
    let line: unknown;
    try {
      line = JSON.parse(text);
    } catch {
      return;
    }
    if (isReceived(line)) this.#accepted(line);
    else if (isEarlier(line))
      for (const [machineId, count] of Object.entries(line.earlier)) this.#add(machineId, count);
    else if (isRefused(line)) this.#remember(line.refused, 'refused');
  }

  #write(line: Line): void {
    if (this.#file !== null) appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  #rewrite(): void {
    if (this.#file === null) return;
    const kept = this.#received.slice(-RECEIVED_MAX);
    const earlier = new Map(this.#byMachine);
    for (const { body } of kept) {
      const machineId = String(body['machine_id']);
      earlier.set(machineId, (earlier.get(machineId) ?? 0) - 1);
    }
    const refused = [...this.#answered].filter(([, answer]) => answer === 'refused');
    const lines: Line[] = [
      { earlier: Object.fromEntries([...earlier].filter(([, count]) => count > 0)) },
      ...refused.map(([key]) => ({ refused: key })),
      ...kept,
    ];
    writeFileSync(`${this.#file}.new`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return '';
    throw error;
  }
}

function isReceived(line: unknown): line is Received {
  if (!isObject(line) || !isObject(line['body'])) return false;
  const { key, received_at } = line;
  return (key === null || typeof key === 'string') && typeof received_at === 'string';
}

function isRefused(line: unknown): line is Refused {
  return isObject(line) && typeof line['refused'] === 'string';
}

function isEarlier(line: unknown): line is Earlier {
  if (!isObject(line) || !isObject(line['earlier'])) return false;
  return Object.values(line['earlier']).every((count) => typeof count === 'number');
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null;
}
