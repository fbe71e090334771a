/**
 * Roll-ups of the machine's state: the time in each, by minute and by hour.
 *
 * The rule: a word on the state holds until the next word, but only while the machine shows signs of life, which are its
 * samples and events of any kind. The time between two of them counts when it is no longer than a minute; over a longer
 * silence nothing is known, but that a machine was offline when its gateway had said so, for up to a week. After a
 * silence the old word holds on: a gateway that loses its machine says so. So a state ends at the last sign of life, and
 * never reaches beyond what has come.
 *
 * What a minute's rows say by themselves is kept in `state_parts`. A late word alters all minutes until the next word, and
 * those are worked out anew from the parts, without another look at the rows.
 *
 *     marked, minute_rows ─▶ PARTS ─▶ state_parts, changed_parts ─▶ RANGES ─▶ state_ranges ─▶ STATE_MINUTES, STATE_HOURS
 */
import { STATE_WORD } from './rollup-minutes.ts';

/** A longer time between two signs of life is silence, of which nothing is known. */
const SILENCE = `interval '60 seconds'`;
/** Longer than this not even "offline" is carried: a clock that was wrong by years would fill all of them. */
const OFFLINE = `interval '7 days'`;

/** Temporary tables of the session, empty again after each transaction. */
export const STATE_TABLES: string = `
  create temporary table if not exists changed_parts (machine_id text, minute timestamptz, is_new_word boolean)
    on commit delete rows;
  create temporary table if not exists state_ranges (machine_id text, first timestamptz, last timestamptz)
    on commit delete rows`;

/**
 * Of a minute with one state only, which is nearly all, the rows are not looked at again. Between two words of one
 * instant, an event is the later, and of equals the one that is later in the alphabet.
 * Parameters: the first and the last minute of `marked`.
 */
export const PARTS: string = `
  with facts as (
    select marked.machine_id, marked.minute, coalesce(minute_rows.readings, 0) + event.readings as readings,
      least(minute_rows.first_at, event.first_at) as first_at, greatest(minute_rows.last_at, event.last_at) as last_at,
      state_first_at, state_least, state_least is distinct from state_greatest or event.words > 0 as is_mixed
    from marked
    left join minute_rows on minute_rows.machine_id = marked.machine_id and minute_rows.minute = marked.minute
    cross join lateral (
      select count(*) as readings, min(time) as first_at, max(time) as last_at,
        count(*) filter (where event_type = 'state') as words
      from events
      where machine_id = marked.machine_id and time >= marked.minute and time < marked.minute + interval '1 minute'
        and time >= $1 and time < $2::timestamptz + interval '1 minute'
    ) as event
  ), words as (
    select machine_id, minute, facts.last_at, word.* from facts cross join lateral (
      select time, 1 as source, ${STATE_WORD} as state from sensor_data
      where machine_id = facts.machine_id and time >= minute and time < minute + interval '1 minute'
        and time >= $1 and time < $2::timestamptz + interval '1 minute' and ${STATE_WORD} is not null
      union all
      select time, 2, coalesce(state, 'unknown') from events
      where machine_id = facts.machine_id and time >= minute and time < minute + interval '1 minute'
        and time >= $1 and time < $2::timestamptz + interval '1 minute' and event_type = 'state'
    ) as word
    where is_mixed
  ), spans as (
    select machine_id, minute, time, state,
      lead(time, 1, last_at) over in_order - time as span, row_number() over in_order as number
    from words
    window in_order as (partition by machine_id, minute order by time, source, state collate "C")
  ), mixed as (
    select machine_id, minute, min(first_at) as word_at, array_agg(state) as states, array_agg(span) as spans,
      (array_agg(state order by last_number desc))[1] as state_after
    from (
      select machine_id, minute, state, min(time) as first_at, sum(span) as span, max(number) as last_number
      from spans group by machine_id, minute, state) as by_state
    group by machine_id, minute
  ), parts as (
    select machine_id, minute, readings, first_at, last_at,
      coalesce(mixed.word_at, state_first_at, last_at) - first_at as carried,
      case when is_mixed then mixed.states when state_least is null then '{}' else array[state_least] end as states,
      case when is_mixed then mixed.spans when state_least is null then '{}' else array[last_at - state_first_at] end
        as spans,
      case when is_mixed then mixed.state_after else state_least end as state_after
    from facts left join mixed using (machine_id, minute)
    where readings > 0
  ), stored as (
    insert into state_parts as part
      (machine_id, minute, readings, first_at, last_at, carried, states, spans, state_after)
    select machine_id, minute, readings, first_at, last_at, carried, states, spans, state_after from parts
    order by machine_id, minute
    on conflict (machine_id, minute) do update
      set readings = excluded.readings, first_at = excluded.first_at, last_at = excluded.last_at,
        carried = excluded.carried, states = excluded.states, spans = excluded.spans,
        state_after = excluded.state_after
      -- Where rows have been removed, what is left does not replace what knew more.
      where excluded.readings > part.readings or (excluded.readings = part.readings
        and excluded.first_at = part.first_at and excluded.last_at = part.last_at)
    returning machine_id, minute, state_after
  )
  insert into changed_parts
  -- What is found here under the same key is the row as it was before.
  select stored.machine_id, stored.minute, stored.state_after is distinct from before.state_after
  from stored left join state_parts as before using (machine_id, minute)`;

