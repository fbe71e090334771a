/**
 * A recorded adapter log (SHDR) as an agent tells it: what the adapter said, and a model of the device that fits it.
 *
 * The log does not say of what type an item is. It is guessed from the names that adapters use; an item without a known
 * name is a sample where all it says are numbers, else an event. Assets, and what spans several lines, are left out.
 */
import type { Clock } from '../base/clock.ts';
import { microsOf, parseTimestamp, timestampOf } from '../model/time.ts';
import type { AgentDevice, AgentItem, Saying } from './mtconnect-agent.ts';

/** By the item's name in small letters. */
const TYPES: { readonly [name: string]: readonly [type: string, units?: string] | undefined } = {
  avail: ['AVAILABILITY'],
  execution: ['EXECUTION'],
  pexecution: ['EXECUTION'],
  mode: ['CONTROLLER_MODE'],
  pmode: ['CONTROLLER_MODE'],
  estop: ['EMERGENCY_STOP'],
  fmode: ['FUNCTIONAL_MODE'],
  functionalmode: ['FUNCTIONAL_MODE'],
  program: ['PROGRAM'],
  pprogram: ['PROGRAM'],
  line: ['LINE_NUMBER'],
  p1linenumber: ['LINE_NUMBER'],
  pfovr: ['PATH_FEEDRATE_OVERRIDE', 'PERCENT'],
  fovr: ['PATH_FEEDRATE_OVERRIDE', 'PERCENT'],
  sovr: ['ROTARY_VELOCITY_OVERRIDE', 'PERCENT'],
  path_feedrate: ['PATH_FEEDRATE', 'MILLIMETER/SECOND'],
  s1speed: ['ROTARY_VELOCITY', 'REVOLUTION/MINUTE'],
  srpm: ['ROTARY_VELOCITY', 'REVOLUTION/MINUTE'],
};

const LINE = /^(\d{4}-\d\d-\d\dT[\d:.]+Z)\|(.+)$/;
const CONDITION = /^([^|]+)\|(normal|warning|fault|unavailable)\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)$/i;

export interface RecordedAgent {
  readonly device: AgentDevice;
  /** In the order of the recording. */
  readonly sayings: readonly Saying[];
}

export function recordedAgent(recording: string, name: string): RecordedAgent {
  const sayings: Saying[] = [];
  const isNumeric = new Map<string, boolean>();
  const conditions = new Set<string>();
  let blockEnd: string | undefined;
  for (const line of recording.split(/\r?\n/)) {
    if (blockEnd !== undefined) {
      if (line.startsWith(blockEnd)) blockEnd = undefined;
      continue;
    }
    const [, timestamp = '', rest = ''] = LINE.exec(line) ?? [];
    blockEnd = /--multiline--\w+/.exec(rest)?.[0];
    if (rest === '' || rest.startsWith('@')) continue;
    const condition = CONDITION.exec(rest);
    if (condition !== null) {
      const [, item = '', level = '', nativeCode = '', nativeSeverity = '', qualifier = '', text = ''] = condition;
      conditions.add(item);
      const words = { level: levelOf(level), nativeCode, nativeSeverity, qualifier };
      sayings.push({ device: name, item, timestamp, text: text.trim(), condition: words });
      continue;
    }
    for (const [, item = '', value = ''] of rest.matchAll(/([^|]+)\|([^|]*)(?:\||$)/g)) {
      const text = /^unavailable$/i.test(value.trim()) ? 'UNAVAILABLE' : value.trim();
      if (text !== 'UNAVAILABLE') isNumeric.set(item, isNumber(text) && (isNumeric.get(item) ?? true));
      sayings.push({ device: name, item, timestamp, text });
    }
  }
  const items = [...new Set(sayings.map(({ item }) => item))].map((item): AgentItem => {
    if (conditions.has(item)) return { ...named(item), category: 'CONDITION', type: 'SYSTEM' };
    const axis = /^([XYZ])position$/.exec(item)?.[1];
    if (axis !== undefined) return { ...named(item), ...POSITION, component: ['Linear', axis] };
    const key = item.toLowerCase();
    // An item may be called as what every object has.
    const known = Object.hasOwn(TYPES, key) ? TYPES[key] : undefined;
    const [type, units] = known ?? [item.replaceAll(/\W/g, '_').toUpperCase()];
    if (units !== undefined) return { ...named(item), category: 'SAMPLE', type, units };
    const isEvent = known !== undefined || isNumeric.get(item) !== true;
    return { ...named(item), category: isEvent ? 'EVENT' : 'SAMPLE', type };
  });
  // An item that is said to be a condition says nothing else.
  const own = sayings.filter(({ item, condition }) => conditions.has(item) === (condition !== undefined));
  return { device: { name, uuid: `recorded-${name}`, items }, sayings: own };
}

const POSITION = { category: 'SAMPLE', type: 'POSITION', subType: 'ACTUAL', units: 'MILLIMETER' } as const;

function named(item: string): Pick<AgentItem, 'id' | 'name' | 'component'> {
  return { id: item, name: item, component: ['Controller', 'controller'] };
}

/** What is said of an item: a number of a sample, a condition's words as one text; null: not known. */
export function valueSaid({ text, condition }: Saying, category: AgentItem['category']): number | string | null {
  const words = condition === undefined ? [text] : [condition.level, condition.nativeCode ?? '', text];
  const said = words.filter((word) => word !== '').join(' ');
  if (/^unavailable$/i.test(said)) return null;
  return category === 'SAMPLE' ? Number(said) : said;
}

/** Longest pause between two lines that is played. */
const PAUSE_MS_MAX = 10_000;
/** At full speed, so many at once. */
const AT_ONCE = 200;

export interface Playing {
  /** Who tells it. */
  readonly agent: { observe(saying: Saying): unknown };
  readonly sayings: readonly Saying[];
  /** Times the original pace. */
  readonly speed: number | 'max';
  readonly loop: boolean;
  readonly clock: Clock;
}

/** Says it all at its pace, as of now. @returns how much was said, at the end or when aborted */
export async function playRecording(
  { agent, sayings, speed, loop, clock }: Playing,
  signal: AbortSignal,
): Promise<number> {
  let said = 0;
  do {
    let before: number | undefined;
    for (const saying of sayings) {
      if (signal.aborted) return said;
      const micros = microsOf(parseTimestamp(saying.timestamp) ?? timestampOf(clock.nowMicros()));
      // The state at connection bears old stamps: time does not run backwards.
      const pauseMs = before === undefined ? 0 : Math.min(Math.max(0, micros - before) / 1000, PAUSE_MS_MAX);
      before = Math.max(micros, before ?? micros);
      if (speed !== 'max' && pauseMs > 0) await clock.sleep(pauseMs / speed, signal);
      agent.observe({ ...saying, timestamp: timestampOf(clock.nowMicros()) });
      said += 1;
      if (said % AT_ONCE === 0) await clock.sleep(0, signal);
    }
  } while (loop && sayings.length > 0);
  return said;
}

function levelOf(word: string): NonNullable<Saying['condition']>['level'] {
  const levels = ['Normal', 'Warning', 'Fault', 'Unavailable'] as const;
  return levels.find((level) => level.toLowerCase() === word.toLowerCase()) ?? 'Unavailable';
}

function isNumber(text: string): boolean {
  return /^-?\d+(\.\d+)?$/.test(text);
}
