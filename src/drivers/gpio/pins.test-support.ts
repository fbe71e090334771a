/** Pins in memory: lines that a test sets, with the kernel's rule that a watched line is nobody else's. */
import { MillwrightError } from '../../base/errors.ts';
import type { EdgeTaker, OpenPins, Pins } from './port.ts';

export class MemoryPins {
  /** On the wire, in the order of the settings. */
  readonly levels: boolean[];
  /** Edges that are not told, as when the kernel's buffer is full. */
  isDeaf = false;
  opened = 0;
  looks = 0;
  #taker: EdgeTaker | undefined;

  constructor(...levels: boolean[]) {
    this.levels = levels;
  }

  readonly open: OpenPins = async (): Promise<Pins> => {
    this.opened += 1;
    return {
      levels: async () => {
        if (this.#taker !== undefined) throw new MillwrightError('connection_failed', 'Device or resource busy');
        this.looks += 1;
        return [...this.levels];
      },
      watch: async (taker) => {
        this.#taker = taker;
        return {
          stop: async () => {
            this.#taker = undefined;
          },
        };
      },
    };
  };

  get isWatched(): boolean {
    return this.#taker !== undefined;
  }

  /** @param agoMs how long ago the kernel saw it */
  set(index: number, isHigh: boolean, agoMs: number = 0): void {
    if (this.levels[index] === isHigh) return;
    this.levels[index] = isHigh;
    if (!this.isDeaf) this.#taker?.edge({ index, isHigh, agoMs });
  }

  /** As when gpiomon is killed. */
  end(): void {
    const taker = this.#taker;
    this.#taker = undefined;
    taker?.ended(new MillwrightError('connection_failed', 'gpiomon was ended by SIGKILL'));
  }
}
