/**
 * Tells the live streams what was committed.
 *
 * Whoever learns of a commit publishes here: this process's ingestor, and, where several hubs share a database, whatever
 * listens to the others.
 */
import type { Committed } from '../ingest/ingestor.ts';

export interface LiveSubscriber {
  /** Called at once after each commit, in the order of commits; must not block and must not throw. */
  committed(committed: Committed): void;
}

export class LiveBus {
  readonly #subscribers: Set<LiveSubscriber> = new Set();
  /** How many watch each machine. */
  readonly #watched: Map<string, number> = new Map();

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** Whether samples of that machine are worth carrying to {@link publish}. */
  isWatched(machineId: string): boolean {
    return this.#watched.has(machineId);
  }

  publish(committed: Committed): void {
    for (const subscriber of this.#subscribers) subscriber.committed(committed);
  }

  /** Until the returned function is called. */
  subscribe(subscriber: LiveSubscriber, watchedMachine?: string): () => void {
    this.#subscribers.add(subscriber);
    if (watchedMachine !== undefined) this.#watched.set(watchedMachine, (this.#watched.get(watchedMachine) ?? 0) + 1);
    return () => {
      if (!this.#subscribers.delete(subscriber) || watchedMachine === undefined) return;
      const others = (this.#watched.get(watchedMachine) ?? 1) - 1;
      if (others === 0) this.#watched.delete(watchedMachine);
      else this.#watched.set(watchedMachine, others);
    };
  }
}
