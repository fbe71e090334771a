import { decodeMessage, encodeFrame, framesOf } from '../../../src/model/frame.ts';
import { shrink } from '../../../src/model/shrink.ts';
import { between, type Codec, Finding, mustBeEqual, pick, type Refusal } from '../codec.ts';
import { JSON_WORDS, oddReading, READINGS } from '../readings.ts';

export const codec: Codec = {
  about:
    "the wire's frames and bare JSON to readings, and merged as in a full log; what is taken can be framed again and comes out the same",
  corpus: [
    Buffer.concat(READINGS.map(encodeFrame)),
    Buffer.from(JSON.stringify(READINGS)),
    ...READINGS.map((one) => Buffer.from(JSON.stringify(one))),
  ],
  words: JSON_WORDS,
  opening: '[',
  generate(random) {
    const readings = Array.from({ length: between(random, 1, 4) }, () => oddReading(random));
    const text = JSON.stringify(pick(random, [readings, readings[0]]));
    return pick(random, [Buffer.concat(readings.map(encodeFrame)), Buffer.from(text)]);
  },
  read(input) {
    const { readings, faults } = decodeMessage(input);
    const frames = readings.map(encodeFrame);
    const again = decodeMessage(Buffer.concat(frames));
    if (readings.length > 0) mustBeEqual(again, { readings, faults: [] }, 'framed again');
    shrink([input, ...frames], { kind: 'thin', widthMicros: 1e6 });
    shrink([input], { kind: 'drop', kinds: ['sample'] });
    let bytes = 0;
    for (const frame of framesOf(input)) bytes += frame.length;
    if (bytes > input.length) throw new Finding('frames longer than their message');
    return faults.map(({ reason }): Refusal => ({ code: 'frame_fault', reason }));
  },
};
