-- Roll-ups: what charts and reports over long windows read instead of the rows themselves. The roll-up job works out a
-- minute anew from its rows whenever there is a mark on it (`rollup_marks`), and its hour from the minutes.

-- Numeric signals, standard ones and those of `extra`. mean = weighted_sum / weight; the weight of a sample is its
-- `sampling_factor`. min, max, weighted_sum, last and last_at are null where nothing but explicit nulls came.
-- last: of several values of one instant the largest. gone_at: the newest explicit null.
create table rollup_minutes (
  machine_id text not null,
  signal text not null,
  bucket timestamptz not null,
  samples bigint not null,
  weight double precision not null,
  min double precision,
  max double precision,
  weighted_sum double precision,
  last double precision,
  last_at timestamptz,
  gone_at timestamptz,
  primary key (machine_id, signal, bucket)
);
create table rollup_hours (like rollup_minutes including all);

-- Time in each state; 'unknown' is what was said to be unknown. Time of which nothing is known is in no row.
create table state_minutes (
  machine_id text not null,
  bucket timestamptz not null,
  state text not null,
  seconds double precision not null,
  primary key (machine_id, bucket, state)
);
create table state_hours (like state_minutes including all);

-- What a minute's own rows, samples and events, say of the state; `state_minutes` is worked out from these and from their
-- neighbours. From the first row to the last: `carried` is the time before the first word, then the time in each state.
-- state_after: the last word; null where nothing was said of the state.
create table state_parts (
  machine_id text not null,
  minute timestamptz not null,
  readings bigint not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  carried interval not null,
  states text[] not null,
  spans interval[] not null,
  state_after text,
  primary key (machine_id, minute)
);
create index state_parts_words on state_parts (machine_id, minute) where state_after is not null;

-- Retention looks for what is old, of all machines. Rows come in the order of time, so these are a few pages.
create index rollup_minutes_age on rollup_minutes using brin (bucket);
create index rollup_hours_age on rollup_hours using brin (bucket);
create index state_minutes_age on state_minutes using brin (bucket);
create index state_hours_age on state_hours using brin (bucket);
create index state_parts_age on state_parts using brin (minute);

-- Minutes before this may have been removed: their hours are not worked out again. One row, or none.
create table rollup_cut (
  id integer primary key default 1 check (id = 1),
  minutes_before timestamptz not null
);

-- The job works through the marks from the newest minute to the oldest.
create index rollup_marks_minute on rollup_marks (minute, machine_id);

-- Machines with rows from before there were marks: those before `before` have none yet. The roll-up job sets them, hour
-- by hour and newest first, so that a large database does not hold up the start.
create table rollup_backfill (
  machine_id text primary key,
  before timestamptz not null
);
insert into rollup_backfill (machine_id, before) select id, 'infinity' from machines;
