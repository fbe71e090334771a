/**
 * A machine's states over a window, as intervals.
 *
 * From the state events; of a machine that sends none (a publisher without an edge), from the states in its samples, and
 * over a long window from what the roll-ups keep of each minute.
 *
 * Where the window is drawn in a number of points, what is shorter than a point merges: of what begins within one point
 * the state that took longest, and any alarm, which never vanishes. What is longer keeps its very ends.
 */
import type { PoolClient } from 'pg';
import type { StateInterval } from '../../model/api.ts';
import { MACHINE_STATES } from '../../model/signals.ts';
import { microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import type { Span } from './cover.ts';
import type { ReadConnections } from './read-pools.ts';
import type { TimeWindow } from './reader.ts';
import { inSnapshot } from './snapshot.ts';
import { type KnownState, type StateWord, type StateWords, stateWordsOf } from './state-words.ts';

export const STATE_POINTS_MAX = 5_000;
/** Of one machine's states in one answer: the newest. */
const INTERVALS_MAX = 20_000;

export interface StatesRequest extends TimeWindow {
  readonly machineId: string;
  /** The window ends now, so that its last state has no end. */
  readonly openEnd: boolean;
  /** Into how many points the window is drawn; absent: every state, however short. */
  readonly points?: number;
}

export async function readStates(pool: ReadConnections, request: StatesRequest): Promise<StateInterval[]> {
  const { machineId } = request;
  const window: Span = { start: microsOf(request.start), end: microsOf(request.end) };
  const pointMicros = request.points === undefined ? 0 : Math.ceil((window.end - window.start) / request.points);
  return inSnapshot(pool, async (client) => {
    const words = await stateWordsOf(client, { machineId, window, pointMicros });
    const groups = await groupsOf(words, window, pointMicros);
    const reasons = words.areEvents ? await reasonsOf(client, machineId, groups) : new Map<string, string>();
    return intervalsOf(groups, reasons, request);
  });
}

/** One state that is longer than a point, or all that begin within one and are not. */
interface Group {
  /** In µs since 1970. */
  first: number;
  readonly beyond: number;
  /** The alarms among them, from the first to the last. */
  alarm: Span | undefined;
  /** How long each state took. */
  readonly micros: { [state in KnownState]?: number };
  /** Of a state that stands by itself: when it was said, which may be before the window. */
  saidAt: number | undefined;
}

/** Newest first. */
async function groupsOf(words: StateWords, window: Span, pointMicros: number): Promise<Group[]> {
  const groups: Group[] = [];
  let lastPoint: number | undefined;
  const add = ({ micros, state }: StateWord, beyond: number): void => {
    const first = Math.max(micros, window.start);
    // Another word of the same instant took its place.
    if (first === beyond && state !== 'alarm') return;
    const isShort = beyond - first < pointMicros;
    const point = isShort ? Math.floor((first - window.start) / pointMicros) : undefined;
    const last = groups.at(-1);
    if (last === undefined || point === undefined || point !== lastPoint) {
      const alarm = state === 'alarm' ? { start: first, end: beyond } : undefined;
      groups.push({ first, beyond, alarm, micros: { [state]: beyond - first }, saidAt: micros });
    } else {
      last.first = first;
      last.saidAt = undefined;
      if (state === 'alarm') last.alarm = { start: first, end: last.alarm?.end ?? beyond };
      last.micros[state] = (last.micros[state] ?? 0) + beyond - first;
    }
    lastPoint = point;
  };
  let beyond = window.end;
  let newer: StateWord | undefined;
  const addNewer = (): void => {
    if (newer === undefined) return;
    add(newer, beyond);
    beyond = newer.micros;
  };
  for await (const page of words.newestFirst()) {
    for (const word of page) {
      // Words that say the same one after another are one.
      if (newer?.state !== word.state) addNewer();
      newer = word;
    }
    if (groups.length > INTERVALS_MAX) return groups.slice(0, INTERVALS_MAX);
  }
  addNewer();
  return groups;
}

/** What was said with the states that stand by themselves, by when. */
async function reasonsOf(
  client: PoolClient,
  machineId: string,
  groups: readonly Group[],
): Promise<ReadonlyMap<string, string>> {
  const times = groups.flatMap(({ saidAt }) => (saidAt === undefined ? [] : [timestampOf(saidAt)]));
  if (times.length === 0) return new Map();
  const { rows } = await client.query<{ time: Timestamp; state: KnownState; text: string }>(
    `select time, coalesce(state, 'unknown') as state, text from events
      where event_type = 'state' and machine_id = $1 and time = any($2) and time between $3 and $4 and text is not null`,
    [machineId, times, times.at(-1), times[0]],
  );
  return new Map(rows.map(({ time, state, text }) => [reasonKey(microsOf(time), state), text]));
}

function reasonKey(micros: number, state: KnownState): string {
  return `${micros} ${state}`;
}

interface Piece extends Span {
  readonly state: KnownState;
  readonly reason: string | null;
}

function intervalsOf(
  groups: readonly Group[],
  reasons: ReadonlyMap<string, string>,
  { start, end, openEnd }: StatesRequest,
): StateInterval[] {
  const pieces: Piece[] = [];
  for (const piece of groups.toReversed().flatMap((group) => piecesOf(group, reasons))) {
    const last = pieces.at(-1);
    if (last?.state !== piece.state) pieces.push(piece);
  }
  const windowStart = microsOf(start);
  const starts = pieces.map((piece) => (piece.start === windowStart ? start : timestampOf(piece.start)));
  return pieces.flatMap(({ state, reason }, index): StateInterval[] => {
    if (state === 'unknown') return [];
    // Each state lasts until the next one.
    const endTime = starts[index + 1] ?? (openEnd ? null : end);
    return [{ state, start_time: starts[index] ?? start, end_time: endTime, reason }];
  });
}

/** An alarm keeps its ends, the rest is of the state that took longest. */
function piecesOf({ first, beyond, alarm, micros, saidAt }: Group, reasons: ReadonlyMap<string, string>): Piece[] {
  const longest = longestOf(micros);
  const piece = (state: KnownState, start: number, end: number): Piece => {
    const reason = saidAt === undefined ? undefined : reasons.get(reasonKey(saidAt, state));
    return { state, start, end, reason: reason ?? null };
  };
  const alarms = alarm === undefined ? [] : [piece('alarm', alarm.start, alarm.end)];
  if (longest === undefined) return alarms;
  const before = piece(longest, first, alarm?.start ?? beyond);
  const after = piece(longest, alarm?.end ?? beyond, beyond);
  return [...(before.start < before.end ? [before] : []), ...alarms, ...(after.start < after.end ? [after] : [])];
}

/** Of the states but alarm; where two took as long, the one that stands first among the machine states. */
function longestOf(micros: Group['micros']): KnownState | undefined {
  let longest: KnownState | undefined;
  for (const state of KNOWN_STATES) {
    const own = micros[state];
    if (state === 'alarm' || own === undefined) continue;
    if (longest === undefined || own > (micros[longest] ?? 0)) longest = state;
  }
  return longest;
}

const KNOWN_STATES: readonly KnownState[] = [...MACHINE_STATES, 'unknown'];
