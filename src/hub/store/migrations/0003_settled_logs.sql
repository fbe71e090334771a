-- Identities of batches that are stored: one row for each log of a gateway (each epoch is one), and for each stream whose
-- messages have no identity of their own. Numbers that follow one another are one range by themselves, so a log of
-- millions of batches is one short row, which one statement of a transaction changes.
--
-- Of a log that has many ranges (a thinned log has gaps for ever) all but the newest are moved to `settled_ranges` once a
-- minute: the row that each transaction writes stays short.

create table settled_logs (
  origin text not null check (origin in ('gateway', 'stream')),
  name text not null,
  epoch text not null,
  sequences int8multirange not null,
  primary key (origin, name, epoch)
) with (fillfactor = 50);

insert into settled_logs (origin, name, epoch, sequences)
select 'gateway', gateway_id, epoch, range_agg(sequences) from (
  select gateway_id, epoch, int8range(first_sequence, last_sequence, '[]') as sequences from settled_ranges
  union all
  select gateway_id, epoch, int8range(sequence, sequence, '[]') from settled_batches) as known
group by gateway_id, epoch;

drop table settled_batches;
drop table settled_ranges;

-- Ranges of one log do not overlap, neither here nor with its row above.
create table settled_ranges (
  origin text not null,
  name text not null,
  epoch text not null,
  sequences int8range not null
);
create index settled_ranges_ends on settled_ranges (origin, name, epoch, upper(sequences));
