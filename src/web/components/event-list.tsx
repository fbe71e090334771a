/** A machine's newest events, live, to be narrowed to one type. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { MachineEventRow } from '../../model/api.ts';
import type { EventType } from '../../model/reading.ts';
import { api } from '../api.ts';
import { useShell } from '../context.ts';
import { eventMark, eventText } from '../event-text.ts';
import { Failure } from './panel.tsx';
import { StateMark } from './state-mark.tsx';

const ASKED = 100;
/** Kept at most: the oldest go. */
const ROWS_MAX = 300;

const TYPE_LABELS: { readonly [type in EventType]: string } = {
  state: 'States',
  condition: 'Conditions',
  message: 'Messages',
  program: 'Programs',
  part: 'Parts',
  connection: 'Connection',
  gap: 'Gaps',
};
const TYPES = Object.keys(TYPE_LABELS) as readonly EventType[];

export function EventList({ machineId }: { machineId: string }): JSX.Element {
  const { store } = useShell();
  const { rows, failure, retry } = useEvents(machineId);
  const [type, setType] = useState<EventType | ''>('');
  const plant = store.plant.value;
  const nowMs = store.nowMs.value;
  const shown = rows?.filter((row) => type === '' || row.event_type === type) ?? [];
  return (
    <section class="events" aria-labelledby="events-title">
      <div class="events-head">
        <h2 id="events-title" class="section-title">
          Events
        </h2>
        <label class="events-filter">
          <span class="visually-hidden">Type of event</span>
          <select
            value={type}
            onChange={(event) => setType(TYPES.find((known) => known === event.currentTarget.value) ?? '')}
          >
            <option value="">All types</option>
            {TYPES.map((known) => (
              <option key={known} value={known}>
                {TYPE_LABELS[known]}
              </option>
            ))}
          </select>
        </label>
      </div>
      {failure !== null ? (
        <Failure what="The events could not be loaded." message={failure} onRetry={retry} />
      ) : rows === null ? (
        <div class="bone events-bone" aria-hidden="true" />
      ) : shown.length === 0 ? (
        <p class="attention-none">
          {type === '' ? 'No event yet: states, conditions and program changes appear here.' : 'None of this type.'}
        </p>
      ) : (
        <ol class="event-rows card" tabIndex={0} aria-label="Newest first">
          {shown.map((row, at) => (
            <li key={`${row.time} ${row.event_type} ${row.item} ${rows.length - at}`} class="event">
              <EventMark row={row} />
              <span class="event-text">{eventText(row, plant)}</span>
              <time class="event-time" dateTime={row.time} title={plant.dateTime(Date.parse(row.time))}>
                {plant.near(Date.parse(row.time), nowMs)}
              </time>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function EventMark({ row }: { row: MachineEventRow }): JSX.Element {
  const mark = eventMark(row);
  if (mark === null) return <span class="event-dot" aria-hidden="true" />;
  return (
    <span class={`event-mark ink-${mark}`}>
      <StateMark state={mark} size={16} />
    </span>
  );
}

interface Events {
  readonly rows: readonly MachineEventRow[] | null;
  readonly failure: string | null;
  readonly retry: () => void;
}

function useEvents(machineId: string): Events {
  const { store } = useShell();
  const [rows, setRows] = useState<readonly MachineEventRow[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const request = new AbortController();
    api.events(machineId, ASKED, request.signal).then(
      (answer) => {
        setFailure(null);
        setRows(answer);
      },
      (error: Error) => {
        if (!request.signal.aborted) setFailure(error.message);
      },
    );
    const unlisten = store.listen({
      samples: () => undefined,
      events: (events) => {
        const own = events.filter((event) => event.machine_id === machineId);
        if (own.length > 0) setRows((known) => (known === null ? known : newestFirst([...own, ...known])));
      },
      restarted: () => setTries((count) => count + 1),
    });
    return () => {
      unlisten();
      request.abort();
    };
  }, [machineId, tries]);
  return { rows, failure, retry: () => setTries(tries + 1) };
}

function newestFirst(rows: MachineEventRow[]): MachineEventRow[] {
  return rows.sort((a, b) => Date.parse(b.time) - Date.parse(a.time)).slice(0, ROWS_MAX);
}
