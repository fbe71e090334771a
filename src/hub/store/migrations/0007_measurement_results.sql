-- What has been worked out of a measured value: corrected for temperature, with its uncertainty, and judged. A measurement
-- that nobody has worked on has none of it. Lengths are in `unit`; `distrust` is an array of sentences.
alter table measurements
  add column scale_temperature_c double precision,
  add column compensation text,
  add column compensated_value double precision,
  add column correction double precision,
  add column expanded_uncertainty double precision,
  add column uncertainty_contributions jsonb,
  add column verdict text,
  add column decision_rule text,
  add column guard_band double precision,
  add column conformance_probability double precision,
  add column distrust jsonb;
