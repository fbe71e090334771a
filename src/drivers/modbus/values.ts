/**
 * What registers mean: numbers of 16, 32 and 64 bits in four orders, and bits. Pure.
 *
 * An order names the bytes of a 32-bit value as they arrive, where A is its most significant: ABCD as the standard has
 * it, CDAB with the words exchanged, BADC with the bytes in each word exchanged, DCBA both. Values of 64 bits go alike
 * (all words turned round, or the bytes in each), and those of 16 bits have only their bytes.
 */
import { shortFloat32 } from '../../model/float32.ts';
import type { FieldSettings } from './options.ts';

export const WORD_ORDERS = ['ABCD', 'CDAB', 'BADC', 'DCBA'] as const;
export type WordOrder = (typeof WORD_ORDERS)[number];

export const REGISTER_TYPES = ['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64'] as const;
export type RegisterType = (typeof REGISTER_TYPES)[number];

const REGISTERS_OF: Readonly<Record<RegisterType, number>> = {
  int16: 1,
  uint16: 1,
  int32: 2,
  uint32: 2,
  float32: 2,
  int64: 4,
  uint64: 4,
  float64: 4,
};

const INTEGER_MAX = 0x7fffffff;
/** Digits that a scaled value keeps, so that 3 · 0.1 is 0.3. */
const SCALED_DIGITS = 12;

export function registersOf(type: RegisterType): number {
  return REGISTERS_OF[type];
}

/** Exchanged bytes are laid out anew here; decoding is synchronous, so one piece of memory is enough. */
const turned = Buffer.alloc(8);

/** The number in the registers from byte `at` on. Of 64-bit integers beyond 2^53 the last digits are lost. */
export function registerValue(
  data: Buffer,
  at: number,
  { type, order }: { type: RegisterType; order: WordOrder },
): number {
  const bytes = REGISTERS_OF[type] * 2;
  if (order === 'ABCD') return bigEndianValue(data, at, type);
  const swapsWords = order === 'CDAB' || order === 'DCBA';
  const swapsBytes = order === 'BADC' || order === 'DCBA';
  for (let index = 0; index < bytes; index += 1) {
    const word = swapsWords ? bytes / 2 - 1 - (index >> 1) : index >> 1;
    turned[index] = data[at + word * 2 + (swapsBytes ? 1 - (index & 1) : index & 1)] ?? 0;
  }
  return bigEndianValue(turned, 0, type);
}

function bigEndianValue(data: Buffer, at: number, type: RegisterType): number {
  switch (type) {
    case 'int16':
      return data.readInt16BE(at);
    case 'uint16':
      return data.readUInt16BE(at);
    case 'int32':
      return data.readInt32BE(at);
    case 'uint32':
      return data.readUInt32BE(at);
    case 'int64':
      return Number(data.readBigInt64BE(at));
    case 'uint64':
      return Number(data.readBigUInt64BE(at));
    case 'float32':
      return shortFloat32(data.readFloatBE(at));
    case 'float64':
      return data.readDoubleBE(at);
  }
}

/** What a field says: null for a float that is none (NaN, infinite, also after scaling), or a state that has no name. */
export type FieldValue = number | boolean | string | null;

/**
 * The field's value.
 *
 * @param data of an answer that begins at register, or bit, `from`
 */
export function fieldValue(field: FieldSettings, data: Buffer, from: number): FieldValue {
  const raw = rawValue(field, data, from);
  if (field.states !== null) return field.states[String(raw)] ?? null;
  if (typeof raw === 'boolean') return raw;
  if (!Number.isFinite(raw)) return null;
  const { scale, offset } = field;
  const value = scale === 1 && offset === 0 ? raw : Number((raw * scale + offset).toPrecision(SCALED_DIGITS));
  if (!Number.isFinite(value)) return null;
  if (!field.isInteger) return value;
  const whole = Math.round(value);
  return Math.abs(whole) <= INTEGER_MAX ? whole : null;
}

/** As it stands in the device. */
export function rawValue(field: FieldSettings, data: Buffer, from: number): number | boolean {
  const at = field.address - from;
  if (field.type !== 'bit') return registerValue(data, at * 2, { type: field.type, order: field.order });
  if (field.bit === null) return (((data[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
  return ((registerValue(data, at * 2, { type: 'uint16', order: field.order }) >> field.bit) & 1) === 1;
}
