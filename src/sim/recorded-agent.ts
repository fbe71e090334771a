/**
 * A recorded adapter log (SHDR) as an agent tells it: what the adapter said, and a model of the device that fits it.
 *
 * The log does not say of what type an item is. It is guessed from the names that adapters use; an item without a known
 * name is a sample where all it says are numbers, else an event. Assets, and what spans several lines, are left out.
 */
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
      else if (!isNumeric.has(item)) isNumeric.set(item, false);
      sayings.push({ device: name, item, timestamp, text });
    }
  }
  const items = [...new Set(sayings.map(({ item }) => item))].map((item): AgentItem => {
    const [type = item.replaceAll(/\W/g, '_').toUpperCase(), units] = TYPES[item.toLowerCase()] ?? [];
    const category = conditions.has(item) ? 'CONDITION' : isNumeric.get(item) === true ? 'SAMPLE' : 'EVENT';
    const isKnown = TYPES[item.toLowerCase()] !== undefined;
    return {
      id: item,
      name: item,
      category: isKnown && units === undefined ? 'EVENT' : category,
      type: category === 'CONDITION' ? 'SYSTEM' : type,
      ...(units !== undefined && { units }),
      component: ['Controller', 'controller'],
    };
  });
  // An item that is said to be a condition says nothing else.
  const own = sayings.filter(({ item, condition }) => conditions.has(item) === (condition !== undefined));
  return { device: { name, uuid: `recorded-${name}`, items }, sayings: own };
}

function levelOf(word: string): NonNullable<Saying['condition']>['level'] {
  const levels = ['Normal', 'Warning', 'Fault', 'Unavailable'] as const;
  return levels.find((level) => level.toLowerCase() === word.toLowerCase()) ?? 'Unavailable';
}

function isNumber(text: string): boolean {
  return /^-?\d+(\.\d+)?$/.test(text);
}
