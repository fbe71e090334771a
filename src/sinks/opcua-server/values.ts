/**
 * What is shown of each machine: the newest value of each of its variables, and how far it is to be believed. Pure.
 *
 * A value of a sample is what is now: once a source was lost, it is doubtful until it is said again. A value of a
 * measurement is what was measured last, and as good as ever when the source is back.
 */
import type { JsonValue, Measurement, Reading, Sample } from '../../model/reading.ts';
import { isSignalKey } from '../../model/reading.ts';
import { READ_FROM_KEY } from '../../model/read-from.ts';
import { signalNamed } from '../../model/signals.ts';
import { microsOf } from '../../model/time.ts';

/** Variables of all machines together; of what is named beyond it nothing is shown. */
export const VARIABLES_MAX = 20_000;
/** A machine whose clock is further ahead than this does not keep its next values from being shown. */
const AHEAD_MICROS_MAX = 60_000_000;

export type ValueType = 'double' | 'int32' | 'boolean' | 'text' | 'time';

/**
 * waiting: nothing was said yet. unavailable: the source itself says that it is not known. no_communication: the source is
 * lost, the value is the last one. last_known: from before the source was lost, or before the edge was started.
 * wrong_type: a text where a number was, or the like, or a text too long to be shown.
 */
export type Quality = 'good' | 'waiting' | 'unavailable' | 'no_communication' | 'last_known' | 'wrong_type';

export interface Variable {
  readonly machine: string;
  /** The characteristic it belongs to; null: the machine itself. */
  readonly feature: string | null;
  readonly name: string;
  /** For people; the same as `name` where there is nothing better. */
  readonly label: string;
  /** The unit's symbol; empty for none. */
  readonly unit: string;
  readonly type: ValueType;
  /** null: not known. A time is microseconds since 1970. */
  readonly value: number | boolean | string | null;
  /** Of the reading that it is from; null while there was none. */
  readonly micros: number | null;
  readonly quality: Quality;
}

/** How the sources of a machine fare together. unknown: none has said so far. */
export type Link = 'unknown' | 'up' | 'partly' | 'down';

/** Longest text that is shown, in UTF-16 units: one that fills an answer keeps a client from all the rest of it. */
const TEXT_LENGTH_MAX = 32_768;

interface Held {
  variable: Variable;
  readonly isMeasured: boolean;
  /** Said since the edge was started, and since a source was last lost. */
  isFresh: boolean;
  /** Said since the edge was started. What is from before may be of another configuration, and settles no type. */
  isTypeSettled: boolean;
  isWrongType: boolean;
}

interface Machine {
  readonly id: string;
  readonly held: Map<string, Held>;
  link: Link;
  /** What it said last of its state; undefined: nothing so far. */
  told: Told | undefined;
}

interface Told {
  readonly state: string | null;
  readonly micros: number;
  /** Of the batch that it was in. */
  readonly sequence: number;
  readonly isFresh: boolean;
}

/** Signals by the name under which they are shown, which has the unit. */
const SIGNAL_NAMES: { readonly [signal: string]: string } = {
  temperature: 'Temperature_C',
  spindle_speed: 'Spindle_Speed_rpm',
  x_pos_mm: 'X_Position_mm',
  y_pos_mm: 'Y_Position_mm',
  z_pos_mm: 'Z_Position_mm',
  feed_rate_actual: 'Feed_Rate_mm_min',
  spindle_load_percent: 'Spindle_Load_percent',
  active_program_line: 'Active_Program_Line',
  total_power_kw: 'Total_Power_kW',
};

const STATUS = { name: 'Device_Status', label: 'Status', unit: '', type: 'text' } as const;
const LAST_UPDATE = { name: 'Last_Update', label: 'Last update', unit: '', type: 'time' } as const;

type Description = Pick<Variable, 'name' | 'label' | 'unit' | 'type'>;
type Value = Variable['value'];

