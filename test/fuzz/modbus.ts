/** What both framings of Modbus are fuzzed with: requests as the driver plans them, answers, and values of them. */
import type { Random } from '../../src/base/random.ts';
import { schema } from '../../src/drivers/modbus/config.ts';
import { decodeAnswer, type ReadRequest, answerBytes } from '../../src/drivers/modbus/pdu.ts';
import { type Block, planBlocks } from '../../src/drivers/modbus/plan.ts';
import { fieldValue, rawValue, REGISTER_TYPES, WORD_ORDERS } from '../../src/drivers/modbus/values.ts';
import { between, chance, mustBeTaken, pick } from './codec.ts';
import { randomBytes } from './mutate.ts';

/** Each type in each order, scaled and not, bits, states and whole numbers, in all four tables. */
const REGISTERS = [
  ...WORD_ORDERS.flatMap((order, row) =>
    REGISTER_TYPES.flatMap((type, column) => {
      const address = row * 64 + column * 8;
      const scaling = { scale: 1e15, offset: -1e15 };
      return [
        { extra: `${type}_${order}`, address, type, order },
        { extra: `${type}_${order}_scaled`, address: address + 4, type, order, ...scaling, function: 4 },
      ];
    }),
  ),
  { signal: 'active_program_line', address: 300, type: 'float64', scale: 10 },
  { signal: 'machine_state', address: 310, type: 'uint16', states: { 0: 'idle', 1: 'running' } },
  { extra: 'flag', address: 311, bit: 15 },
  ...Array.from({ length: 20 }, (_, index) => ({ extra: `coil_${index}`, address: index * 3, function: 1 })),
  { extra: 'input', address: 7, function: 2 },
];

const OPTIONS = schema.parse({ host: 'fuzz', registers: REGISTERS });

export const BLOCKS: readonly Block[] = planBlocks(OPTIONS.fields, OPTIONS);

/** A block to which the bytes may be the beginning of an answer; sometimes another one. */
export function blockFor(pdu: Buffer, random: Random): Block {
  const fitting = BLOCKS.filter(({ request }) => request.function === (pdu[0] ?? 0) && answerBytes(request) === pdu[1]);
  return fitting.length > 0 && chance(random, 0.9) ? pick(random, fitting) : pick(random, BLOCKS);
}

/** The PDU of an answer: mostly a right one. */
export function answerFor(request: ReadRequest, random: Random): Buffer {
  if (chance(random, 0.1)) return Buffer.from([request.function | 0x80, between(random, 0, 12)]);
  const bytes = chance(random, 0.05) ? between(random, 0, 250) : answerBytes(request);
  const data = pick(random, [
    Buffer.alloc(bytes, 0xff),
    Buffer.alloc(bytes, Buffer.from([0x7f, 0xf0, 0, 0])),
    randomBytes(random, bytes),
    randomBytes(random, bytes),
  ]);
  return Buffer.concat([Buffer.from([request.function, bytes]), data]);
}

/** @throws MillwrightError for what is no answer */
export function mustGiveReading({ request, fields }: Block, pdu: Buffer): void {
  const data = decodeAnswer(request, pdu);
  const values = fields.map((field) => [field.name, fieldValue(field, data, request.address)]);
  for (const field of fields) rawValue(field, data, request.address);
  mustBeTaken({ machine_id: 'M-1', timestamp: '2026-01-01T08:00:00Z', ...Object.fromEntries(values) });
}
