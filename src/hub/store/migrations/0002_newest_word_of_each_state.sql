-- machine_current.states: the newest interval of each state, by their ends, the state now last. Only of the state now is
-- `from` exact. A reason is [time, text].
update machine_current set states = (
  select coalesce(jsonb_agg(
    case when jsonb_typeof(run -> 'reason') = 'string'
      then run || jsonb_build_object('reason', jsonb_build_array(run -> 'from', run -> 'reason'))
      else run end
    order by number), '[]')
  from jsonb_array_elements(states) with ordinality as known (run, number));
