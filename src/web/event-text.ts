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
      return joined(['Gap', gapText(row, plant)]);
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

const CAUSES: ReadonlyMap<JsonValue | undefined, readonly [what: string, why: string]> = new Map([
  ['thinned', ['merged into wider intervals', 'the gateway’s log was at its limit']],
  ['dropped', ['dropped', 'the gateway’s log was at its limit']],
  ['destroyed', ['destroyed', 'the gateway’s disk is damaged']],
]);

/** Other reasons, and none, come from publishers that are not this version's edge: their own words are shown as well. */
function gapText({ details, time, text }: MachineEventRow, plant: PlantTime): string {
  const { reason, readings, sinks } = details ?? {};
  const count = typeof readings === 'number' ? readings : 0;
  const cause = CAUSES.get(reason);
  const counted = reason === 'thinned' ? countOf(count, 'sample') : countOf(count, 'reading');
  // Nobody can read any more whose they were.
  const whose = reason === 'destroyed' ? ' of this gateway’s machines' : '';
  const subject = `${counted}${whose}${rangeText(details, Date.parse(time), plant)}`;
  const verb = count === 1 ? 'was' : 'were';
  if (cause === undefined) return joined([`${subject} ${verb} lost`, text]);
  const [what, why] = cause;
  if (reason === 'destroyed' && count === 0) return `${subject} may be lost: ${why}.`;
  return `${subject} ${verb} ${what}${beforeText(sinks, count)}: ${why}.`;
}

function countOf(count: number, noun: 'sample' | 'reading'): string {
  if (count === 0) return noun === 'sample' ? 'Samples' : 'Readings';
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A sink that had them before has them still. */
function beforeText(sinks: JsonValue | undefined, count: number): string {
  const names = Array.isArray(sinks) ? sinks.filter((name) => typeof name === 'string') : [];
  return names.length === 0 ? '' : ` before ${count === 1 ? 'it' : 'they'} reached ${names.join(' and ')}`;
}

/** With dates where they are not those of the event. */
function rangeText(details: MachineEventRow['details'], toldMs: number, plant: PlantTime): string {
  const [from, to] = [instant(details?.['start_time']), instant(details?.['end_time'])];
  return from === null || to === null ? '' : ` from ${plant.near(from, toldMs)} to ${plant.near(to, from)}`;
}

function instant(value: JsonValue | undefined): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function joined(parts: readonly (string | null)[]): string {
  return parts.filter((part) => part !== null && part !== '').join(' · ');
}
