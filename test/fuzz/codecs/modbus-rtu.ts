import { encodeRtu, RtuAnswer } from '../../../src/drivers/modbus/framing.ts';
import { encodeRequest } from '../../../src/drivers/modbus/pdu.ts';
import { between, chance, type Codec, feedInPieces, mustBeEqual, pick } from '../codec.ts';
import { answerFor, blockFor, BLOCKS, mustGiveReading } from '../modbus.ts';
import { randomBytes } from '../mutate.ts';

const UNIT = 1;

export const codec: Codec = {
  about:
    'Modbus RTU: what comes on a line, with noise, echoes and other units, to the answer of one request; in pieces as in one',
  corpus: BLOCKS.map(({ request }) =>
    encodeRtu(
      UNIT,
      answerFor(request, () => 0.4),
    ),
  ),
  words: ['\x01\x03', '\x01\x83\x02', '\x01\x04\x04', '\x01\x01\x01\x01', '\xff\xff', '\0\0\0\0'],
  opening: '',
  generate(random) {
    const parts = Array.from({ length: between(random, 1, 4) }, () => {
      const { request } = pick(random, BLOCKS);
      if (chance(random, 0.2)) return randomBytes(random, between(random, 0, 20));
      if (chance(random, 0.2)) return encodeRtu(UNIT, encodeRequest(request));
      return encodeRtu(between(random, UNIT, UNIT + 1), answerFor(request, random));
    });
    return Buffer.concat(parts);
  },
  read(input, random) {
    const block = blockFor(input.subarray(input.indexOf(UNIT) + 1), random);
    const whole = new RtuAnswer(UNIT, block.request).push(input);
    const finder = new RtuAnswer(UNIT, block.request);
    let found: Buffer | undefined;
    feedInPieces(input, random, (piece) => {
      found ??= finder.push(piece);
    });
    mustBeEqual(found?.toString('hex'), whole?.toString('hex'), 'in pieces');
    if (whole === undefined) return [{ code: 'no_answer', reason: 'nothing that fits the request' }];
    mustGiveReading(block, whole);
    return [];
  },
};
