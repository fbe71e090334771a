-- The history of one characteristic, and what was inspected of one part. Verdicts are counted from the first index alone.
create index measurements_characteristic on measurements (machine_id, characteristic, time desc) include (verdict);
create index measurements_serial_number on measurements (machine_id, serial_number, time desc)
  where serial_number is not null;

-- The newest measurement's time, never later than the hub's clock then was: which machines are inspected, and that there
-- is something new, is asked for often.
alter table machine_current add column last_measurement timestamptz;
update machine_current set last_measurement = (
  select least(time, now()) from measurements where measurements.machine_id = machine_current.machine_id
  order by time desc limit 1);
