/** Messages of plain topics in, readings out: by the topics and maps of the configuration. Pure but for what is remembered. */
import type { IncomingMessage } from '../../base/mqtt.ts';
import { isSignalKey, jsonText, type JsonValue, NAME_LENGTH_MAX, type Reading } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import type { Timestamp } from '../../model/time.ts';
import type { Machines, Said } from './machines.ts';
import type { PlainOptions, Target, TopicOptions } from './options.ts';
import { filledTemplate, leavesOf, matches, type Path, parsePath, timeOf, valueAt } from './paths.ts';

/** Readings that one payload, an array, may hold. */
export const ITEMS_MAX = 1_000;
const REASON_LENGTH_MAX = 100;

export interface PlainParts {
  readonly options: PlainOptions;
  readonly machines: Machines;
  /** Of topics that say no machine. */
  readonly machineId: string;
  /** Told what of a topic cannot be used, and why; null: it can again. */
  readonly problem: (item: string, reason: string | null) => void;
}

interface Entry {
  readonly options: TopicOptions;
  readonly filter: readonly string[];
  readonly map: readonly { readonly name: string; readonly path: Path; readonly target: Target }[];
  readonly mapped: ReadonlySet<string>;
  readonly value: Path | null;
  readonly timestamp: Path | null;
}

export class PlainReader {
  readonly #parts: PlainParts;
  readonly #entries: readonly Entry[];

  constructor(parts: PlainParts) {
    this.#parts = parts;
    this.#entries = parts.options.topics.map(entryOf);
  }

  /** @param now the gateway's time, for what says none */
  read(message: IncomingMessage, now: Timestamp): Reading[] {
    const { retained } = this.#parts.options;
    const { topic, payload, isRetained } = message;
    const levels = topic.split('/');
    const entry = this.#entries.find(({ filter }) => matches(filter, levels));
    // Nothing in it is how a publisher takes a retained message back.
    if (entry === undefined || payload.length === 0 || (isRetained && retained === 'none')) return [];
    const place: Place = { topic, levels, entry };
    const value = this.#parsed(place, payload);
    if (value === undefined) return [];
    // Of one value an array is no list of messages.
    if (!Array.isArray(value) || entry.options.name !== null) return this.#one(place, value, now, isRetained);
    if (value.length > ITEMS_MAX) {
      this.#parts.problem(topic, `holds ${value.length} items; allowed: ${ITEMS_MAX}`);
      return [];
    }
    return value.flatMap((item) => this.#one(place, item, now, isRetained));
  }

  #parsed({ topic, entry }: Place, payload: Uint8Array): JsonValue | undefined {
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const isBare = entry.options.name !== null && entry.value === null;
    const text = bytes.toString('utf8');
    try {
      const value = JSON.parse(text) as JsonValue;
      this.#parts.problem(topic, null);
      return value;
    } catch (error) {
      if (isBare && !text.includes('\uFFFD')) {
        this.#parts.problem(topic, null);
        return text.trim();
      }
      const why = error instanceof Error ? error.message.slice(0, REASON_LENGTH_MAX).toWellFormed() : '';
      this.#parts.problem(topic, `is no JSON: ${why.replaceAll('\0', '')}`);
      return undefined;
    }
  }

