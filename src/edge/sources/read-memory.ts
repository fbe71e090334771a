/**
 * What a driver that reads each thing once is told of the log (decision 019): when its readings are in it, which it has
 * after a crash, and that none of them is deleted before the driver remembers it.
 */
import type { Files } from '../../base/files.ts';
import type { DurableLog } from '../../log/log.ts';
import { decodeMessage } from '../../model/frame.ts';
import { READ_FROM_KEY, readFromOf } from '../../model/read-from.ts';
import type { ReadMemory } from '../../ports/driver.ts';

/** Batches that are looked through at once. */
const READ_LIMITS = { batchesMax: 64, bytesMax: 4 * 1024 * 1024 } as const;

/** Which batches may not be deleted yet, by source. */
export class Holds {
  readonly #afterBySource = new Map<string, number>();
  /** The log is opened before it is known which sources there are. */
  #sourcesKnown = false;

  /** Batches after this one are held. */
  get after(): number {
    return this.#sourcesKnown ? Math.min(Infinity, ...this.#afterBySource.values()) : 0;
  }

  set(source: string, after: number | null): void {
    if (after === null) this.#afterBySource.delete(source);
    else this.#afterBySource.set(source, after);
  }

  /** From now on only those hold that have said so. */
  sourcesAreKnown(): void {
    this.#sourcesKnown = true;
  }
}

export interface ReadMemoryParts {
  readonly source: string;
  readonly logFolder: string;
  readonly files: Files;
  readonly log: Pick<DurableLog, 'read' | 'lastSequence'>;
  readonly holds: Holds;
  readonly kept: () => Promise<void>;
}

export function readMemory({ source, logFolder, files, log, holds, kept }: ReadMemoryParts): ReadMemory {
  holds.set(source, 0);
  return {
    source,
    folder: `${logFolder}/sources/${encodeURIComponent(source)}`,
    files,
    lastSequence: () => log.lastSequence,
    kept,
    hold: (after) => holds.set(source, after),
    marksAfter: (sequence) => marksAfter(log, source, sequence),
  };
}

async function* marksAfter(
  log: Pick<DurableLog, 'read' | 'lastSequence'>,
  source: string,
  sequence: number,
): AsyncGenerator<string> {
  const last = log.lastSequence;
  for (let from = sequence + 1; from <= last; ) {
    const batches = await log.read(from, READ_LIMITS);
    if (batches.length === 0) return;
    for (const { sequence: read, payload } of batches) {
      from = read + 1;
      // Most batches are of other sources, and to decode them would take minutes of a long log.
      if (!Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(READ_FROM_KEY)) continue;
      for (const reading of decodeMessage(payload).readings) {
        const found = readFromOf(reading);
        if (found?.source === source) yield found.mark;
      }
    }
  }
}
