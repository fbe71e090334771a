/**
 * What the CMM page shows, asked for anew when something was measured.
 *
 * The live stream tells the time of the machine's newest measurement with its other newest values; the page asks when that
 * has changed, at most every two seconds, and not while it stands still for somebody.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CapabilityStudy, Feature, MeasurementRow } from '../../model/api.ts';
import { api } from '../api.ts';
import type { CmmView } from './view.ts';

const REFRESH_MS_MIN = 2000;
/** Newest measurements from which the list of parts is made. */
const PARTS_ROWS = 1000;
/** Of one part. */
const PART_ROWS_MAX = 1000;

export interface Inspection {
  readonly features: readonly Feature[];
  readonly newest: readonly MeasurementRow[];
  /** The part that was asked for; null: none was. */
  readonly serial: string | null;
  /** Of that part. */
  readonly part: readonly MeasurementRow[];
  readonly study: CapabilityStudy | null;
}

export interface InspectionAnswer {
  /** null: not yet known. */
  readonly data: Inspection | null;
  readonly failure: string | null;
  readonly retry: () => void;
}

export function useInspection(
  machineId: string,
  view: CmmView,
  { newest, paused }: { newest: string | null; paused: boolean },
): InspectionAnswer {
  const [answer, setAnswer] = useState<{ data: Inspection | null; failure: string | null }>({
    data: null,
    failure: null,
  });
  const [tries, setTries] = useState(0);
  /** The worst when the page was opened: what is looked at does not change because something else became worse. */
  const first = useRef<string | null>(null);
  const wanted = JSON.stringify([machineId, view, tries]);
  // A pause holds back what is new, not what somebody chooses.
  const held = useRef(newest);
  const isNew = !paused && held.current !== newest;
  if (isNew) held.current = newest;
  const askAgain = useRef(() => {});

  useEffect(() => {
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let askedAtMs = 0;
    let known: readonly MeasurementRow[] = [];
    let state: 'asking' | 'asking, and to ask again' | 'waiting' | 'idle' = 'idle';
    const ask = async (): Promise<void> => {
      askedAtMs = performance.now();
      state = 'asking';
      try {
        const data = await load(machineId, { view, first, known }, leaving.signal);
        known = data.newest;
        setAnswer({ data, failure: null });
      } catch (error) {
        if (!leaving.signal.aborted) setAnswer((known) => ({ ...known, failure: (error as Error).message }));
      }
      const due = (state as string) !== 'asking';
      state = 'idle';
      if (due) askAgain.current();
    };
    askAgain.current = () => {
      // A question under way is not given up for the next: what comes often would never be answered.
      if (state === 'asking') state = 'asking, and to ask again';
      if (state !== 'idle' || leaving.signal.aborted) return;
      state = 'waiting';
      timer = setTimeout(() => void ask(), Math.max(0, askedAtMs + REFRESH_MS_MIN - performance.now()));
    };
    void ask();
    return () => {
      clearTimeout(timer);
      leaving.abort();
    };
  }, [wanted]);
  useEffect(() => {
    if (isNew) askAgain.current();
  }, [held.current]);
  return { ...answer, retry: () => setTries(tries + 1) };
}

/** Of those that are known only what is not older than the newest is asked for. */
async function newestRows(
  machineId: string,
  known: readonly MeasurementRow[],
  signal: AbortSignal,
): Promise<readonly MeasurementRow[]> {
  const since = known[0]?.time;
  if (since === undefined) return api.measurements(machineId, { limit: PARTS_ROWS }, signal);
  const rows = await api.measurements(machineId, { limit: PARTS_ROWS, start_time: since }, signal);
  return [...rows, ...known.filter(({ time }) => time < since)].slice(0, PARTS_ROWS);
}

async function load(
  machineId: string,
  { view, first, known }: { view: CmmView; first: { current: string | null }; known: readonly MeasurementRow[] },
  signal: AbortSignal,
): Promise<Inspection> {
  const [features, newest, part] = await Promise.all([
    api.features(machineId, signal),
    newestRows(machineId, known, signal),
    view.serial === null
      ? []
      : api.measurements(machineId, { serial_number: view.serial, limit: PART_ROWS_MAX }, signal),
  ]);
  first.current ??= features[0]?.characteristic ?? null;
  const characteristic = view.characteristic ?? first.current;
  const study =
    characteristic === null
      ? null
      : await api.capability(
          machineId,
          { characteristic, last: view.count, value: view.value, start_time: view.since },
          signal,
        );
  return { features, newest, serial: view.serial, part, study };
}
