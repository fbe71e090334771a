/**
 * The driver `simulator`: a machine that is not there.
 *
 * Samples on a fixed grid (a late tick is skipped, never made up for), and the events a real control would send: its
 * state, its alarm as a condition, and every finished part. Machine time begins with the first run and goes on over a
 * lost connection, as that of a real machine does.
 */
import { nextTickMs } from '../../base/ticks.ts';
import type { MachineEvent } from '../../model/reading.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';
import type { CreateDriver, Driver, DriverContext } from '../../ports/driver.ts';
import { type MachineAlarm, type MachineValues, machineAt, type SimulatedMachineOptions } from '../../sim/machine.ts';
import type { SimulatorOptions } from './config.ts';

export const create: CreateDriver<SimulatorOptions> = (options) => new SimulatorDriver(options);

/** The name of the one condition that the simulated control reports. */
const ALARM_ITEM = 'machine_alarm';

/** What an event says, without where and when. */
type EventFields = Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>;

class SimulatorDriver implements Driver {
  readonly #options: SimulatorOptions;
  #startedMs: number | undefined;

  constructor(options: SimulatorOptions) {
    this.#options = options;
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    const { clock, machineId } = context;
    this.#startedMs ??= clock.monotonicMs();
    const machine: SimulatedMachineOptions = {
      seed: this.#options.seed ?? seedOf(machineId),
      phaseSeconds: this.#options.phaseSeconds,
    };
    context.connected();
    let previous: MachineValues | undefined;
    let dueMs = clock.monotonicMs();
    while (!signal.aborted) {
      const nowMs = clock.monotonicMs();
      const values = machineAt(machine, (nowMs - this.#startedMs) / 1000);
      const timestamp = timestampOf(clock.nowMicros());
      emitChanges(context, timestamp, values, previous);
      emitSample(context, timestamp, values);
      previous = values;
      dueMs = nextTickMs(dueMs, context.samplingIntervalMs(), clock.monotonicMs());
      await clock.sleep(Math.max(0, dueMs - clock.monotonicMs()), signal);
    }
  }
}

function emitSample(context: DriverContext, timestamp: Timestamp, values: MachineValues): void {
  context.emit({
    machine_id: context.machineId,
    timestamp,
    temperature: values.temperatureC,
    spindle_speed: values.spindleSpeedRpm,
    x_pos_mm: values.xMm,
    y_pos_mm: values.yMm,
    z_pos_mm: values.zMm,
    feed_rate_actual: values.feedRateMmPerMin,
    spindle_load_percent: values.spindleLoadPercent,
    machine_state: values.state,
    active_program_line: values.programLine,
    total_power_kw: values.powerKw,
    program: values.program,
    part_count: values.partCount,
    active_alarm: values.alarm === null ? null : `${values.alarm.code} ${values.alarm.text}`,
  });
}

function emitChanges(
  context: DriverContext,
  timestamp: Timestamp,
  values: MachineValues,
  previous: MachineValues | undefined,
): void {
  const emitEvent = (event: EventFields): void => {
    const reading: MachineEvent = { machine_id: context.machineId, timestamp, kind: 'event', ...event };
    context.emit(reading);
  };
  if (previous !== undefined && values.partCount > previous.partCount) {
    const details = { part_count: values.partCount, program: previous.program };
    emitEvent({ event_type: 'part', item: 'part_count', text: previous.program, details });
  }
  if (previous === undefined || values.alarm?.code !== previous.alarm?.code) {
    emitEvent(conditionOf(values.alarm, previous?.alarm ?? null));
  }
  if (values.state !== previous?.state) {
    const before = previous === undefined ? {} : { previous_state: previous.state };
    emitEvent({ event_type: 'state', state: values.state, ...before, text: reasonOf(values) });
  }
}

/** A `normal` without a code clears whatever was told before, as MTConnect has it: so the first word does. */
function conditionOf(alarm: MachineAlarm | null, ended: MachineAlarm | null): EventFields {
  const condition = { event_type: 'condition', item: ALARM_ITEM } as const;
  if (alarm !== null) return { ...condition, level: 'fault', native_code: alarm.code, text: alarm.text };
  if (ended !== null) return { ...condition, level: 'normal', native_code: ended.code, text: ended.text };
  return { ...condition, level: 'normal' };
}

function reasonOf(values: MachineValues): string {
  switch (values.state) {
    case 'running':
      return `execution ACTIVE, program ${values.program}`;
    case 'hold':
      return 'execution FEED_HOLD';
    case 'alarm':
      return values.alarm === null ? 'alarm' : `alarm ${values.alarm.code} ${values.alarm.text}`;
    default:
      return 'execution READY';
  }
}

/** Machines without a seed of their own still differ (hash FNV-1a of the machine id). */
function seedOf(machineId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < machineId.length; i += 1) hash = Math.imul(hash ^ machineId.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
