/**
 * Looking into an unknown device: what its registers hold, read as every type in every order, and which units answer.
 * For a person who has a manual that may be wrong.
 */
import { MillwrightError } from '../../base/errors.ts';
import { type Bus, NoAnswer } from './bus.ts';
import { BITS_MAX, describe, isBits, ModbusException, type ReadRequest, REGISTERS_MAX } from './pdu.ts';
import {
  REGISTER_TYPES,
  type RegisterType,
  registersOf,
  registerValue,
  WORD_ORDERS,
  type WordOrder,
} from './values.ts';

export interface ProbeOptions {
  readonly bus: Bus;
  readonly unit: number;
  readonly request: ReadRequest;
  /** Of the numbers that are shown. */
  readonly base: 0 | 1;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What one register or bit holds; or why it cannot be read. */
export type Probed = number | boolean | ModbusException;

/**
 * Each register or bit by itself: one that the device refuses hides no other.
 * @throws {@link NoAnswer}; connection_failed
 */
export async function probe(options: ProbeOptions): Promise<Probed[]> {
  const { request } = options;
  const most = isBits(request.function) ? BITS_MAX : REGISTERS_MAX;
  const found: Probed[] = [];
  for (let done = 0; done < request.count; done += most) {
    const count = Math.min(most, request.count - done);
    found.push(...(await probePart(options, { ...request, address: request.address + done, count })));
  }
  return found;
}

async function probePart(options: ProbeOptions, request: ReadRequest): Promise<Probed[]> {
  const { bus, unit, timeoutMs, signal } = options;
  try {
    const data = await bus.read({ unit, request, timeoutMs, signal });
    return Array.from({ length: request.count }, (_, index) =>
      isBits(request.function) ? (((data[index >> 3] ?? 0) >> (index & 7)) & 1) === 1 : data.readUInt16BE(index * 2),
    );
  } catch (error) {
    if (!(error instanceof ModbusException)) throw error;
    if (request.count === 1) return [error];
    const first = Math.ceil(request.count / 2);
    return [
      ...(await probePart(options, { ...request, count: first })),
      ...(await probePart(options, { ...request, address: request.address + first, count: request.count - first })),
    ];
  }
}

/** One sensible reading of the registers as a whole. */
interface Guess {
  readonly type: RegisterType;
  readonly order: WordOrder;
  /** The first register, by its place. */
  readonly start: number;
  readonly values: readonly number[];
  readonly plausible: number;
}

/** Least share of values that must look right, and guesses that are told. */
const GUESS_SHARE_MIN = 0.6;
const GUESSES_MAX = 3;
/** Values of a guess that are shown. */
const GUESS_VALUES_MAX = 4;
/** Between these a machine's values lie, mostly; a number that is read in a wrong order seldom does. */
const FLOAT_MIN = 1e-3;
const FLOAT_MAX = 1e7;
const INTEGER_MAX = { 2: 1e7, 4: 1e12 } as const;

/** As a page of text. */
export function describeProbed(probed: readonly Probed[], { request, base, unit, bus }: ProbeOptions): string {
  const numbered = `function ${request.function}, numbered from ${base}`;
  const lines = [`unit ${unit} at ${bus.place}, ${describe(request, base)} (${numbered})`, ''];
  const first = request.address + base;
  if (isBits(request.function)) {
    for (const [index, value] of probed.entries()) lines.push(`${first + index}  ${bitText(value)}`);
    return `${lines.join('\n')}\n`;
  }
  const bytes = bytesOf(probed);
  for (const [index, value] of probed.entries()) lines.push(...registerLines(value, first + index, { bytes, index }));
  lines.push(...guessLines(bytes, first));
  return `${lines.join('\n')}\n`;
}

function bitText(value: Probed): string {
  if (value instanceof ModbusException) return value.message;
  return value === true ? '1' : '0';
}

/** undefined where a register could not be read. */
type RegisterBytes = readonly (Buffer | undefined)[];

function bytesOf(probed: readonly Probed[]): RegisterBytes {
  return probed.map((value) => {
    if (typeof value !== 'number') return undefined;
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    return bytes;
  });
}

function registerLines(value: Probed, number: number, at: { bytes: RegisterBytes; index: number }): string[] {
  if (typeof value !== 'number') return [`${number}  ${value instanceof Error ? value.message : ''}`, ''];
  const hex = value.toString(16).toUpperCase().padStart(4, '0');
  const bits = value
    .toString(2)
    .padStart(16, '0')
    .replaceAll(/(.{4})(?=.)/g, '$1 ');
  const lines = [`${number}  0x${hex}  ${bits}`, row('', WORD_ORDERS)];
  for (const type of REGISTER_TYPES) {
    const values = WORD_ORDERS.map((order) => valueAt(at.bytes, at.index, { type, order }));
    if (values.some((one) => one === undefined)) continue;
    lines.push(
      row(
        type,
        values.map((one) => `${shown(one ?? 0)}${isPlausible(one ?? 0, type) ? ' *' : '  '}`),
      ),
    );
  }
  return [...lines, ''];
}

const CELL_WIDTH = 26;

function row(name: string, cells: readonly string[]): string {
  return `  ${name.padEnd(8)}${cells.map((cell) => cell.padStart(CELL_WIDTH)).join('')}`.trimEnd();
}

function shown(value: number): string {
  return String(Object.is(value, -0) ? 0 : value);
}

function valueAt(
  bytes: RegisterBytes,
  index: number,
  { type, order }: { type: RegisterType; order: WordOrder },
): number | undefined {
  const parts = bytes.slice(index, index + registersOf(type)).filter((one) => one !== undefined);
  if (parts.length < registersOf(type)) return undefined;
  return registerValue(Buffer.concat(parts), 0, { type, order });
}

/** Whether a machine might well have said it. A single register may be anything. */
function isPlausible(value: number, type: RegisterType): boolean {
  const size = Math.abs(value);
  if (type === 'float32' || type === 'float64') return size >= FLOAT_MIN && size <= FLOAT_MAX;
  const registers = registersOf(type);
  return registers !== 1 && size > 0 && size <= INTEGER_MAX[registers === 2 ? 2 : 4];
}

function guessLines(bytes: RegisterBytes, first: number): string[] {
  const guesses = guessesOf(bytes).slice(0, GUESSES_MAX);
  const legend = '* might be a value of a machine, by its size';
  if (guesses.length === 0) return [`${legend}; nothing of more than one register stands out`];
  const told = guesses.map(({ type, order, start, values, plausible }) => {
    const some = values.slice(0, GUESS_VALUES_MAX).map(shown).join(', ');
    const more = values.length > GUESS_VALUES_MAX ? ', …' : '';
    return `  ${type} in order ${order} from ${first + start} on: ${some}${more} (${plausible} of ${values.length})`;
  });
  return [legend, 'looks most like', ...told];
}

/** The likeliest first. */
function guessesOf(bytes: RegisterBytes): Guess[] {
  const guesses: Guess[] = [];
  for (const type of REGISTER_TYPES.filter((one) => registersOf(one) > 1)) {
    const width = registersOf(type);
    for (const order of WORD_ORDERS) {
      for (let start = 0; start < width; start += 1) {
        const values: number[] = [];
        for (let index = start; index < bytes.length; index += width) {
          const value = valueAt(bytes, index, { type, order });
          if (value !== undefined) values.push(value);
        }
        const plausible = values.filter((value) => isPlausible(value, type)).length;
        // An unsigned integer says no more than a signed one.
        if (type.startsWith('uint') || plausible < Math.max(1, GUESS_SHARE_MIN * values.length)) continue;
        guesses.push({ type, order, start, values, plausible });
      }
    }
  }
  const weight = ({ type, values, plausible }: Guess): number =>
    (plausible * plausible * registersOf(type)) / values.length;
  return guesses.sort((a, b) => weight(b) - weight(a) || a.start - b.start);
}

export interface Found {
  readonly unit: number;
  /** What it said. */
  readonly text: string;
}

/**
 * Asks every unit for one register; whatever is answered, a unit is there. Tells each as it is found. A connection that is
 * closed for one unit is no answer: some gateways do so for a unit that they do not know.
 */
export async function scanUnits(
  options: Omit<ProbeOptions, 'unit'> & { readonly firstUnit: number; readonly lastUnit: number },
  { found, asked }: { found: (one: Found) => void; asked: (unit: number) => void },
): Promise<void> {
  const { bus, request, timeoutMs, signal, base } = options;
  for (let unit = options.firstUnit; unit <= options.lastUnit && !signal.aborted; unit += 1) {
    asked(unit);
    try {
      await bus.read({ unit, request, timeoutMs, signal });
      found({ unit, text: `has ${describe(request, base)}` });
    } catch (error) {
      if (error instanceof NoAnswer) continue;
      if (!(error instanceof MillwrightError)) throw error;
      if (error.code === 'connection_failed' && bus.hasOpened && !signal.aborted) continue;
      if (error.code === 'connection_failed') throw error;
      if (error instanceof ModbusException && error.exception >= 10) continue;
      found({ unit, text: error.message });
    }
  }
}
