import { type TcpFrame, encodeTcp, TcpFrames } from '../../../src/drivers/modbus/framing.ts';
import { between, type Codec, feedInPieces, mustBeEqual, outcomeOf, pick } from '../codec.ts';
import { answerFor, blockFor, BLOCKS, mustGiveReading } from '../modbus.ts';

export const codec: Codec = {
  about: 'Modbus TCP: what a device sends, to frames, answers and values; in pieces as in one',
  corpus: BLOCKS.map(({ request }, index) =>
    encodeTcp(
      index,
      1,
      answerFor(request, () => 0.4),
    ),
  ),
  words: ['\0\0', '\0\0\0\0\0\x06\x01', '\x83\x02', '\x01\x03', '\xff\xff', '\0\x01\0\0\0\xff', '\x7f\x80\0\0'],
  opening: '',
  generate(random) {
    const frames = Array.from({ length: between(random, 1, 4) }, () => {
      const pdu = answerFor(pick(random, BLOCKS).request, random);
      return encodeTcp(between(random, 0, 3), between(random, 1, 2), pdu);
    });
    return Buffer.concat(frames);
  },
  read(input, random) {
    const whole = outcomeOf(() => new TcpFrames().push(input));
    const pieces = outcomeOf(() => {
      const splitter = new TcpFrames();
      const frames: TcpFrame[] = [];
      feedInPieces(input, random, (piece) => void frames.push(...splitter.push(piece)));
      return frames;
    });
    mustBeEqual(pieces, whole, 'in pieces');
    const refusals = whole.refusal === undefined ? [] : [whole.refusal];
    for (const { pdu } of whole.value ?? []) {
      const { refusal } = outcomeOf(() => mustGiveReading(blockFor(pdu, random), pdu));
      if (refusal !== undefined) refusals.push(refusal);
    }
    return refusals;
  },
};
