/** The few values a machine's tile shows, and how. Where a machine's page asks the hub, the hub's words count. */

export interface KeyValue {
  /** Names of the signal, the first that the machine has counts. */
  readonly names: readonly string[];
  readonly label: string;
  readonly unit: string;
  readonly decimals: number;
}

export const KEY_VALUES: readonly KeyValue[] = [
  { names: ['spindle_speed'], label: 'Spindle', unit: 'rpm', decimals: 0 },
  { names: ['feed_rate_actual'], label: 'Feed', unit: 'mm/min', decimals: 0 },
  { names: ['spindle_load_percent'], label: 'Load', unit: '%', decimals: 0 },
  { names: ['temperature'], label: 'Temperature', unit: '°C', decimals: 1 },
  { names: ['total_power_kw'], label: 'Power', unit: 'kW', decimals: 1 },
];

export const PROGRAM_NAMES = ['program', 'active_program'] as const;
export const PROGRAM_LINE_NAMES = ['active_program_line'] as const;
export const PART_COUNT_NAMES = ['part_count'] as const;
