/** Which faults happen when: all from one seed, so that a run can be repeated. */
import { type Random, seededRandom } from '../../src/base/random.ts';

/** Every kind of fault, how long it lasts at most, and what it is. */
export const FAULTS = {
  'kill edge': { msMax: 1_500, what: '`kill -9`, and a new start' },
  'kill hub': { msMax: 2_500, what: '`kill -9`, and a new start' },
  'kill database': { msMax: 2_500, what: '`kill -9` of PostgreSQL and all its children, and a new start' },
  'torn write': {
    msMax: 1_000,
    what: 'edge killed; its newest segment gets the beginning of a record, noise, or zeros',
  },
  'bit flip': { msMax: 1_000, what: 'edge killed with a backlog; one bit of a closed segment is changed' },
  'no space (port)': { msMax: 3_000, what: 'ENOSPC from calls that write; a write may have taken a part' },
  'write error (port)': { msMax: 3_000, what: 'EIO from calls that write, sync, rename or remove' },
  'read error (port)': { msMax: 3_000, what: 'EIO from reads, while the edge reads a backlog from its disk' },
  'disk full': { msMax: 6_000, what: 'a real file system without a free byte' },
  'network cut': { msMax: 8_000, what: 'edge to hub: connections break, new ones are refused' },
  'network silence': { msMax: 9_000, what: 'edge to hub: nothing passes; what was sent arrives afterwards' },
  'network delay': { msMax: 8_000, what: 'edge to hub: every chunk takes 50 to 1,500 ms' },
  'network reset': { msMax: 2_000, what: 'edge to hub: live connections are reset' },
  'slow database': { msMax: 8_000, what: 'hub to database: every chunk takes 50 to 400 ms' },
  'locked table': { msMax: 8_000, what: 'a table that the hub writes to is locked by somebody else' },
  'clock forward': { msMax: 0, what: "the edge's clock jumps, a second to a day" },
  'clock back': { msMax: 0, what: "the edge's clock jumps, a second to a day" },
} as const;

export type FaultKind = keyof typeof FAULTS;
export const FAULT_KINDS = Object.keys(FAULTS) as readonly FaultKind[];

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly durationMs: number;
  /** Of everything else about it. */
  readonly seed: number;
}

/** In one round every kind has its turn, in an order of its own. */
export type Round = readonly PlannedFault[];

/** How long a round takes when there is time for several. */
const ROUND_MS = 90_000;

/** `atMs` counts from the beginning of the round. */
export function planRounds(seed: number, totalMs: number): Round[] {
  const random = seededRandom(seed);
  const count = Math.max(1, Math.floor(totalMs / ROUND_MS));
  const spacingMs = totalMs / count / FAULT_KINDS.length;
  // In a short run there is no time for long faults.
  const scale = Math.min(1, (totalMs / ROUND_MS) * 1.5);
  return Array.from({ length: count }, () =>
    shuffled(FAULT_KINDS, random).map((kind, index) => ({
      kind,
      atMs: Math.round((index + random()) * spacingMs),
      durationMs: Math.round(FAULTS[kind].msMax * scale * (0.1 + 0.9 * random())),
      seed: Math.floor(random() * 2 ** 32),
    })),
  );
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const keyed = items.map((item) => ({ item, key: random() }));
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
}
