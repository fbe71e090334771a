import { boundaryOf, MultipartParser } from '../../../src/drivers/mtconnect/multipart.ts';
import { between, chance, type Codec, feedInPieces, mustBeEqual, outcomeOf, pick } from '../codec.ts';

const BOUNDARY = 'b7e23a91c04d';
const HEADERS = [
  'Content-type: text/xml',
  'X-Other: 1',
  'content-length : 5',
  'Content-length: x',
  'Content-length: -1',
];

export const codec: Codec = {
  about: "MTConnect multipart: an agent's stream to the bodies of its parts; in pieces as in one",
  corpus: ['<a/>', '', '\r\n', `--${BOUNDARY}`].map((body) =>
    Buffer.from(part(body, '\r\n') + part('<b></b>', '\r\n')),
  ),
  words: [
    `--${BOUNDARY}`,
    `--${BOUNDARY}\r\n`,
    `\r\n--${BOUNDARY}--`,
    '\n',
    '\r\n',
    '\r\n\r\n',
    '--',
    'Content-length: ',
  ]
    .concat(['Content-length: 5\r\n', 'Content-length: 99999999999\r\n', 'multipart/mixed;boundary=', '"', ';', ' '])
    .concat(['multipart/x-mixed-replace; a="b;c"; boundary="']),
  opening: ' ;',
  generate(random) {
    if (chance(random, 0.1)) {
      const type = pick(random, ['multipart/mixed', 'multipart/x-mixed-replace', 'text/xml']);
      return Buffer.from(
        `${type}${pick(random, [';', ' ; a=b;', ';;', ''])}${pick(random, ['boundary=', ' Boundary = "'])}x"`,
      );
    }
    const end = chance(random, 0.7) ? '\r\n' : '\n';
    const parts = Array.from({ length: between(random, 1, 4) }, () => {
      const body = pick(random, ['<a/>', '', 'x'.repeat(between(random, 0, 300)), `--${BOUNDARY}`, '\n\n', '\r\n--b7']);
      if (chance(random, 0.6)) return part(body, end);
      const headers = Array.from({ length: between(random, 0, 3) }, () => pick(random, HEADERS));
      return [`--${BOUNDARY}${chance(random, 0.1) ? '--' : ''}`, ...headers, '', body, ''].join(end);
    });
    return Buffer.from(parts.join(''));
  },
  read(input, random) {
    const whole = outcomeOf(() => new MultipartParser(BOUNDARY).push(input).map(String));
    const pieces = outcomeOf(() => {
      const parser = new MultipartParser(BOUNDARY);
      const bodies: string[] = [];
      feedInPieces(input, random, (piece) => void bodies.push(...parser.push(piece).map(String)));
      return bodies;
    });
    mustBeEqual(pieces, whole, 'in pieces');
    boundaryOf(input.toString('latin1'));
    return whole.refusal === undefined ? [] : [whole.refusal];
  },
};

function part(body: string, end: string): string {
  const length = Buffer.byteLength(body);
  return [`--${BOUNDARY}`, 'Content-type: text/xml', `Content-length: ${length}`, '', body, ''].join(end);
}