/** Of a measurement: its name there, what it is called, and which of them have the unit of the measurement. */
const MEASURED: readonly (readonly [name: string, label: string, value: (of: Measurement) => number | undefined])[] = [
  ['Measured', 'Measured', (of) => of.measured_value],
  ['Compensated', 'Compensated to 20 °C', (of) => of.compensated_value],
  ['Deviation', 'Deviation from nominal', deviationOf],
  ['Expanded_Uncertainty', 'Expanded uncertainty U (k = 2)', (of) => of.expanded_uncertainty],
  ['Nominal', 'Nominal', (of) => of.nominal_value],
  ['Lower_Limit', 'Lower limit', (of) => of.lower_limit],
  ['Upper_Limit', 'Upper limit', (of) => of.upper_limit],
];

/** Of what is told of a machine by other means; a signal that is called so has `_` behind its name. */
const RESERVED: ReadonlySet<string> = new Set([
  STATUS.name,
  LAST_UPDATE.name,
  ...Object.values(SIGNAL_NAMES),
  ...['Verdict', 'Distrust', 'Serial_Number', 'Part_Id', 'Measured_At', 'Characteristic'],
  ...MEASURED.flatMap(([name]) => [`${name}_mm`, `${name}_Length_mm`]),
]);

/** Those that are lengths by themselves have it in their names: `Measured_Length_mm`, but `Deviation_mm`. */
const NAMED_LENGTH: readonly string[] = ['Measured', 'Compensated', 'Nominal'];

const MILLIMETRES: ReadonlyMap<string, number> = new Map([
  ['mm', 1],
  ['um', 1e-3],
  ['µm', 1e-3],
  ['μm', 1e-3],
  ['cm', 10],
  ['m', 1000],
  ['in', 25.4],
  ['inch', 25.4],
]);

export interface NewestValuesOptions {
  /** Null: all. */
  readonly machines: readonly string[] | null;
  /** Called for each value or quality that is another now; in the order of the readings. */
  readonly onChange: (variable: Variable) => void;
}

export class NewestValues {
  readonly #options: NewestValuesOptions;
  readonly #machines = new Map<string, Machine>();
  #variables = 0;
  #notShown = 0;

  constructor(options: NewestValuesOptions) {
    this.#options = options;
  }

  /** How many values were not shown, because there would have been too many variables. */
  get notShown(): number {
    return this.#notShown;
  }

  /** A machine of which nothing has been said yet; does nothing where it is known. */
  addMachine(id: string): void {
    if (this.#isWanted(id)) this.#machineOf(id);
  }

  /** All that is shown. */
  *variables(): Generator<Variable> {
    for (const { held } of this.#machines.values()) for (const { variable } of held.values()) yield variable;
  }

  /** `sequence`: of the batch that it is in. `isFresh`: it was read since the edge was started. */
  take(reading: Reading, from: Pick<Context, 'sequence' | 'isFresh' | 'nowMicros'>): void {
    if (!this.#isWanted(reading.machine_id)) return;
    const { kind } = reading;
    // What the edge itself says of a machine is no news of it.
    if (kind === 'event' && reading.event_type !== 'state') return;
    const machine = this.#machineOf(reading.machine_id);
    const context = { ...from, machine, micros: microsOf(reading.timestamp) };
    if (kind === 'event') {
      if (reading.state !== undefined) this.#takeState(context, reading.state);
      return;
    }
    if (kind === 'measurement') this.#takeMeasurement(context, reading);
    else this.#takeSample(context, reading);
    this.#set(context, { ...LAST_UPDATE, value: context.micros }, { isMeasured: true });
  }

  /**
   * How the sources of the machine fare now. Its status changes at `micros`. `isLost`: one more of them was lost; then all
   * that was said so far is doubtful, since it is not known which of them said it.
   */
  setLink(id: string, link: Link, micros: number, { isLost = link === 'down' }: { isLost?: boolean } = {}): void {
    const machine = this.#machines.get(id);
    if (machine === undefined || (machine.link === link && !isLost)) return;
    if (isLost) doubt(machine);
    machine.link = link;
    this.#showStatus(machine, micros);
    this.#look(machine);
  }

  #takeSample(context: Context, sample: Sample): void {
    for (const [key, value] of Object.entries(sample)) {
      if (value === undefined || !isSignalKey(key) || key === READ_FROM_KEY) continue;
      if (key === 'machine_state') this.#takeState(context, typeof value === 'string' ? value : null);
      else this.#set(context, { ...described(key, value), value: shownAs(value) }, { isMeasured: false });
    }
  }

  /**
   * Of what was said since the edge was started, the last word in the log counts, whatever its time: the edge itself says
   * `offline` by its own clock, and that of the machine may be behind. The newest batches may come before older ones.
   */
  #takeState({ machine, micros, sequence, isFresh }: Context, state: string | null): void {
    const { told } = machine;
    const isOld = told?.isFresh === true && (!isFresh || sequence < told.sequence);
    if (isOld || (told !== undefined && !isFresh && micros < told.micros)) return;
    machine.told = { state, micros, sequence, isFresh };
    const isOther = (state === 'offline') !== (told?.state === 'offline');
    if (isOther && state === 'offline') doubt(machine);
    this.#showStatus(machine, micros);
    if (isOther) this.#look(machine);
  }

  /** The edge's own word where the source is lost, else the machine's; `online` for one that says none. */
  #showStatus(machine: Machine, micros: number): void {
    const { held, link, told } = machine;
    const status = held.get(STATUS.name);
    if (status === undefined || (link === 'unknown' && told === undefined)) return;
    const isOfEdge = link === 'down' || told === undefined;
    const value = link === 'down' ? 'offline' : told === undefined ? 'online' : told.state;
    status.isFresh = isOfEdge || (told.isFresh && micros === told.micros);
    this.#show(status, machine, { ...status.variable, value, micros: isOfEdge ? micros : told.micros });
  }