  #one(place: Place, value: JsonValue, now: Timestamp, isRetained: boolean): Reading[] {
    const { machines, options } = this.#parts;
    const { topic, levels, entry } = place;
    const machineId = this.#machineOf(place);
    if (machineId === undefined) return [];
    const said = entry.options.name === null ? objectSaid(entry, value) : this.#valueSaid(place, value);
    if (said === undefined || said.length === 0) return [];
    const time = this.#timeOf(place, value);
    // How old a retained value is that does not tell its time, nobody knows.
    if (isRetained && options.retained === 'timed' && time === undefined) return [];
    const named = said.map((one) => ({ ...one, item: `${levels.length > 0 ? topic : ''} ${one.item}`.trim() }));
    return machines.take({ machineId, timestamp: time ?? now, said: named });
  }

  #machineOf({ topic, levels, entry }: Place): string | undefined {
    const { machine } = entry.options;
    if (machine === null) return this.#parts.machineId;
    const id = filledTemplate(machine, levels);
    const isName = id !== undefined && id.trim() !== '' && id.length <= NAME_LENGTH_MAX && !id.includes('\0');
    if (!isName) this.#parts.problem(topic, `gives no name of a machine by "${machine}"`);
    return isName ? id : undefined;
  }

  #timeOf({ topic, entry }: Place, value: JsonValue): Timestamp | undefined {
    const { timestamp } = entry.options;
    if (timestamp === null || entry.timestamp === null) return undefined;
    const written = valueAt(value, entry.timestamp);
    const time = timeOf(written, timestamp.format);
    const found = jsonText(written)?.slice(0, REASON_LENGTH_MAX) ?? 'nothing';
    const fault = `has no time of the format ${timestamp.format}, but ${found}: the gateway's time is taken`;
    this.#parts.problem(`${topic} ${timestamp.path}`, time === undefined ? fault : null);
    return time;
  }

  #valueSaid({ topic, levels, entry }: Place, value: JsonValue): Said[] | undefined {
    const { options } = entry;
    const name = filledTemplate(options.name ?? '', levels);
    const found = entry.value === null ? value : valueAt(value, entry.value);
    if (name === undefined || found === undefined) {
      const what = name === undefined ? `name "${options.name}"` : `value at ${options.value}`;
      this.#parts.problem(topic, `gives no ${what}`);
      return undefined;
    }
    const target = Object.hasOwn(options.map, name) ? options.map[name] : ownTarget(name, options.extra);
    return target === undefined ? [] : [{ item: name, target, value: found }];
  }
}

interface Place {
  readonly topic: string;
  readonly levels: readonly string[];
  readonly entry: Entry;
}

function entryOf(options: TopicOptions): Entry {
  return {
    options,
    filter: options.filter.split('/'),
    map: Object.entries(options.map).map(([name, target]) => ({ name, path: parsePath(name) ?? [], target })),
    mapped: new Set(Object.keys(options.map)),
    value: options.value === null ? null : (parsePath(options.value) ?? []),
    timestamp: options.timestamp === null ? null : (parsePath(options.timestamp.path) ?? []),
  };
}

function objectSaid({ options, map, mapped }: Entry, value: JsonValue): Said[] {
  const said: Said[] = [];
  for (const { name, path, target } of map) {
    const found = valueAt(value, path);
    if (found !== undefined) said.push({ item: name, target, value: found });
  }
  if (options.extra !== 'all' && options.extra.length === 0) return said;
  for (const [name, found] of leavesOf(value)) {
    const target = mapped.has(name) || name === options.timestamp?.path ? undefined : ownTarget(name, options.extra);
    if (target !== undefined) said.push({ item: name, target, value: found });
  }
  return said;
}

/** Of a value that no map names: a standard signal by its own name, all else as an extra, where that is wanted. */
export function ownTarget(said: string, wanted: 'all' | readonly string[]): Target | undefined {
  if (wanted !== 'all' && !wanted.includes(said)) return undefined;
  // No name may have it, and without it the name may be another's.
  const name = said.replaceAll('\0', '');
  if (name === 'machine_state') return { kind: 'state', states: {} };
  const signal = signalNamed(name);
  const type = signal?.type ?? 'auto';
  return { kind: 'field', name: freeName(name), type, scale: 1, offset: 0 };
}

/** A value may be called what a reading's keys are called. */
function freeName(name: string): string {
  const isFree = isSignalKey(name) && name !== '__proto__' && name !== '';
  return (isFree ? name : `item_${name}`).slice(0, NAME_LENGTH_MAX).toWellFormed();
}
