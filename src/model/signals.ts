/** The signals of a machine tool that have a column of their own, with unit and type. */

export type SignalType = 'number' | 'integer' | 'text';

export interface Signal {
  readonly name: string;
  /** As a person reads it. */
  readonly label: string;
  /** The unit's symbol; empty for what has none. */
  readonly unit: string;
  readonly type: SignalType;
  /** Decimals a person is shown. */
  readonly decimals: number;
}

/** In the order of the columns of `sensor_data`. */
export const SIGNALS = [
  { name: 'temperature', label: 'Temperature', unit: '°C', type: 'number', decimals: 1 },
  { name: 'spindle_speed', label: 'Spindle speed', unit: 'rpm', type: 'number', decimals: 0 },
  { name: 'x_pos_mm', label: 'X position', unit: 'mm', type: 'number', decimals: 3 },
  { name: 'y_pos_mm', label: 'Y position', unit: 'mm', type: 'number', decimals: 3 },
  { name: 'z_pos_mm', label: 'Z position', unit: 'mm', type: 'number', decimals: 3 },
  { name: 'feed_rate_actual', label: 'Feed rate', unit: 'mm/min', type: 'number', decimals: 0 },
  { name: 'spindle_load_percent', label: 'Spindle load', unit: '%', type: 'number', decimals: 0 },
  { name: 'machine_state', label: 'State', unit: '', type: 'text', decimals: 0 },
  { name: 'active_program_line', label: 'Program line', unit: '', type: 'integer', decimals: 0 },
  { name: 'total_power_kw', label: 'Total power', unit: 'kW', type: 'number', decimals: 1 },
] as const;

export type SignalName = (typeof SIGNALS)[number]['name'];

export const SIGNAL_NAMES: readonly SignalName[] = SIGNALS.map((signal) => signal.name);

const BY_NAME: ReadonlyMap<string, Signal> = new Map(SIGNALS.map((signal: Signal) => [signal.name, signal]));

/** The signal of that name, or undefined for a name that travels in `extra`. */
export function signalNamed(name: string): Signal | undefined {
  return BY_NAME.get(name);
}

/** ISO 22400 and MTConnect `Execution`, folded to what a shop tells apart. */
export const MACHINE_STATES = ['running', 'idle', 'hold', 'alarm', 'setup', 'offline'] as const;
export type MachineState = (typeof MACHINE_STATES)[number];
