/** Questions to the hub's API. */
import type {
  ApiError,
  CapabilityStudy,
  DeadLetter,
  Feature,
  MachineEventRow,
  MeasurementRow,
  Series,
  SignalInfo,
  StateInterval,
} from '../model/api.ts';
import type { TimeWindow } from './view.ts';

/** An answer is waited for so long, in ms. */
const TIMEOUT_MS = 15_000;

export const api = {
  signals: (machineId: string, signal: AbortSignal): Promise<SignalInfo[]> =>
    getJson(`${machinePath(machineId)}/signals`, signal),
  events: (machineId: string, limit: number, signal: AbortSignal): Promise<MachineEventRow[]> =>
    getJson(`${machinePath(machineId)}/events?limit=${limit}`, signal),
  /** `toMs` null: up to now, so that the last state has no end. */
  states: (
    machineId: string,
    { fromMs, toMs, points }: { fromMs: number; toMs: number | null; points: number },
    signal: AbortSignal,
  ): Promise<StateInterval[]> => {
    const query = toMs === null ? `start_time=${new Date(fromMs).toISOString()}` : windowQuery({ fromMs, toMs });
    return getJson(`${machinePath(machineId)}/states?${query}&points=${points}`, signal);
  },
  series: (
    machineId: string,
    signals: readonly string[],
    { window, points }: { window: TimeWindow; points: number },
    signal: AbortSignal,
  ): Promise<Series> => {
    const names = signals.map(encodeURIComponent).join(',');
    return getJson(`${machinePath(machineId)}/series?signals=${names}&${windowQuery(window)}&points=${points}`, signal);
  },
  features: (machineId: string, signal: AbortSignal): Promise<Feature[]> =>
    getJson(`${machinePath(machineId)}/features`, signal),
  measurements: (
    machineId: string,
    wanted: { limit: number; serial_number?: string; start_time?: string },
    signal: AbortSignal,
  ): Promise<MeasurementRow[]> => getJson(`${machinePath(machineId)}/measurements?${queryOf(wanted)}`, signal),
  capability: (
    machineId: string,
    wanted: { characteristic: string; last: number; value: string | null; start_time: string | null },
    signal: AbortSignal,
  ): Promise<CapabilityStudy> => getJson(`${machinePath(machineId)}/capability?${queryOf(wanted)}`, signal),
  deadLetters: (signal: AbortSignal): Promise<DeadLetter[]> => getJson('/api/v1/dead-letters', signal),
};

/** Throws an `Error` whose message a person can read. */
async function getJson<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(path, { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) });
  if (response.ok) return response.json();
  const answer: Partial<ApiError> = await response.json().catch(() => ({}));
  throw new Error(answer.error?.message ?? `The hub answered ${response.status}`);
}

function machinePath(machineId: string): string {
  return `/api/v1/machines/${encodeURIComponent(machineId)}`;
}

function queryOf(wanted: { readonly [name: string]: string | number | null | undefined }): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  return query.toString();
}

function windowQuery({ fromMs, toMs }: TimeWindow): string {
  return `start_time=${new Date(fromMs).toISOString()}&end_time=${new Date(toMs).toISOString()}`;
}