  #takeMeasurement(context: Context, measurement: Measurement): void {
    const { characteristic, unit, temperature_c, verdict, serial_number, part_id, distrust } = measurement;
    const millimetres = MILLIMETRES.get(unit);
    const entries: (Description & { value: Value })[] = [];
    const add = (name: string, label: string, value: Value, type: ValueType = 'text', of = ''): void => {
      entries.push({ name, label, unit: of, type, value });
    };
    for (const [name, label, valueOf] of MEASURED) {
      const value = valueOf(measurement) ?? null;
      if (millimetres === undefined) {
        add(NAMED_LENGTH.includes(name) ? `${name}_Value` : name, label, value, 'double', unit);
      } else {
        const shown = value === null || millimetres === 1 ? value : value * millimetres;
        add(`${name}${NAMED_LENGTH.includes(name) ? '_Length' : ''}_mm`, label, shown, 'double', 'mm');
      }
    }
    add('Verdict', 'Verdict', verdict ?? null);
    add('Distrust', 'Why it is not to be trusted', distrust === undefined ? '' : distrust.join('; '));
    add('Serial_Number', 'Serial number', serial_number ?? null);
    add('Part_Id', 'Part', part_id ?? null);
    add('Measured_At', 'Measured at', context.micros, 'time');
    if (temperature_c !== undefined) add('Temperature_C', 'Temperature', temperature_c, 'double', '°C');
    for (const entry of entries) {
      this.#set(context, entry, { isMeasured: true, feature: characteristic });
      // The machine itself shows the newest of all its features, as long as those are lengths.
      if (millimetres !== undefined) this.#set(context, entry, { isMeasured: true });
    }
    if (millimetres !== undefined) {
      const name = { name: 'Characteristic', label: 'Characteristic', unit: '', type: 'text' } as const;
      this.#set(context, { ...name, value: characteristic }, { isMeasured: true });
    }
  }

  /** Unless what is shown is newer. */
  #set(context: Context, described: Description & { value: Value }, { isMeasured, feature = null }: Place): void {
    const { machine, micros, isFresh, nowMicros } = context;
    const key = feature === null ? described.name : `${described.name}\0${feature}`;
    let held = machine.held.get(key);
    if (held === undefined) {
      // What is not known, and never was, is no variable yet.
      if (described.value === null && feature === null && !isMeasured && described.type === 'text') return;
      if (this.#variables >= VARIABLES_MAX) {
        this.#notShown += 1;
        return;
      }
      this.#variables += 1;
      held = { ...newVariable(machine.id, feature, described), isMeasured };
      machine.held.set(key, held);
    }
    const shownMicros = held.variable.micros;
    if (shownMicros !== null && micros < shownMicros && shownMicros <= nowMicros + AHEAD_MICROS_MAX) return;
    held.isFresh = isFresh;
    if (isFresh && described.value !== null && !held.isTypeSettled) {
      held.isTypeSettled = true;
      held.variable = { ...held.variable, type: described.type };
    }
    held.isWrongType = described.value !== null && !fits(described.value, held.variable.type);
    const value = held.isWrongType ? null : described.value;
    this.#show(held, machine, { ...held.variable, value, micros });
  }

  /** The link is another: so may be the quality of all that is held. */
  #look(machine: Machine): void {
    for (const held of machine.held.values()) {
      if (qualityOf(held, machine) !== held.variable.quality) this.#show(held, machine, held.variable);
    }
  }

  #show(held: Held, machine: Machine, variable: Variable): void {
    held.variable = variable;
    const quality = qualityOf(held, machine);
    if (quality !== variable.quality) held.variable = { ...variable, quality };
    this.#options.onChange(held.variable);
  }

  #isWanted(machine: string): boolean {
    return this.#options.machines?.includes(machine) ?? true;
  }

  #machineOf(id: string): Machine {
    const known = this.#machines.get(id);
    if (known !== undefined) return known;
    const machine: Machine = { id, held: new Map(), link: 'unknown', told: undefined };
    this.#machines.set(id, machine);
    for (const described of [STATUS, LAST_UPDATE]) {
      const held = { ...newVariable(id, null, described), isMeasured: described !== STATUS };
      machine.held.set(described.name, held);
      this.#variables += 1;
      this.#options.onChange(held.variable);
    }
    return machine;
  }
}

