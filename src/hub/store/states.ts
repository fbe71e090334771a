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
import { MACHINE_STATES, type MachineState } from '../../model/signals.ts';
import { isAtLeast, microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import { coverOf, type Span } from './cover.ts';
import type { ReadConnections } from './read-pools.ts';
import type { TimeWindow } from './reader.ts';
import { STATE_WORD } from './rollup-minutes.ts';
import { inSnapshot, unsettledMinutes } from './snapshot.ts';

export const STATE_POINTS_MAX = 5_000;
/** Of one machine's states in one answer: the newest. */
const INTERVALS_MAX = 20_000;
/** A point as long as this does not show the order of the words within a minute any more. */
const COARSE_MICROS = 10e6;

export interface StatesRequest extends TimeWindow {
  readonly machineId: string;
  /** The window ends now, so that its last state has no end. */
  readonly openEnd: boolean;
  /** Into how many points the window is drawn; absent: every state, however short. */
  readonly points?: number;
}

export async function readStates(pool: ReadConnections, request: StatesRequest): Promise<StateInterval[]> {
  const window: Span = { start: microsOf(request.start), end: microsOf(request.end) };
  const pointMicros = request.points === undefined ? 0 : Math.ceil((window.end - window.start) / request.points);
  const groups = await inSnapshot(pool, async (client) => {
    const { words, values } = await wordsOf(client, request, window, pointMicros);
    const common = [request.machineId, request.start, request.end, `${pointMicros} microseconds`];
    return (await client.query<Group>(statement(words), [...common, ...values])).rows;
  });
  const pieces: Piece[] = [];
  for (const piece of groups.toReversed().flatMap(piecesOf)) {
    const last = pieces.at(-1);
    if (last?.state === piece.state) last.end = piece.end;
    else pieces.push(piece);
  }
  const end = timestampOf(window.end);
  return pieces.flatMap(({ state, start, end: beyond, text }): StateInterval[] => {
    if (state === 'unknown') return [];
    return [
      {
        state,
        start_time: isAtLeast(request.start, start) ? request.start : start,
        end_time: beyond !== end ? beyond : request.openEnd ? null : request.end,
        reason: text,
      },
    ];
  });
}

/** A state that is longer than a point, or all that begin within one and are not. */
interface Group {
  readonly first: Timestamp;
  readonly beyond: Timestamp;
  readonly alarm_first: Timestamp | null;
  readonly alarm_beyond: Timestamp | null;
  /** `unknown` is what was said to be. */
  readonly seconds: { readonly [state in KnownState]: number | null };
  readonly text: string | null;
}

type KnownState = MachineState | 'unknown';

interface Piece {
  readonly state: KnownState;
  readonly start: Timestamp;
  end: Timestamp;
  readonly text: string | null;
}

/** An alarm keeps its ends, the rest is of the state that took longest. */
function piecesOf({ first, beyond, alarm_first, alarm_beyond, seconds, text }: Group): Piece[] {
  const alarm: Piece[] =
    alarm_first === null || alarm_beyond === null
      ? []
      : [{ state: 'alarm', start: alarm_first, end: alarm_beyond, text }];
  let longest: KnownState | undefined;
  for (const state of KNOWN_STATES) {
    const own = seconds[state];
    if (state === 'alarm' || own === null) continue;
    if (longest === undefined || own > (seconds[longest] ?? 0)) longest = state;
  }
  if (longest === undefined) return alarm;
  const [from, to] = [alarm_first ?? beyond, alarm_beyond ?? beyond];
  const pieces: Piece[] = [{ state: longest, start: first, end: from, text }, ...alarm];
  pieces.push({ state: longest, start: to, end: beyond, text });
  return pieces.filter((piece) => piece.start < piece.end || piece.state === 'alarm');
}

const KNOWN_STATES: readonly KnownState[] = [...MACHINE_STATES, 'unknown'];

/** The words on the state, and the values of the parameters that follow machine, start, end and the length of a point. */
interface Words {
  readonly words: string;
  readonly values: readonly unknown[];
}

async function wordsOf(
  client: PoolClient,
  { machineId, end }: StatesRequest,
  window: Span,
  pointMicros: number,
): Promise<Words> {
  const { rows: known } = await client.query<{ by_events: boolean; by_samples: boolean }>(
    `select exists (select from events where event_type = 'state' and machine_id = $1 and time < $2) as by_events,
      coalesce((select states <> '[]' from machine_current where machine_id = $1), true) as by_samples`,
    [machineId, end],
  );
  if (known[0]?.by_events === true) return { words: EVENT_WORDS, values: [] };
  // All rows of a machine that never tells its state would be looked through for one that does.
  if (known[0]?.by_samples !== true) return { words: NO_WORDS, values: [] };
  if (pointMicros < COARSE_MICROS) return { words: SAMPLE_WORDS, values: [] };
  const { minutes, rows } = coverOf(window, await unsettledMinutes(client, machineId, window), 'minutes');
  const times = [minutes, rows].flatMap((spans) => [
    spans.map((span) => timestampOf(span.start)),
    spans.map((span) => timestampOf(span.end)),
  ]);
  return { words: MINUTE_WORDS, values: times };
}

/** Of words of one instant the last is the one later in the alphabet, as in the roll-ups: rows have no order of arrival. */
const IN_ALPHABET = `coalesce(state, 'unknown') collate "C"`;

/** The reason is looked up when it is known which of the words are shown. */
const EVENT_WORDS = `
  (select time, state, true as is_event from events
    where event_type = 'state' and machine_id = $1 and time <= $2
    order by time desc, ${IN_ALPHABET} desc limit 1)
  union all
  select time, state, true from events where event_type = 'state' and machine_id = $1 and time > $2 and time < $3`;

const NO_WORDS = `select null::timestamptz as time, null::text as state, false as is_event where false`;

const NEWEST_SAMPLE_WORD = `
  (select time, ${STATE_WORD} as state, false as is_event from sensor_data
    where machine_id = $1 and time <= $2 and ${STATE_WORD} is not null
    order by time desc, ${STATE_WORD} collate "C" desc limit 1)`;

const SAMPLE_WORDS = `${NEWEST_SAMPLE_WORD}
  union all
  select time, ${STATE_WORD}, false from sensor_data
  where machine_id = $1 and time > $2 and time < $3 and ${STATE_WORD} is not null`;

/**
 * Of a minute with several states their order is not known, but what was before it and what after; in between they stand
 * as long as they took.
 */
const MINUTE_WORDS = `${NEWEST_SAMPLE_WORD}
  union all
  (select word.*, false from unnest($7::timestamptz[], $8::timestamptz[]) as span (first, beyond)
    cross join lateral (
      select time, ${STATE_WORD} from sensor_data
      where machine_id = $1 and time >= first and time < beyond and time >= $2 and time < $3 and ${STATE_WORD} is not null
      offset 0) as word)
  union all
  (select first_at + carried + coalesce(sum(span) over (
      partition by minute order by place rows between unbounded preceding and 1 preceding), interval '0'), state, false
    from (
      select part.*, item.state, item.span,
        case item.state when state_after then 2 when state_before then 0 else 1 end as place
      from (
        select *, lag(state_after) over (order by minute) as state_before
        from unnest($5::timestamptz[], $6::timestamptz[]) as span (first, beyond)
        cross join lateral (
          select * from state_parts
          where machine_id = $1 and minute >= first and minute < beyond and state_after is not null
          offset 0) as part
      ) as part
      cross join lateral unnest(states, spans) as item (state, span)
    ) as item)`;

function statement(words: string): string {
  const seconds = KNOWN_STATES.map(
    (state) => `'${state}', date_part('epoch', sum(beyond - first) filter (where state = '${state}'))`,
  );
  return `
    with words as (${words}
    ), changes as (
      select time, state, is_event from (
        select time, coalesce(state, 'unknown') as state, is_event,
          lag(coalesce(state, 'unknown')) over (order by time, ${IN_ALPHABET}) as state_before
        from words) as word
      where state is distinct from state_before
    ), intervals as (
      select time, greatest(time, $2) as first, lead(time, 1, $3::timestamptz) over (order by time, ${IN_ALPHABET}) as beyond,
        state, is_event
      from changes
    )
    select min(first) as first, max(beyond) as beyond,
      min(first) filter (where state = 'alarm') as alarm_first, max(beyond) filter (where state = 'alarm') as alarm_beyond,
      json_build_object(${seconds.join(', ')}) as seconds,
      case when count(*) = 1 and bool_and(is_event) then (
        select text from events where event_type = 'state' and machine_id = $1 and time = min(intervals.time) limit 1
      ) end as text
    from intervals
    group by case when beyond - first < $4::interval then date_bin($4::interval, first, $2::timestamptz) else first end,
      beyond - first < $4::interval
    order by 1 desc limit ${INTERVALS_MAX}`;
}
