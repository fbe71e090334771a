/**
 * Reads one unit over Modbus: TCP, or RTU on a serial line or within TCP. Sensors on the same line or gateway share it.
 *
 * A poll reads all that is due, one request after the other, and gives one sample. A unit that does not answer is given
 * up after {@link SILENT_MAX} requests; the runner then tries it again with growing waits, and one request is enough to
 * know: so a dead unit takes little of the others' time on its bus. An exception is an answer. What a device refuses
 * (1 to 3) is asked for in smaller parts until it is known which register it is, and that one again only after
 * {@link REFUSED_RETRY_MS}; what fails in the device (4 and the like) after {@link FAILED_RETRY_MS}.
 */
import { now } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { nextTickMs } from '../../base/ticks.ts';
import { type MachineEvent, type Sample, TEXT_LENGTH_MAX } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import type { CreateDriver, Driver, DriverContext } from '../../ports/driver.ts';
import { type Bus, NoAnswer } from './bus.ts';
import { Buses } from './buses.ts';
import type { FieldSettings, ModbusOptions } from './options.ts';
import { describe, ModbusException } from './pdu.ts';
import { type Block, divided, planBlocks } from './plan.ts';
import { type FieldValue, fieldValue, rawValue } from './values.ts';

export const create: CreateDriver<ModbusOptions> = (options) => new ModbusDriver(options);

/** Requests in a row without a usable answer after which a unit is given up. */
export const SILENT_MAX = 3;
export const REFUSED_RETRY_MS = 60_000;
export const FAILED_RETRY_MS = 5_000;
/** A device that is busy is asked so many times in a poll, so long after another. */
export const BUSY_TRIES_MAX = 3;
export const BUSY_WAIT_MS = 100;
export const BUSY_RETRY_MS = 1_000;

const STATE = 'machine_state';

/** Of this process: a serial line can be opened once. */
const ofThisProcess = new Buses();

export class ModbusDriver implements Driver {
  readonly #options: ModbusOptions;
  readonly #buses: Buses;

  constructor(options: ModbusOptions, buses: Buses = ofThisProcess) {
    this.#options = options;
    this.#buses = buses;
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    const bus = this.#buses.acquire(this.#options.bus, context.clock);
    try {
      await new Polling({ options: this.#options, bus, context, signal }).run();
    } finally {
      await this.#buses.release(bus);
    }
  }
}

interface PollingParts {
  readonly options: ModbusOptions;
  readonly bus: Bus;
  readonly context: DriverContext;
  readonly signal: AbortSignal;
}

/** A block, and when to read it. */
interface Scheduled {
  readonly block: Block;
  dueMs: number;
  /** Why it could not be read the last time; null: it could. */
  fault: string | null;
  isRefused: boolean;
}

/** From one connection to its end. */
class Polling {
  readonly #parts: PollingParts;
  #schedule: Scheduled[];
  readonly #known = new Set<string>();
  #state: MachineState | undefined;
  #isConnected = false;
  #hasAnswered = false;
  #silent = 0;

  constructor(parts: PollingParts) {
    this.#parts = parts;
    this.#schedule = planBlocks(parts.options.fields, parts.options).map(scheduled);
  }

  /** Resolves when aborted; rejects when the unit or the connection is lost. */
  async run(): Promise<void> {
    const { context, signal } = this.#parts;
    const { clock } = context;
    let dueMs = clock.monotonicMs();
    while (!signal.aborted) {
      try {
        await context.room();
        await this.#poll(dueMs);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#isConnected) this.#lose();
        throw error;
      }
      dueMs = nextTickMs(dueMs, context.samplingIntervalMs(), clock.monotonicMs());
      await clock.sleep(dueMs - clock.monotonicMs(), signal);
    }
  }

  /** @param tickMs the instant of the grid that it is for */
  async #poll(tickMs: number): Promise<void> {
    const { context, signal } = this.#parts;
    const values = new Map<string, FieldValue>();
    let timestamp: string | undefined;
    let stateReason = '';
    // The parts of a block that is refused are added while it runs.
    const due = this.#schedule.filter((one) => one.dueMs <= tickMs);
    for (const one of due) {
      const data = await this.#read(one, tickMs, due);
      if (signal.aborted) return;
      if (data === 'silent') break;
      timestamp ??= now(context.clock);
      for (const field of one.block.fields) {
        if (data !== undefined) {
          values.set(field.name, fieldValue(field, data, one.block.request.address));
          if (field.name === STATE) stateReason = this.#reasonOf(field, data, one.block);
        } else if (one.fault !== null && this.#known.has(field.name)) {
          values.set(field.name, null);
        }
      }
    }
    this.#throwIfAllRefused();
    if (timestamp === undefined) return;
    // What is read every minute only is not silent meanwhile.
    const nextDueMs = Math.min(...this.#schedule.map(({ dueMs }) => dueMs));
    context.alive(Math.max(0, nextDueMs - context.clock.monotonicMs()));
    if (values.size === 0) return;
    this.#emit(values, timestamp, stateReason);
  }

  /** The answer's data; undefined where the device does not give it; `silent` where the unit did not answer. */
  async #read(one: Scheduled, tickMs: number, due: Scheduled[]): Promise<Buffer | undefined | 'silent'> {
    const { options, bus, context, signal } = this.#parts;
    const { unit, timeoutMs } = options;
    const { block } = one;
    one.dueMs = block.intervalMs === null ? 0 : nextTickMs(one.dueMs || tickMs, block.intervalMs, tickMs + 1);
    for (let tries = 1; ; tries += 1) {
      try {
        const askedMs = context.clock.monotonicMs();
        const data = await bus.read({ unit, request: block.request, timeoutMs, signal });
        this.#answered({ isRefusal: false });
        context.answered(context.clock.monotonicMs() - askedMs);
        this.#cleared(one);
        return data;
      } catch (error) {
        if (!(error instanceof ModbusException)) return this.#missed(error);
        if (error.exception === 10 || error.exception === 11) return this.#missed(error);
        this.#answered({ isRefusal: error.exception <= 3 });
        if (!isBusy(error)) return this.#refused(one, error, due);
        if (tries >= BUSY_TRIES_MAX) return this.#failed(one, error, BUSY_RETRY_MS);
        await context.clock.sleep(BUSY_WAIT_MS, signal);
      }
    }
  }

  /** A unit that has refused all so far is not said to be connected: it may be that nothing can be read as configured. */
  #answered({ isRefusal }: { isRefusal: boolean }): void {
    const { context } = this.#parts;
    this.#silent = 0;
    this.#hasAnswered = true;
    if (this.#isConnected) return context.alive();
    if (isRefusal) return;
    this.#isConnected = true;
    context.connected();
  }

  /** @throws the error, told with the unit and its place, when the unit is to be given up */
  #missed(error: unknown): 'silent' {
    const { bus, options, context } = this.#parts;
    if (!(error instanceof MillwrightError)) throw error;
    const isOfUnit = error instanceof NoAnswer || error.code === 'protocol_violation';
    if (!isOfUnit) throw error;
    context.answered(null);
    this.#silent += 1;
    if (this.#hasAnswered && this.#silent < SILENT_MAX) return 'silent';
    throw new MillwrightError('connection_failed', `unit ${options.unit} at ${bus.place} cannot be read`, {
      cause: error,
    });
  }

  #refused(one: Scheduled, error: ModbusException, due: Scheduled[]): undefined {
    const isRefused = error.exception <= 3;
    const parts = isRefused ? divided(one.block) : [];
    if (parts.length === 0) return this.#failed(one, error, isRefused ? REFUSED_RETRY_MS : FAILED_RETRY_MS);
    const smaller = parts.map((block) => ({ ...scheduled(block), dueMs: one.dueMs }));
    this.#schedule = this.#schedule.flatMap((other) => (other === one ? smaller : [other]));
    due.push(...smaller);
    return undefined;
  }

