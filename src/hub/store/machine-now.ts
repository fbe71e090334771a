/** Puts together what a machine has said and what its gateway says of it. Pure. */
import type { CurrentValue, EdgeReport, MachineEventRow, MachineNow } from '../../model/api.ts';
import type { JsonValue } from '../../model/reading.ts';
import type { SourceStatus } from '../../model/status.ts';
import { isAtLeast, microsOf, type Timestamp, timestampOf } from '../../model/time.ts';
import { type ConditionWord, isRaised, type StateRun } from './current.ts';

/** An edge that was silent for longer says nothing of its sources any more. */
const EDGE_REPORT_AGE_SECONDS_MAX = 60;

/** The columns from `last_seen` on are null for a machine that has said nothing yet. */
export interface FleetRow {
  readonly id: string;
  readonly name: string;
  readonly location: string | null;
  readonly last_seen: Timestamp | null;
  readonly last_measurement: Timestamp | null;
  readonly signals: { readonly [signal: string]: readonly [time: Timestamp, value: JsonValue] } | null;
  readonly states: readonly StateRun[] | null;
  readonly conditions: readonly ConditionWord[] | null;
}

export function machineNow(row: FleetRow, edges: readonly EdgeReport[], now: Timestamp): MachineNow {
  const run = row.states?.at(-1);
  const sources = sourcesOf(row.id, edges, now);
  const fresh = sources.filter(({ isFresh }) => isFresh);
  const best = STATES_BY_REACH.flatMap((state) => fresh.filter(({ source }) => source.state === state))[0];
  const failing = fresh.find(({ source }) => source.state !== 'ok' && source.last_error !== null);
  const values: Record<string, CurrentValue> = {};
  for (const [signal, [time, value]] of Object.entries(row.signals ?? {})) values[signal] = { value, time };
  return {
    id: row.id,
    name: row.name,
    location: row.location,
    state: run?.state ?? null,
    state_since: run?.from ?? null,
    state_reason: run?.reason?.[1] ?? null,
    last_seen: newest([row.last_seen, ...sources.map(({ contact }) => contact)]),
    last_measurement: row.last_measurement,
    source_state: best?.source.state ?? null,
    source_error: failing?.source.last_error ?? null,
    gateway_id: best?.gatewayId ?? null,
    values,
    active_conditions: (row.conditions ?? []).filter(isRaised).map((word) => conditionRow(row.id, word)),
  };
}

/** A machine with several sources is reached as soon as one of them is. */
const STATES_BY_REACH = ['ok', 'silent', 'connecting', 'failing', 'misconfigured', 'stopped'] as const;

interface SourceView {
  readonly gatewayId: string;
  readonly source: SourceStatus;
  readonly isFresh: boolean;
  /** The last sign of life, by the hub's clock. */
  readonly contact: Timestamp | null;
}

function sourcesOf(machineId: string, edges: readonly EdgeReport[], now: Timestamp): SourceView[] {
  const nowMicros = microsOf(now);
  return edges.flatMap(({ status, received_at, clock_offset_seconds }) => {
    const isFresh = nowMicros - microsOf(received_at) <= EDGE_REPORT_AGE_SECONDS_MAX * 1e6;
    const own = status.sources.filter((source) => source.machine_id === machineId);
    return own.map((source) => {
      const contact = source.last_contact;
      const byHub = contact === null ? null : microsOf(contact) - Math.round(clock_offset_seconds * 1e6);
      return {
        gatewayId: status.gateway_id,
        source,
        isFresh,
        contact: byHub === null ? null : timestampOf(Math.min(byHub, nowMicros)),
      };
    });
  });
}

function newest(times: readonly (Timestamp | null)[]): Timestamp | null {
  let result: Timestamp | null = null;
  for (const time of times) if (time !== null && (result === null || isAtLeast(time, result))) result = time;
  return result;
}

function conditionRow(machineId: string, word: ConditionWord): MachineEventRow {
  return {
    time: word.time,
    machine_id: machineId,
    event_type: 'condition',
    item: word.item === '' ? null : word.item,
    state: null,
    previous_state: null,
    level: word.level,
    native_code: word.code,
    native_severity: word.severity,
    qualifier: word.qualifier,
    text: word.text,
    details: null,
  };
}
