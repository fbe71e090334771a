/** An event in words. Pure. */
import type { MachineEventRow } from '../model/api.ts';
import type { JsonValue } from '../model/reading.ts';
import { conditionText } from './attention.ts';
import { formatCount, MISSING, type PlantTime } from './format.ts';
import { type ShownState, STATE_LABELS } from './standing.ts';

const LEVEL_LABELS = { normal: 'Normal', warning: 'Warning', fault: 'Fault', unavailable: 'Unavailable' } as const;

export function eventText(row: MachineEventRow, plant: PlantTime): string {
  switch (row.event_type) {
    case 'state':
      return joined([row.state === null ? 'State' : STATE_LABELS[row.state], row.text]);
    case 'condition': {
      const level = row.level === null ? 'Condition' : LEVEL_LABELS[row.level];
      const named = row.native_code === null && row.text === null ? null : row.item;
      return joined([level, conditionText(row), named]);
    }
    case 'gap':
      return joined(['Gap', lossText(row.details, plant), row.text]);
    case 'program':
      return joined(['Program', row.text ?? MISSING]);
    case 'part':
      return joined(['Part', row.text ?? row.item]);
    case 'message':
      return joined(['Message', row.native_code, row.text]);
    case 'connection':
      return joined(['Connection', row.text ?? row.state]);
  }
}

/** Only what is abnormal, and states, bear a mark. */
export function eventMark(row: MachineEventRow): ShownState | null {
  if (row.event_type === 'state') return row.state;
  if (row.event_type === 'gap') return 'hold';
  if (row.level === 'fault') return 'alarm';
  if (row.level === 'warning') return 'hold';
  return row.level === 'unavailable' ? 'unknown' : null;
}

function lossText(details: MachineEventRow['details'], plant: PlantTime): string {
  const { start_time: start, end_time: end, readings } = details ?? {};
  const lost = typeof readings === 'number' ? `${formatCount(readings)} readings lost` : 'readings lost';
  const [from, to] = [instant(start, plant), instant(end, plant)];
  return from === null || to === null ? lost : `${lost}, ${from} to ${to}`;
}

function instant(value: JsonValue | undefined, plant: PlantTime): string | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : plant.time(ms);
}

function joined(parts: readonly (string | null)[]): string {
  return parts.filter((part) => part !== null && part !== '').join(' · ');
}
