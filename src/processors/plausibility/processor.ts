/**
 * The processor `plausibility`: tells values that cannot be true from those that can, and a source's clock that is wrong.
 *
 * It goes by what was really said, keeps nothing back, and loses nothing: a value that is removed is kept beside its
 * null, a time that is replaced beside the gateway's. docs/processors/plausibility.md has the rules and the keys.
 */
import { type Clock, systemClock } from '../../base/clock.ts';
import type { JsonValue, MachineEvent, Reading, Sample } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';
import { microsOf } from '../../model/time.ts';
import type { Processor } from '../../ports/processor.ts';
import type { PlausibilityOptions, SignalRules } from './options.ts';
import { type Correction, type Judgement, type Quality, SignalWatch } from './signal-watch.ts';
import { atGatewayTime, clockFault } from './source-clock.ts';
import { Violations } from './violations.ts';

/** Behind a signal's name: what is known of its value. */
export const QUALITY_SUFFIX = '_quality';
/** Behind a signal's name: the value that was removed. */
export const RAW_SUFFIX = '_raw';

const CLOCK = 'source_clock';
/** Machines whose values are remembered; one more, and the first is forgotten: its next values are compared with nothing. */
export const MACHINES_MAX = 10_000;

export function create(options: PlausibilityOptions, clock: Clock = systemClock): Processor {
  return new PlausibilityProcessor(options, clock);
}

class PlausibilityProcessor implements Processor {
  readonly #options: PlausibilityOptions;
  readonly #clock: Clock;
  readonly #machines = new Map<string, MachineWatch>();

