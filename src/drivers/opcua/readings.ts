/**
 * Owns what is known of the machine: makes samples and events of what the server tells, and says what is not known any more.
 * Loads the library.
 */
import { type DataValue, extractDataValueToPromote, promoteOpaqueStructure } from 'node-opcua';
import { now } from '../../base/clock.ts';
import { type JsonValue, type MachineEvent, NAME_LENGTH_MAX, TEXT_LENGTH_MAX } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import type { SessionMemory } from './connection.ts';
import { statusText } from './faults.ts';
import type { FieldSettings } from './options.ts';
import { type Item, type Run, tellFault } from './run.ts';
import { Gathering } from './samples.ts';
import { SERVER_TIME_HANDLE, type ServerClock } from './server-clock.ts';
import type { Change, Subscription } from './subscription.ts';
import { judgeTime } from './times.ts';
import { show, takeField } from './values.ts';
import { jsonOfVariant, timesOf } from './variants.ts';
import type { Watch } from './watch.ts';

/** Values lost for a node are told by one event in this time. */
const TELL_LOST_MS = 60_000;
const STATE = 'machine_state';
const PROGRAM = 'program';
/** Of a node that has gone; servers say either. */
const GONE: readonly string[] = ['BadNodeIdUnknown', 'BadNodeIdInvalid'];

export interface ReadingsParts {
  readonly items: readonly Item[];
  readonly clock: ServerClock;
  readonly memory: SessionMemory;
  readonly subscription: Subscription;
  readonly watch: Watch;
}

/** What one message becomes. */
interface Drafts {
  readonly gathering: Gathering;
  readonly events: MachineEvent[];
  readonly gatewayMicros: number;
}

export class Readings {
  readonly #run: Run;
  readonly #parts: ReadingsParts;
  readonly #known = new Set<string>();
  #state: MachineState | undefined;

  constructor(run: Run, parts: ReadingsParts) {
    this.#run = run;
    this.#parts = parts;
  }

  /** Emits what one message says. @throws what the library throws */
  async take(changes: readonly Change[], gatewayMicros: number): Promise<void> {
    const { connection, context, ended } = this.#run;
    const values = changes.map(({ value }) => value);
    if (extractDataValueToPromote(values).length > 0) await promoteOpaqueStructure(connection.session, values);
    if (ended.aborted) return;
    const drafts: Drafts = { gathering: new Gathering(), events: [], gatewayMicros };
    for (const { clientHandle, value } of changes) {
      if (clientHandle === SERVER_TIME_HANDLE) {
        this.#parts.watch.timeTold(value.value.value, gatewayMicros);
        continue;
      }
      const item = this.#parts.items[clientHandle - 1];
      if (item !== undefined) this.#takeValue(item, value, drafts);
    }
    for (const sample of drafts.gathering.samples(context.machineId)) context.emit(sample);
    for (const event of drafts.events) context.emit(event);
  }

