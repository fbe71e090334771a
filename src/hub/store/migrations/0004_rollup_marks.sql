-- Minutes of machines with rows that the roll-ups do not know yet. Each transaction that stores readings sets its marks,
-- with a new number each time; the roll-up job works a minute out anew from its rows, and then removes the mark if its
-- number is still the one that it had read.

create sequence rollup_mark_numbers;
create table rollup_marks (
  machine_id text not null,
  minute timestamptz not null,
  mark bigint not null default nextval('rollup_mark_numbers'),
  primary key (machine_id, minute)
) with (fillfactor = 50);