  constructor(options: PlausibilityOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  process(reading: Reading): readonly Reading[] {
    const { machine_id: machineId } = reading;
    let machine = this.#machines.get(machineId);
    if (machine === undefined) {
      const [first] = this.#machines.keys();
      if (first !== undefined && this.#machines.size >= MACHINES_MAX) this.#machines.delete(first);
      this.#machines.set(machineId, (machine = new MachineWatch(machineId, this.#options)));
    }
    return machine.process(reading, () => this.#clock.nowMicros());
  }
}

/** A signal, what was last said of it, and its runs of violations. */
interface Watched {
  readonly watch: SignalWatch;
  readonly violations: Violations;
  /** Whether a rule may take a value out. */
  readonly removes: boolean;
  /** Undefined: nothing yet, and what was said before a restart may still stand. */
  said: { quality: Quality; isRemoved: boolean } | undefined;
}

class MachineWatch {
  readonly #machineId: string;
  readonly #options: PlausibilityOptions;
  readonly #clockViolations: Violations;
  readonly #rules: readonly (readonly [string, SignalRules])[];
  /** Of the signals that the machine has. */
  readonly #signals = new Map<string, Watched>();
  #state: MachineState | undefined;

  constructor(machineId: string, options: PlausibilityOptions) {
    this.#machineId = machineId;
    this.#options = options;
    this.#clockViolations = new Violations(machineId, CLOCK);
    this.#rules = Object.entries(options.signals);
  }

  process(reading: Reading, nowMicros: () => number): readonly Reading[] {
    const { reading: timed, events } = this.#timed(reading, nowMicros);
    if (timed.kind === 'event' || timed.kind === 'measurement') {
      if (timed.kind === 'event' && timed.state !== undefined) this.#state = timed.state;
      return [timed, ...events];
    }
    if (timed.machine_state !== undefined) this.#state = timed.machine_state ?? undefined;
    return [...this.#judged(timed, events), ...events];
  }

  #timed(reading: Reading, nowMicros: () => number): { reading: Reading; events: MachineEvent[] } {
    const { clock } = this.#options;
    if (clock === null) return { reading, events: [] };
    const micros = reading.gateway_time === undefined ? nowMicros() : microsOf(reading.gateway_time);
    const text = clockFault(clock, reading.timestamp, micros);
    if (text === undefined) return { reading, events: this.#clockViolations.ended(micros) };
    const event = this.#clockViolations.add({ code: CLOCK, text }, micros);
    return { reading: atGatewayTime(reading, micros), events: event === undefined ? [] : [event] };
  }

  /** The corrections of earlier samples, and the sample as it is to be; the events are added to those given. */
  #judged(sample: Sample, events: MachineEvent[]): Sample[] {
    const out: Sample[] = [];
    const changes: { [key: string]: JsonValue } = {};
    const micros = microsOf(sample.timestamp);
    for (const [name, rules] of this.#rules) {
      const value = Object.hasOwn(sample, name) ? sample[name] : undefined;
      // What is no finite number is written as null, and is not known.
      if (typeof value !== 'number' || !Number.isFinite(value)) {
        const watch = this.#signals.get(name)?.watch;
        const corrections = value === undefined ? watch?.elapsed(micros) : watch?.forget();
        out.push(...this.#corrected(name, corrections ?? [], events));
        continue;
      }
      const watched = this.#watched(name, rules);
      const judgement = watched.watch.judge(value, sample.timestamp, this.#state);
      out.push(...this.#corrected(name, judgement.corrections, events));
      Object.assign(changes, said(name, { value, judgement, watched }));
      const { quality, text } = judgement;
      const event = text === '' ? undefined : watched.violations.add({ code: quality, text }, micros);
      if (event !== undefined) events.push(event);
      if (quality === 'good') events.push(...watched.violations.ended(micros));
    }
    out.push(Object.keys(changes).length === 0 ? sample : { ...sample, ...changes });
    return out;
  }

  #watched(name: string, rules: SignalRules): Watched {
    let watched = this.#signals.get(name);
    if (watched === undefined) {
      watched = {
        watch: new SignalWatch(name, rules),
        violations: new Violations(this.#machineId, name),
        removes: Object.values(rules).some((rule) => rule?.action === 'remove'),
        said: undefined,
      };
      this.#signals.set(name, watched);
    }
    return watched;
  }

  #corrected(name: string, corrections: readonly Correction[], events: MachineEvent[]): Sample[] {
    const watched = this.#signals.get(name);
    if (watched === undefined) return [];
    return corrections.map(({ timestamp, value, quality, text }) => {
      const event = text === '' ? undefined : watched.violations.add({ code: quality, text }, microsOf(timestamp));
      if (event !== undefined) events.push(event);
      const isBack = quality === 'good';
      watched.said = { quality, isRemoved: watched.said?.isRemoved === true && !isBack };
      return {
        machine_id: this.#machineId,
        timestamp,
        ...(isBack ? { [name]: value, [`${name}${RAW_SUFFIX}`]: null } : {}),
        [`${name}${QUALITY_SUFFIX}`]: quality,
      };
    });
  }
}

/**
 * What a sample says of a value's quality: each time that it is not good, and once when it is good again, or for the first
 * time since the start: what was said before it may still stand. So the newest word stands for the newest value, also
 * where samples are merged.
 */
function said(
  name: string,
  { value, judgement, watched }: { value: number; judgement: Judgement; watched: Watched },
): { [key: string]: JsonValue } {
  const { quality, action, isLate } = judgement;
  // A value that may be a flip is only spoken of where it is taken out.
  const isGood = quality === 'good' || (quality === 'unconfirmed' && action === 'mark');
  const isRemoved = !isGood && action === 'remove';
  const removal = isRemoved ? { [name]: null, [`${name}${RAW_SUFFIX}`]: value } : {};
  if (isLate) return isGood ? {} : { ...removal, [`${name}${QUALITY_SUFFIX}`]: quality };
  const before = watched.said ?? { quality: 'unconfirmed', isRemoved: watched.removes };
  const now = isGood ? 'good' : quality;
  watched.said = { quality: now, isRemoved };
  if (isGood && before.quality === 'good') return {};
  const isBack = before.isRemoved && !isRemoved;
  return { ...removal, ...(isBack ? { [`${name}${RAW_SUFFIX}`]: null } : {}), [`${name}${QUALITY_SUFFIX}`]: now };
}