  #failed(one: Scheduled, error: ModbusException, retryMs: number): undefined {
    const { context, options } = this.#parts;
    const what = describe(one.block.request, options.addressBase);
    const text = `unit ${options.unit}, ${what}: ${error.message}`;
    one.isRefused = error.exception <= 3;
    one.dueMs = context.clock.monotonicMs() + retryMs;
    if (one.fault === text) return undefined;
    one.fault = text;
    const names = namesOf(one.block);
    context.problem(names, text);
    this.#emitEvent({ event_type: 'message', item: names.slice(0, TEXT_LENGTH_MAX), text });
    return undefined;
  }

  #cleared(one: Scheduled): void {
    if (one.fault === null) return;
    this.#parts.context.problem(namesOf(one.block), null);
    one.fault = null;
    one.isRefused = false;
  }

  /** Nothing of the unit can be read as it is configured: that is for a person, and told as the source's own fault. */
  #throwIfAllRefused(): void {
    if (!this.#schedule.every((one) => one.isRefused)) return;
    const faults = this.#schedule.map((one) => one.fault ?? '');
    const more = faults.length > 1 ? `; and ${faults.length - 1} more` : '';
    throw new MillwrightError('config_invalid', `${this.#parts.bus.place}: ${faults[0]}${more}`);
  }

  #emit(values: ReadonlyMap<string, FieldValue>, timestamp: string, stateReason: string): void {
    const { context } = this.#parts;
    const sample: Sample = { machine_id: context.machineId, timestamp, ...Object.fromEntries(values) };
    for (const [name, value] of values) {
      if (value === null) this.#known.delete(name);
      else this.#known.add(name);
    }
    const state = sample.machine_state;
    if (typeof state === 'string' && state !== this.#state) {
      const previous = this.#state === undefined ? {} : { previous_state: this.#state };
      this.#state = state;
      this.#emitEvent({ event_type: 'state', state, ...previous, text: stateReason }, timestamp);
    }
    context.emit(sample);
  }

  /** What was known is not known any more; that the machine is offline, the runner says. */
  #lose(): void {
    const { context } = this.#parts;
    if (this.#known.size === 0) return;
    const values = [...this.#known].map((name) => [name, name === STATE ? 'offline' : null]);
    context.emit({ machine_id: context.machineId, timestamp: now(context.clock), ...Object.fromEntries(values) });
  }

  #reasonOf(field: FieldSettings, data: Buffer, { request }: Block): string {
    const place = describe({ ...request, address: field.address, count: 1 }, this.#parts.options.addressBase);
    return `${place} is ${String(rawValue(field, data, request.address))}`;
  }

  #emitEvent(event: Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>, timestamp?: string): void {
    const { context } = this.#parts;
    const origin = {
      machine_id: context.machineId,
      timestamp: timestamp ?? now(context.clock),
      kind: 'event',
    } as const;
    context.emit({ ...origin, ...event });
  }
}

function scheduled(block: Block): Scheduled {
  return { block, dueMs: 0, fault: null, isRefused: false };
}

function namesOf({ fields }: Block): string {
  return fields.map(({ name }) => name).join(', ');
}

/** 5: it has begun and needs longer; 6: it does something else. */
function isBusy({ exception }: ModbusException): boolean {
  return exception === 5 || exception === 6;
}
