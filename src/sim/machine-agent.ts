/**
 * Simulated machines as an agent tells them: each a device `M1`, `M2` and so on, whose items are said when they change.
 * The machines are those that `simulate modbus` serves, with the same numbers at the same time since the start.
 */
import { type Clock, now } from '../base/clock.ts';
import { nextTickMs } from '../base/ticks.ts';
import type { MachineState } from '../model/signals.ts';
import { machineAt, type MachineValues } from './machine.ts';
import type { AgentDevice, AgentItem, MtconnectAgent, Saying } from './mtconnect-agent.ts';

/** How far into its cycle each machine is before the next one. */
const PHASE_SECONDS = 17;

const AXIS = { category: 'SAMPLE', type: 'POSITION', subType: 'ACTUAL', units: 'MILLIMETER' } as const;
const CONTROLLER = ['Controller', 'controller'] as const;
const PATH = ['Path', 'path'] as const;
const SPINDLE = ['Rotary', 'C'] as const;

const ITEMS: readonly AgentItem[] = [
  { id: 'avail', name: 'avail', category: 'EVENT', type: 'AVAILABILITY', component: CONTROLLER },
  { id: 'estop', name: 'estop', category: 'EVENT', type: 'EMERGENCY_STOP', component: CONTROLLER },
  { id: 'system', name: 'system', category: 'CONDITION', type: 'SYSTEM', component: CONTROLLER },
  { id: 'mode', name: 'mode', category: 'EVENT', type: 'CONTROLLER_MODE', component: PATH },
  { id: 'execution', name: 'execution', category: 'EVENT', type: 'EXECUTION', component: PATH },
  { id: 'program', name: 'program', category: 'EVENT', type: 'PROGRAM', component: PATH },
  { id: 'line', name: 'line', category: 'EVENT', type: 'LINE_NUMBER', subType: 'ABSOLUTE', component: PATH },
  { id: 'parts', name: 'parts', category: 'EVENT', type: 'PART_COUNT', component: PATH },
  { id: 'feed', name: 'feed', category: 'SAMPLE', type: 'PATH_FEEDRATE', units: 'MILLIMETER/SECOND', component: PATH },
  { id: 'x', name: 'x', ...AXIS, component: ['Linear', 'X'] },
  { id: 'y', name: 'y', ...AXIS, component: ['Linear', 'Y'] },
  { id: 'z', name: 'z', ...AXIS, component: ['Linear', 'Z'] },
  {
    id: 'speed',
    name: 'speed',
    category: 'SAMPLE',
    type: 'ROTARY_VELOCITY',
    units: 'REVOLUTION/MINUTE',
    component: SPINDLE,
  },
  { id: 'load', name: 'load', category: 'SAMPLE', type: 'LOAD', units: 'PERCENT', component: SPINDLE },
  {
    id: 'temperature',
    name: 'temperature',
    category: 'SAMPLE',
    type: 'TEMPERATURE',
    units: 'CELSIUS',
    component: SPINDLE,
  },
  {
    id: 'power',
    name: 'power',
    category: 'SAMPLE',
    type: 'WATTAGE',
    units: 'WATT',
    component: ['Electric', 'electric'],
  },
];

const EXECUTIONS: { readonly [State in MachineState]: string } = {
  running: 'ACTIVE',
  idle: 'READY',
  hold: 'FEED_HOLD',
  alarm: 'INTERRUPTED',
  setup: 'READY',
  offline: 'UNAVAILABLE',
};

export function machineDevices(machines: number): AgentDevice[] {
  return Array.from({ length: machines }, (_, index) => {
    return { name: `M${index + 1}`, uuid: `simulated-M${index + 1}`, items: ITEMS };
  });
}

export interface MachinesPlaying {
  readonly agent: MtconnectAgent;
  readonly machines: number;
  /** Time between two looks at a machine. */
  readonly intervalMs: number;
  readonly clock: Clock;
}

/** Says what has changed since the look before, until aborted. */
export async function playMachines(
  { agent, machines, intervalMs, clock }: MachinesPlaying,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = clock.monotonicMs();
  const said = new Map<string, string>();
  let dueMs = startedMs;
  while (!signal.aborted) {
    const seconds = (clock.monotonicMs() - startedMs) / 1000;
    for (let machine = 1; machine <= machines; machine += 1) {
      const values = machineAt({ seed: machine, phaseSeconds: (machine - 1) * PHASE_SECONDS }, seconds);
      for (const saying of sayingsOf(`M${machine}`, values, now(clock))) {
        const key = `${saying.device}/${saying.item}`;
        const text = JSON.stringify([saying.text, saying.condition]);
        if (said.get(key) === text) continue;
        said.set(key, text);
        agent.observe(saying);
      }
    }
    dueMs = nextTickMs(dueMs, intervalMs, clock.monotonicMs());
    await clock.sleep(Math.max(0, dueMs - clock.monotonicMs()), signal);
  }
}

function sayingsOf(device: string, values: MachineValues, timestamp: string): Saying[] {
  const { state, alarm } = values;
  const texts: { readonly [item: string]: string | number } = {
    avail: 'AVAILABLE',
    estop: 'ARMED',
    mode: state === 'setup' ? 'MANUAL' : 'AUTOMATIC',
    execution: EXECUTIONS[state],
    program: values.program,
    line: values.programLine,
    parts: values.partCount,
    // In the standard's unit; a driver makes mm/min of it again.
    feed: values.feedRateMmPerMin / 60,
    x: values.xMm,
    y: values.yMm,
    z: values.zMm,
    speed: values.spindleSpeedRpm,
    load: values.spindleLoadPercent,
    temperature: values.temperatureC,
    power: Math.round(values.powerKw * 1000),
  };
  const condition =
    alarm === null ? ({ level: 'Normal' } as const) : ({ level: 'Fault', nativeCode: alarm.code } as const);
  return [
    ...Object.entries(texts).map(([item, text]) => ({ device, item, timestamp, text: String(text) })),
    { device, item: 'system', timestamp, text: alarm?.text ?? '', condition },
  ];
}
