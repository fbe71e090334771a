/**
 * What was told of the edge while the historian did not take it: so that afterwards it shows how the buffers grew, too.
 * Where it becomes too much, every second moment goes, and from then on every second one is kept, and so on: an outage
 * of any length is there from its beginning to its end, the longer the coarser. In memory: a restart forgets it. Pure.
 */

/** A moment of an edge with three sinks takes 2.8 kB. */
export const MOMENTS_MAX = 512;

export class StatusMemory<Moment> {
  #moments: Moment[] = [];
  /** One of so many that are added is kept. */
  #every = 1;
  #skipped = 0;

  add(moment: Moment): void {
    this.#skipped += 1;
    if (this.#skipped < this.#every) return;
    this.#skipped = 0;
    this.#moments.push(moment);
    if (this.#moments.length < MOMENTS_MAX) return;
    this.#moments = this.#moments.filter((_, index) => index % 2 === 0);
    this.#every *= 2;
  }

  /** The oldest ones; {@link remove} them when they are written. */
  first(count: number): readonly Moment[] {
    return this.#moments.slice(0, count);
  }

  remove(count: number): void {
    this.#moments.splice(0, count);
    if (this.#moments.length > 0) return;
    this.#every = 1;
    this.#skipped = 0;
  }
}