interface Context {
  readonly machine: Machine;
  readonly micros: number;
  readonly sequence: number;
  readonly isFresh: boolean;
  readonly nowMicros: number;
}

interface Place {
  readonly isMeasured: boolean;
  readonly feature?: string | null;
}

function newVariable(machine: string, feature: string | null, described: Description): Omit<Held, 'isMeasured'> {
  const { name, label, unit, type } = described;
  const common = { machine, feature, name, label, unit, type };
  const variable = { ...common, value: null, micros: null, quality: 'waiting' } as const;
  return { variable, isFresh: false, isTypeSettled: false, isWrongType: false };
}

/** What was said so far is doubtful until it is said again. */
function doubt(machine: Machine): void {
  for (const held of machine.held.values()) held.isFresh = false;
}

function qualityOf(held: Held, { link, told }: Machine): Quality {
  const { variable, isMeasured, isFresh, isWrongType } = held;
  if (variable.micros === null) return 'waiting';
  // The status is known to be `offline` where all else is not known.
  if (!isStatus(variable)) {
    if (link === 'down' || (!isMeasured && told?.state === 'offline')) return 'no_communication';
  }
  if (isWrongType) return 'wrong_type';
  if (variable.value === null) return 'unavailable';
  if (!isMeasured && !isFresh) return 'last_known';
  return isMeasured && link === 'unknown' && !isFresh ? 'last_known' : 'good';
}

function isStatus({ feature, name }: Variable): boolean {
  return feature === null && name === STATUS.name;
}

function described(key: string, value: JsonValue): Description {
  const signal = signalNamed(key);
  if (signal === undefined) {
    return { name: RESERVED.has(key) ? `${key}_` : key, label: key, unit: '', type: typeOf(value) };
  }
  const type = signal.type === 'number' ? 'double' : signal.type === 'integer' ? 'int32' : 'text';
  return { name: SIGNAL_NAMES[key] ?? key, label: signal.label, unit: signal.unit, type };
}

function typeOf(value: JsonValue): ValueType {
  if (typeof value === 'number') return 'double';
  return typeof value === 'boolean' ? 'boolean' : 'text';
}

/** Lists and objects are their JSON. */
function shownAs(value: JsonValue): Value {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value;
}

function fits(value: number | boolean | string, type: ValueType): boolean {
  if (type === 'text') return typeof value === 'string' && value.length <= TEXT_LENGTH_MAX;
  return type === 'boolean' ? typeof value === 'boolean' : typeof value === 'number';
}

function deviationOf({ measured_value, compensated_value, nominal_value }: Measurement): number | undefined {
  return nominal_value === undefined ? undefined : (compensated_value ?? measured_value) - nominal_value;
}
