/** Which faults happen when: all from one seed, so that a run can be repeated. */
import { type Random, seededRandom } from '../../src/base/random.ts';

/** How the edge delivers: to one hub directly, or to a cluster of NATS that two hubs take from. */
export const TRANSPORTS = ['http', 'nats'] as const;
export type Transport = (typeof TRANSPORTS)[number];

interface FaultOfKind {
  /** How long it lasts at most. */
  readonly msMax: number;
  readonly what: string;
}

const ANY_TRANSPORT = {
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
  'network cut': { msMax: 8_000, what: 'edge to its receiver: connections break, new ones are refused' },
  'network silence': { msMax: 9_000, what: 'edge to its receiver: nothing passes; what was sent arrives afterwards' },
  'network delay': { msMax: 8_000, what: 'edge to its receiver: every chunk takes 50 to 1,500 ms' },
  'network reset': { msMax: 2_000, what: 'edge to its receiver: live connections are reset' },
  'slow database': { msMax: 8_000, what: 'hub to database: every chunk takes 50 to 400 ms' },
  'locked table': { msMax: 8_000, what: 'a table that the hub writes to is locked by somebody else' },
  'clock forward': { msMax: 0, what: "the edge's clock jumps, a second to a day" },
  'clock back': { msMax: 0, what: "the edge's clock jumps, a second to a day" },
} as const;

const WITH_NATS = {
  'kill second hub': { msMax: 2_500, what: '`kill -9`, and a new start' },
  'kill NATS node 1': { msMax: 4_000, what: '`kill -9`, and a new start' },
  'kill NATS node 2': { msMax: 4_000, what: '`kill -9`, and a new start' },
  'kill NATS node 3': { msMax: 4_000, what: '`kill -9`, and a new start' },
  'kill all of NATS': { msMax: 3_000, what: '`kill -9` of the three nodes at once, and a new start' },
  'hub partition': { msMax: 9_000, what: 'one hub to NATS: nothing passes, or connections break' },
  'full stream': { msMax: 5_000, what: 'the stream has no room for another message' },
  'stream deleted': { msMax: 2_000, what: 'by an operator, with what no hub has stored yet; a hub creates it again' },
  'consumer deleted': { msMax: 1_000, what: 'by an operator, while hubs hold messages of it; a hub creates it again' },
  'redelivery storm': {
    msMax: 9_000,
    what: 'an ack wait of 1 s, while every chunk to the database takes 0.4 to 1.5 s',
  },
} as const;

export type NatsFaultKind = keyof typeof WITH_NATS;
export type AnyTransportFaultKind = keyof typeof ANY_TRANSPORT;
export type FaultKind = AnyTransportFaultKind | NatsFaultKind;

export const FAULTS: Readonly<Record<FaultKind, FaultOfKind>> = { ...ANY_TRANSPORT, ...WITH_NATS };

/** What can happen to a plant with this transport. */
export function faultKinds(transport: Transport): readonly FaultKind[] {
  const any = Object.keys(ANY_TRANSPORT) as AnyTransportFaultKind[];
  return transport === 'http' ? any : [...any, ...(Object.keys(WITH_NATS) as NatsFaultKind[])];
}

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly durationMs: number;
  /** Of everything else about it. */
  readonly seed: number;
}

/** In one round every kind has its turn, in an order of its own. */
export type Round = readonly PlannedFault[];

export interface PlanOptions {
  readonly seed: number;
  readonly totalMs: number;
  readonly kinds: readonly FaultKind[];
}

/** What a fault has for itself in a round when there is time for several rounds; they overlap all the same. */
const SPACING_MS = 5_300;

/** `atMs` counts from the beginning of the round. */
export function planRounds({ seed, totalMs, kinds }: PlanOptions): Round[] {
  const random = seededRandom(seed);
  const roundMs = kinds.length * SPACING_MS;
  const count = Math.max(1, Math.floor(totalMs / roundMs));
  const spacingMs = totalMs / count / kinds.length;
  // In a short run there is no time for long faults.
  const scale = Math.min(1, (totalMs / roundMs) * 1.5);
  return Array.from({ length: count }, () =>
    shuffled(kinds, random).map((kind, index) => ({
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