  /** What was known is not known any more; that the machine is offline, the runner says. */
  lose(): void {
    const { context } = this.#run;
    if (this.#known.size === 0) return;
    const values = [...this.#known].map((name) => [name, name === STATE ? 'offline' : null]);
    context.emit({ machine_id: context.machineId, timestamp: now(context.clock), ...Object.fromEntries(values) });
  }

  #takeValue(item: Item, dataValue: DataValue, { gathering, events, gatewayMicros }: Drafts): void {
    const { context, options } = this.#run;
    const { statusCode, value: variant } = dataValue;
    // The two highest bits: 0 good, 1 uncertain, 2 bad (OPC 10000-4, 7.39.1).
    const severity = statusCode.value >>> 30;
    const isBad = severity >= 2;
    const time = judgeTime(timesOf(dataValue), {
      gatewayMicros,
      sinceMicros: item.sinceMicros,
      changeAgeMicrosMax: item.hasTold ? this.#changeAgeMicrosMax(item) : null,
      isServerClockBad: this.#parts.clock.isBad,
      differenceMicrosMax: options.clockDifferenceMsMax * 1000,
    });
    item.hasTold = true;
    if (statusCode.hasOverflowBit) this.#tellLost(item, events);
    const whole = isBad ? null : jsonOfVariant(variant);
    const faults: string[] = [];
    if (isBad) faults.push(statusText(statusCode.name));
    else if (whole === null && variant.value !== null && variant.value !== undefined) {
      faults.push('its value cannot be understood: the server does not describe its type');
    }
    for (const field of item.settings.fields) {
      const taken = takeField(field, whole);
      if ('fault' in taken) faults.push(`${field.name}: ${taken.fault}`);
      const value = 'fault' in taken ? null : taken.value;
      if (value === null && !this.#known.has(field.name)) continue;
      gathering.put(time, field.name, value);
      this.#mark(item, field, {
        isUncertain: severity === 1,
        name: statusCode.name,
        put: (name, text) => gathering.put(time, name, text),
      });
      if (value === null) this.#known.delete(field.name);
      else this.#known.add(field.name);
      const event = this.#changeOf(field, value, { item, raw: whole });
      if (event !== undefined)
        events.push({ machine_id: context.machineId, timestamp: time.timestamp, kind: 'event', ...event });
    }
    item.isUncertain = severity === 1;
    tellFault(item, faults.length === 0 ? null : faults.join('; '), context);
    if (GONE.includes(statusCode.name)) this.#release(item);
  }

  /** The node has gone; when it is there again, the server would not tell by the old item. */
  #release(item: Item): void {
    const { monitoredItemId } = item;
    if (monitoredItemId === null) return;
    item.monitoredItemId = null;
    void this.#parts.subscription.release(monitoredItemId);
  }

  /** What has just changed did so not longer ago than the server may take to look at it and to tell it. */
  #changeAgeMicrosMax({ settings: { samplingIntervalMs } }: Item): number {
    const { clockDifferenceMsMax } = this.#run.options;
    return (samplingIntervalMs + this.#parts.subscription.silenceMsMax + clockDifferenceMsMax) * 1000;
  }

  /** A value that is not certain says so beside it, until it is. */
  #mark(
    item: Item,
    { name }: FieldSettings,
    status: { isUncertain: boolean; name: string; put: (name: string, text: string) => void },
  ): void {
    const key = `${name.slice(0, NAME_LENGTH_MAX - '_status'.length)}_status`;
    if (status.isUncertain) status.put(key, status.name);
    else if (item.isUncertain) status.put(key, 'Good');
  }

  #changeOf(
    { name }: FieldSettings,
    value: JsonValue,
    { item, raw }: { item: Item; raw: JsonValue },
  ): Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'> | undefined {
    const { memory } = this.#parts;
    if (typeof value !== 'string') return undefined;
    if (name === STATE && value !== this.#state) {
      const previous = this.#state === undefined ? {} : { previous_state: this.#state };
      this.#state = value as MachineState;
      const text = `${item.settings.node} is ${show(raw)}`.slice(0, TEXT_LENGTH_MAX);
      return { event_type: 'state', state: this.#state, ...previous, text };
    }
    if (name === PROGRAM && value !== '' && value !== memory.program) {
      memory.program = value;
      return { event_type: 'program', item: item.settings.node, text: value.slice(0, TEXT_LENGTH_MAX).toWellFormed() };
    }
    return undefined;
  }

  /** The server had to throw values away, since more came between two messages than it keeps. */
  #tellLost(item: Item, events: MachineEvent[]): void {
    const { context, options } = this.#run;
    const nowMs = context.clock.monotonicMs();
    item.lost += 1;
    if (nowMs - item.lostToldMs < TELL_LOST_MS) return;
    item.lostToldMs = nowMs;
    const { node } = item.settings;
    const text = `the server's queue of ${options.queueSize} values for ${node} ran over; set queue_size or publishing_interval`;
    const details = { reason: 'queue_overflow', node, times: item.lost };
    item.lost = 0;
    context.log.error('values of a node are lost', { text });
    const origin = { machine_id: context.machineId, timestamp: now(context.clock), kind: 'event' } as const;
    events.push({ ...origin, event_type: 'gap', text: text.slice(0, TEXT_LENGTH_MAX).toWellFormed(), details });
  }
}
