/** What the lines of a source mean: from edges to readings. No port, and no clock but the instants that it is handed. */
import type { JsonValue, MachineEvent, Reading, Sample } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import { type Timestamp, timestampOf } from '../../model/time.ts';
import { type Change, Debounce } from './debounce.ts';
import { Lamp, type Segment } from './lamp.ts';
import type { GpioOptions, LineSettings } from './options.ts';
import { type Decision, decide } from './stack-light.ts';

/** The instant, by both clocks. */
export interface Now {
  readonly monotonicMs: number;
  readonly micros: number;
}

interface Line {
  readonly settings: LineSettings;
  readonly debounce: Debounce;
  /** Of a lamp. */
  readonly lamp: Lamp | undefined;
  countedMs: number;
}

export interface ReadingTaker {
  readonly machineId: string;
  emit(reading: Reading): void;
}

export class Lines {
  readonly #options: GpioOptions;
  readonly #taker: ReadingTaker;
  readonly #lines: readonly Line[];
  readonly #counts: Map<string, number>;
  #state: MachineState | undefined;
  readonly #known = new Set<string>();

  /** @param counts parts by name; they outlive a connection */
  constructor(options: GpioOptions, taker: ReadingTaker, counts: Map<string, number>) {
    this.#options = options;
    this.#taker = taker;
    this.#counts = counts;
    this.#lines = options.lines.map((settings) => ({
      settings,
      debounce: new Debounce(settings.debounceMs),
      lamp: settings.use.kind === 'lamp' ? new Lamp(options.blinkMs) : undefined,
      countedMs: Number.NEGATIVE_INFINITY,
    }));
  }

  /** @param levels on the wire */
  start(levels: readonly boolean[], now: Now): void {
    const values: { [name: string]: JsonValue } = {};
    for (const [index, { settings, debounce, lamp }] of this.#lines.entries()) {
      const isActive = levels[index] !== settings.isActiveLow;
      debounce.start(isActive);
      lamp?.start(isActive, now.monotonicMs);
      if (settings.use.kind === 'input') values[settings.name] = isActive;
    }
    if (Object.keys(values).length > 0) this.#emit(values, timestampOf(now.micros));
    this.#decide(now);
  }

  /** @param isHigh on the wire */
  edge(index: number, isHigh: boolean, atMs: number, now: Now): void {
    const line = this.#lines[index]!;
    const change = line.debounce.edge(isHigh !== line.settings.isActiveLow, atMs);
    if (change !== undefined) this.#changed(line, change, now);
  }

  /** What is true by now, because nothing has changed since. */
  settle(now: Now): void {
    for (const line of this.#lines) {
      const change = line.debounce.settle(now.monotonicMs);
      if (change !== undefined) this.#changed(line, change, now);
      for (const segment of line.lamp?.settle(now.monotonicMs) ?? []) this.#lampIs(line, segment, now);
    }
    this.#decide(now);
  }

  /** @returns the lines that stand otherwise than was told; their levels are taken for edges */
  check(levels: readonly boolean[], now: Now): string[] {
    const missed = this.#lines.flatMap(({ settings, debounce }, index) => {
      const isActive = levels[index] !== settings.isActiveLow;
      return isActive === debounce.told ? [] : [{ index, name: settings.name }];
    });
    for (const { index } of missed) this.edge(index, levels[index]!, now.monotonicMs, now);
    return missed.map(({ name }) => name);
  }

  /** When to settle again, by the monotonic clock. */
  get dueMs(): number {
    return Math.min(...this.#lines.map(({ debounce, lamp }) => Math.min(debounce.dueMs, lamp?.dueMs ?? Infinity)));
  }

  /** Whether a level waits for counting. */
  get isBouncing(): boolean {
    return this.#lines.some(({ debounce }) => debounce.dueMs < Infinity);
  }

  /** Nothing is known any more; that the machine is offline, the runner says. */
  lose(now: Now): void {
    const values: { [name: string]: JsonValue } = Object.fromEntries([...this.#known].map((name) => [name, null]));
    if (this.#state !== undefined) values['machine_state'] = 'offline';
    if (Object.keys(values).length > 0) this.#emit(values, timestampOf(now.micros));
  }

  #changed(line: Line, { level, atMs }: Change, now: Now): void {
    const { settings, lamp } = line;
    const { use, name } = settings;
    switch (use.kind) {
      case 'input':
        this.#emit({ [name]: level }, timeOf(atMs, now));
        return;
      case 'lamp':
        for (const segment of lamp?.change(level, atMs) ?? []) this.#lampIs(line, segment, now);
        this.#decide(now);
        return;
      case 'part_counter':
        if (!level || atMs - line.countedMs < use.minIntervalMs) return;
        line.countedMs = atMs;
        this.#count(name, timeOf(atMs, now));
    }
  }

  #lampIs({ settings }: Line, { pattern, sinceMs }: Segment, now: Now): void {
    this.#emit({ [settings.name]: pattern }, timeOf(sinceMs, now));
  }

  #count(name: string, timestamp: Timestamp): void {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    this.#emitEvent({ event_type: 'part', item: name, details: { part_count: count } }, timestamp);
    this.#emit({ [name]: count }, timestamp);
  }

  #decide(now: Now): void {
    const { meanings, none } = this.#options;
    const lamps = this.#lines.flatMap(({ settings: { use }, lamp }) => {
      return use.kind === 'lamp' && lamp !== undefined ? [{ colour: use.colour, lamp }] : [];
    });
    if (lamps.length === 0) return;
    const decision = decide(
      lamps.map(({ colour, lamp }) => ({ colour, possible: lamp.possible })),
      meanings,
      none,
    );
    if (decision === undefined || decision.state === this.#state) return;
    this.#setState(decision, timeOf(Math.max(...lamps.map(({ lamp }) => lamp.sinceMs)), now));
  }

  #setState({ state, text }: Decision, timestamp: Timestamp): void {
    const previous = this.#state === undefined ? {} : { previous_state: this.#state };
    this.#state = state;
    this.#emitEvent({ event_type: 'state', state, ...previous, text }, timestamp);
    this.#emit({ machine_state: state }, timestamp);
  }

  #emit(values: { readonly [name: string]: JsonValue }, timestamp: Timestamp): void {
    for (const name of Object.keys(values)) if (name !== 'machine_state') this.#known.add(name);
    const sample: Sample = { machine_id: this.#taker.machineId, timestamp, ...values };
    this.#taker.emit(sample);
  }

  #emitEvent(event: Omit<MachineEvent, 'machine_id' | 'timestamp' | 'kind'>, timestamp: Timestamp): void {
    this.#taker.emit({ machine_id: this.#taker.machineId, timestamp, kind: 'event', ...event });
  }
}

/** The wall clock's time of an instant of the monotonic one. */
function timeOf(atMs: number, now: Now): Timestamp {
  return timestampOf(now.micros - Math.round((now.monotonicMs - atMs) * 1000));
}