/**
 * The minutes to be worked out anew: from the part before a changed one to the part after it; where its last word is
 * another than before, to the next word. Ranges of one machine do not overlap.
 */
export const RANGES: string = `
  insert into state_ranges
  select machine_id, lower(minutes), upper(minutes) from (
    select machine_id, unnest(range_agg(tstzrange(coalesce(earlier.minute, changed.minute), later.minute, '[]'))) as minutes
    from changed_parts as changed
    left join lateral (
      select minute from state_parts
      where machine_id = changed.machine_id and minute < changed.minute order by minute desc limit 1
    ) as earlier on true
    cross join lateral (
      select coalesce(
        case when is_new_word
          then (select minute from state_parts where machine_id = changed.machine_id and minute > changed.minute
            and state_after is not null order by minute limit 1)
          else (select minute from state_parts where machine_id = changed.machine_id and minute > changed.minute
            order by minute limit 1) end,
        (select minute from state_parts where machine_id = changed.machine_id order by minute desc limit 1)) as minute
    ) as later
    group by machine_id
  ) as range`;

/** The time within a part counts by its own words; the time from a part to the next one by the last word. */
export const STATE_MINUTES: string = `
  with parts as (
    select state_ranges.machine_id, first, last, minute, first_at, last_at, carried, states, spans, (
        select state_after from state_parts as before
        where before.machine_id = state_ranges.machine_id and before.minute < part.minute and state_after is not null
        order by before.minute desc limit 1) as state_before, state_after
    from state_ranges cross join lateral (
      (select * from state_parts
        where machine_id = state_ranges.machine_id and minute < first order by minute desc limit 1)
      union all
      (select * from state_parts where machine_id = state_ranges.machine_id and minute between first and last)
      union all
      (select * from state_parts where machine_id = state_ranges.machine_id and minute > last order by minute limit 1)
    ) as part
  ), links as (
    select machine_id, first, last, coalesce(state_after, state_before) as state, last_at as start_at,
      lead(first_at) over (partition by machine_id, first order by minute) as end_at
    from parts
  ), pieces as (
    select machine_id, first, last, minute, state_before as state, carried as span from parts
    union all
    select machine_id, first, last, minute, said.* from parts cross join lateral unnest(states, spans) as said
    union all
    select machine_id, first, last, minute, state,
      least(end_at, minute + interval '1 minute') - greatest(start_at, minute)
    from links
    cross join lateral generate_series(
      greatest(first, date_trunc('minute', start_at)), least(last, end_at), interval '1 minute') as minute
    where end_at - start_at <= case state when 'offline' then ${OFFLINE} else ${SILENCE} end
  ), found as materialized (
    select machine_id, minute, state, extract(epoch from sum(span))::double precision as seconds
    from pieces
    where state is not null and minute between first and last
    group by machine_id, minute, state
    having sum(span) > interval '0'
  ), gone as (
    delete from state_minutes as known using state_ranges
    where known.machine_id = state_ranges.machine_id and known.bucket between first and last and not exists (
      select from found
      where found.machine_id = known.machine_id and found.minute = known.bucket and found.state = known.state)
  )
  insert into state_minutes as known (machine_id, bucket, state, seconds)
  select machine_id, minute, state, seconds from found order by machine_id, minute, state
  on conflict (machine_id, bucket, state) do update
    set seconds = excluded.seconds where known.seconds <> excluded.seconds`;

/** Rounded to the microsecond, so that the order of the sum does not show. */
export const STATE_HOURS: string = `
  with hours as (
    select distinct machine_id, hour from state_ranges
    cross join lateral generate_series(date_trunc('hour', first), last, interval '1 hour') as hour
    where not exists (select from rollup_cut where hour < minutes_before)
  ), found as materialized (
    select machine_id, hour, state, round(sum(seconds)::numeric, 6)::double precision as seconds
    from hours cross join lateral (
      select state, seconds from state_minutes
      where machine_id = hours.machine_id and bucket >= hour and bucket < hour + interval '1 hour') as minutes
    group by machine_id, hour, state
  ), gone as (
    delete from state_hours as known using hours
    where known.machine_id = hours.machine_id and known.bucket = hours.hour and not exists (
      select from found
      where found.machine_id = known.machine_id and found.hour = known.bucket and found.state = known.state)
  )
  insert into state_hours as known (machine_id, bucket, state, seconds)
  select machine_id, hour, state, seconds from found order by machine_id, hour, state
  on conflict (machine_id, bucket, state) do update
    set seconds = excluded.seconds where known.seconds <> excluded.seconds`;
