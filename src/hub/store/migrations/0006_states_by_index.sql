-- A machine's states over months are read from this index alone: the events themselves lie scattered among those of all
-- other machines.
create index events_state_words on events (machine_id, time desc) include (state) where event_type = 'state';
drop index events_states;
