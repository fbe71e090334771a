/** Which requests read the fields: neighbours are joined, as far as a request and the gaps between them allow. Pure. */
import type { FieldSettings } from './options.ts';
import { BITS_MAX, isBits, REGISTERS_MAX, type ReadRequest } from './pdu.ts';
import { registersOf } from './values.ts';

/** One request, and the fields that its answer fills. */
export interface Block {
  readonly request: ReadRequest;
  readonly fields: readonly FieldSettings[];
  /** Time between two reads; null: with every poll. */
  readonly intervalMs: number | null;
}

export interface JoinLimits {
  readonly gapMax: number;
  readonly registersMax: number;
}

/** Bits in a gap cost as much on the wire as a sixteenth of a register each. */
const BITS_OF_A_REGISTER = 16;

/** Registers, or bits, that a field takes. */
export function widthOf(field: FieldSettings): number {
  return field.type === 'bit' ? 1 : registersOf(field.type);
}

/** By function and interval, in the order of addresses. */
export function planBlocks(fields: readonly FieldSettings[], limits: JoinLimits): Block[] {
  const sorted = [...fields].sort(
    (a, b) => a.function - b.function || (a.intervalMs ?? 0) - (b.intervalMs ?? 0) || a.address - b.address,
  );
  const blocks: Block[] = [];
  let open: FieldSettings[] = [];
  for (const field of sorted) {
    if (open.length > 0 && !joins(open, field, limits)) {
      blocks.push(blockOf(open));
      open = [];
    }
    open.push(field);
  }
  if (open.length > 0) blocks.push(blockOf(open));
  return blocks;
}

/** Smaller blocks for one that the device refuses: at first without the gaps, then by halves; none for a single field. */
export function divided({ fields }: Block): Block[] {
  if (fields.length < 2) return [];
  const runs = planBlocks(fields, { gapMax: 0, registersMax: REGISTERS_MAX });
  if (runs.length > 1) return runs;
  const middle = Math.ceil(fields.length / 2);
  return [blockOf(fields.slice(0, middle)), blockOf(fields.slice(middle))];
}

function joins(open: readonly FieldSettings[], field: FieldSettings, { gapMax, registersMax }: JoinLimits): boolean {
  const [first] = open;
  if (first === undefined || first.function !== field.function || first.intervalMs !== field.intervalMs) return false;
  const bits = isBits(field.function);
  const end = endOf(open);
  const whole = Math.max(end, field.address + widthOf(field)) - first.address;
  const gap = field.address - end;
  return gap <= gapMax * (bits ? BITS_OF_A_REGISTER : 1) && whole <= (bits ? BITS_MAX : registersMax);
}

function blockOf(fields: readonly FieldSettings[]): Block {
  const first = fields[0]!;
  const request = { function: first.function, address: first.address, count: endOf(fields) - first.address };
  return { request, fields, intervalMs: first.intervalMs };
}

function endOf(fields: readonly FieldSettings[]): number {
  return Math.max(...fields.map((field) => field.address + widthOf(field)));
}
