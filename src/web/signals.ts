/** Which signals a machine has, and which of them are shown when nobody has chosen. */
import { useEffect, useState } from 'preact/hooks';
import type { EdgeReport, SignalInfo } from '../model/api.ts';
import { api } from './api.ts';

/** As far as the machine has them. */
const DEFAULT_SIGNALS: readonly string[] = [
  'spindle_speed',
  'spindle_load_percent',
  'temperature',
  'x_pos_mm',
  'y_pos_mm',
  'z_pos_mm',
];
/** Shown of a machine that has none of those. */
const FALLBACK_SIGNALS = 4;

/** Drivers of protocols in which a machine tells only what has changed. */
const ON_CHANGE_DRIVERS: ReadonlySet<string> = new Set(['shdr', 'mtconnect', 'opcua']);

export function chosenSignals(known: readonly SignalInfo[], chosen: readonly string[] | null): SignalInfo[] {
  const numeric = known.filter((info) => info.numeric);
  const named = (names: readonly string[]): SignalInfo[] =>
    names.flatMap((name) => numeric.find((info) => info.name === name) ?? []);
  if (chosen !== null) return named(chosen);
  const usual = named(DEFAULT_SIGNALS);
  return usual.length > 0 ? usual : numeric.slice(0, FALLBACK_SIGNALS);
}

export function reportsOnChange(edges: readonly EdgeReport[], machineId: string): boolean {
  return edges.some(({ status }) =>
    status.sources.some((source) => source.machine_id === machineId && ON_CHANGE_DRIVERS.has(source.type)),
  );
}

/** Signals outside the standard ones that many machines have: the hub knows only their names. */
const WELL_KNOWN: { readonly [name: string]: Pick<SignalInfo, 'label' | 'decimals'> } = {
  part_count: { label: 'Part count', decimals: 0 },
  tool_number: { label: 'Tool', decimals: 0 },
};

/** As a person reads it: a signal that the hub calls by its bare name gets words instead of underscores. */
export function readable(info: SignalInfo): SignalInfo {
  if (info.label !== info.name) return info;
  const words = info.name.replaceAll('_', ' ').trim();
  const label = words.charAt(0).toUpperCase() + words.slice(1);
  return { ...info, label, ...WELL_KNOWN[info.name] };
}

export interface KnownSignals {
  /** null: not yet known. */
  readonly known: readonly SignalInfo[] | null;
  readonly failure: string | null;
  readonly retry: () => void;
}

export function useSignals(machineId: string): KnownSignals {
  const [answer, setAnswer] = useState<{ known: readonly SignalInfo[] | null; failure: string | null }>({
    known: null,
    failure: null,
  });
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const request = new AbortController();
    api.signals(machineId, request.signal).then(
      (known) => setAnswer({ known: known.map(readable), failure: null }),
      (error: Error) => {
        if (!request.signal.aborted) setAnswer({ known: null, failure: error.message });
      },
    );
    return () => request.abort();
  }, [machineId, tries]);
  return { ...answer, retry: () => setTries(tries + 1) };
}
