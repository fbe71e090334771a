-- The readings, what is known of machines and edges, and the bookkeeping that stores every batch once.
--
-- The three tables of readings have no unique constraint and nothing refers to their rows, so that they can become
-- hypertables or be partitioned by time.

create table machines (
  id text primary key,
  name text not null,
  location text,
  controller_type text,
  max_spindle_speed_rpm double precision,
  axis_count integer,
  created_at timestamptz not null default now(),
  last_updated timestamptz not null default now()
);

-- `extra` holds what has no column of its own: further signals, gateway_time, clock_quality. A JSON null there, also
-- under the name of a column, says that the signal became unavailable at this instant.
create table sensor_data (
  time timestamptz not null,
  machine_id text not null,
  temperature double precision,
  spindle_speed double precision,
  x_pos_mm double precision,
  y_pos_mm double precision,
  z_pos_mm double precision,
  feed_rate_actual double precision,
  spindle_load_percent double precision,
  machine_state text,
  active_program_line integer,
  total_power_kw double precision,
  extra jsonb
);
create index sensor_data_machine_time on sensor_data (machine_id, time desc);

create table events (
  time timestamptz not null,
  machine_id text not null,
  event_type text not null,
  item text,
  state text,
  previous_state text,
  level text,
  native_code text,
  native_severity text,
  qualifier text,
  text text,
  details jsonb,
  gateway_time timestamptz,
  clock_quality text
);
create index events_machine_time on events (machine_id, time desc);
create index events_states on events (machine_id, time desc) where event_type = 'state';

create table measurements (
  time timestamptz not null,
  machine_id text not null,
  characteristic text not null,
  measured_value double precision not null,
  unit text not null,
  part_id text,
  serial_number text,
  nominal_value double precision,
  lower_limit double precision,
  upper_limit double precision,
  temperature_c double precision,
  details jsonb,
  gateway_time timestamptz,
  clock_quality text
);
create index measurements_machine_time on measurements (machine_id, time desc);

-- Identities of batches that are stored. Contiguous ones are collapsed into `settled_ranges` once a minute.
create table settled_batches (
  gateway_id text not null,
  epoch text not null,
  sequence bigint not null,
  settled_at timestamptz not null default now(),
  primary key (gateway_id, epoch, sequence)
);

-- Both ends belong to the range. Ranges of one epoch neither overlap nor touch.
create table settled_ranges (
  gateway_id text not null,
  epoch text not null,
  first_sequence bigint not null,
  last_sequence bigint not null,
  primary key (gateway_id, epoch, first_sequence),
  check (first_sequence <= last_sequence)
);

-- Idempotency keys of other publishers.
create table settled_keys (
  key text primary key,
  expires_at timestamptz not null
);
create index settled_keys_expiry on settled_keys (expires_at);

create table dead_letters (
  id bigint generated always as identity primary key,
  received_at timestamptz not null default now(),
  gateway_id text,
  epoch text,
  sequence bigint,
  reason text not null,
  bytes bytea not null,
  bytes_length bigint not null
);

-- The newest of everything a machine has said, kept in the transaction that stores it.
-- last_seen: the newest reading's time, never later than the hub's clock then was. signals: {name: [time, value]}. states: the newest intervals of one state, oldest first. conditions: the newest word
-- on each condition. The columns `state` and `state_since` repeat the last of `states`, for people who write SQL.
create table machine_current (
  machine_id text primary key,
  last_seen timestamptz,
  state text,
  state_since timestamptz,
  signals jsonb not null default '{}',
  states jsonb not null default '[]',
  conditions jsonb not null default '[]'
) with (fillfactor = 50);

create table edges (
  gateway_id text primary key,
  status jsonb not null,
  received_at timestamptz not null,
  clock_offset_seconds double precision not null
) with (fillfactor = 50);
