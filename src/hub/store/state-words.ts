/** What is said of a machine's state: by its events, its samples, or what the roll-ups keep of each minute. */
import type { PoolClient } from 'pg';
import type { MachineState } from '../../model/signals.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';
import { coverOf, type Span } from './cover.ts';
import { STATE_WORD } from './rollup-minutes.ts';
import { unsettledMinutes } from './snapshot.ts';

/** `unknown` is what was said to be. */
export type KnownState = MachineState | 'unknown';

export interface StateWord {
  /** Since 1970, in µs. */
  readonly micros: number;
  readonly state: KnownState;
}

export interface StateWords {
  readonly areEvents: boolean;
  /**
   * From the newest before the end of the window to the one that holds at its start, in pages: a window may hold more than
   * the hub should have in its memory. Of words of one instant the last is the one later in the alphabet, as in the
   * roll-ups: rows have no order of arrival.
   */
  newestFirst(): AsyncGenerator<readonly StateWord[]>;
}

export interface WordsRequest {
  readonly machineId: string;
  readonly window: Span;
  /** Less than this does not show. */
  readonly pointMicros: number;
}

const PAGE_WORDS = 5_000;
/** A point as long as this does not show the order of the words within a minute any more. */
const COARSE_MICROS = 10e6;

/** The client is in a transaction, to whose end the words can be read. */
export async function stateWordsOf(client: PoolClient, request: WordsRequest): Promise<StateWords> {
  const { machineId, window, pointMicros } = request;
  const common = [machineId, timestampOf(window.start), timestampOf(window.end)];
  const wordsOf = (source: Source, values: readonly unknown[] = []): StateWords => ({
    areEvents: source === EVENTS,
    newestFirst: () => newestFirst(client, source, { common, values }),
  });
  const { rows: known } = await client.query<{ by_events: boolean; by_samples: boolean }>(
    `select exists (select from events where event_type = 'state' and machine_id = $1 and time < $2) as by_events,
      coalesce((select states <> '[]' from machine_current where machine_id = $1), true) as by_samples`,
    [machineId, timestampOf(window.end)],
  );
  if (known[0]?.by_events === true) return wordsOf(EVENTS);
  // All rows of a machine that never tells its state would be looked through for one that does.
  if (known[0]?.by_samples !== true) return { areEvents: false, async *newestFirst() {} };
  if (pointMicros < COARSE_MICROS) return wordsOf(SAMPLES);
  const { minutes, rows } = coverOf(window, await unsettledMinutes(client, machineId, window), 'minutes');
  return wordsOf(MINUTES, [...timesOf(minutes), ...timesOf(rows)]);
}

function timesOf(spans: readonly Span[]): Timestamp[][] {
  return [spans.map((span) => timestampOf(span.start)), spans.map((span) => timestampOf(span.end))];
}

/** `$1` is the machine, `$2` the start of the window, `$3` its end; `within` may have more values. */
interface Source {
  readonly within: string;
  readonly before: string;
}

type Row = readonly [epoch: number, state: KnownState | null];

async function* newestFirst(
  client: PoolClient,
  { within, before }: Source,
  { common, values }: { common: readonly unknown[]; values: readonly unknown[] },
): AsyncGenerator<readonly StateWord[]> {
  await client.query(`declare state_words no scroll cursor for ${within}`, [...common, ...values]);
  for (let isAll = false; !isAll; ) {
    const { rows } = await client.query<[...Row]>({
      rowMode: 'array',
      text: `fetch ${PAGE_WORDS} from state_words`,
    });
    yield rows.map(wordOf);
    isAll = rows.length < PAGE_WORDS;
  }
  const { rows } = await client.query<[...Row]>({ rowMode: 'array', text: before, values: common.slice(0, 2) });
  yield rows.map(wordOf);
}

/** A double holds the microseconds of this epoch's seconds, and is read far quicker than a timestamp. */
function wordOf([epoch, state]: Row): StateWord {
  return { micros: Math.round(epoch * 1e6), state: state ?? 'unknown' };
}

const IN_ALPHABET = `coalesce(state, 'unknown') collate "C"`;

const OF_EVENTS = `from events where event_type = 'state' and machine_id = $1`;
const EVENTS: Source = {
  within: `
    select date_part('epoch', time), state ${OF_EVENTS} and time > $2 and time < $3
    order by time desc, ${IN_ALPHABET} desc`,
  before: `
    select date_part('epoch', time), state ${OF_EVENTS} and time <= $2
    order by time desc, ${IN_ALPHABET} desc limit 1`,
};

/** Most samples say what the one before has said. */
const OF_SAMPLES = `from sensor_data where machine_id = $1 and ${STATE_WORD} is not null`;
const SAMPLES: Source = {
  within: `
    select date_part('epoch', time), state from (
      select time, state, lag(state) over (order by time, state) as state_before
      from (select time, ${STATE_WORD} collate "C" as state ${OF_SAMPLES} and time > $2 and time < $3) as word
    ) as word
    where state is distinct from state_before
    order by time desc, state desc`,
  before: `
    select date_part('epoch', time), ${STATE_WORD} ${OF_SAMPLES} and time <= $2
    order by time desc, ${STATE_WORD} collate "C" desc limit 1`,
};

/**
 * Of a minute with several states their order is not known, but what was before it and what after; in between they stand
 * as long as they took.
 */
const MINUTES: Source = {
  within: `
    select date_part('epoch', time), state from (
      select word.* from unnest($6::timestamptz[], $7::timestamptz[]) as span (first, beyond)
      cross join lateral (
        select time, ${STATE_WORD} as state ${OF_SAMPLES} and time >= first and time < beyond and time > $2 and time < $3
        offset 0) as word
      union all
      select first_at + carried + coalesce(sum(span) over (
          partition by minute order by place rows between unbounded preceding and 1 preceding), interval '0'), state
      from (
        select part.*, item.state, item.span,
          case item.state when state_after then 2 when state_before then 0 else 1 end as place
        from (
          select *, lag(state_after) over (order by minute) as state_before
          from unnest($4::timestamptz[], $5::timestamptz[]) as span (first, beyond)
          cross join lateral (
            select * from state_parts
            where machine_id = $1 and minute >= first and minute < beyond and state_after is not null
            offset 0) as part
        ) as part
        cross join lateral unnest(states, spans) as item (state, span)
      ) as item
    ) as word
    order by time desc, state collate "C" desc`,
  before: SAMPLES.before,
};
