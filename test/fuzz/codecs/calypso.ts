import { hasEnd, parseCalypso } from '../../../src/drivers/files/calypso.ts';
import { decodeText } from '../../../src/drivers/files/rows.ts';
import { between, chance, type Codec, pick } from '../codec.ts';
import { readWhole } from '../files.ts';
import { driverCase } from '../samples.ts';

const COLUMNS = [
  'planid',
  'partnb',
  'id',
  'type',
  'idsymbol',
  'actual',
  'nominal',
  'uppertol',
  'lowertol',
  'deviation',
  'exceed',
  'unit',
];
const VALUES = ['1.5', '-2,25', '1e308', 'x', '', '0', 'END', 'Bohrung é'];

export const codec: Codec = {
  about: "Calypso's table of characteristics to measurements",
  corpus: [driverCase('files/testcases/calypso/input_chr.txt')],
  words: ['\t', '\n', '\r\n', 'END', 'END\n', 'actual', 'id', 'unit', '\t\t\t\t', ' '],
  opening: '\t',
  generate(random) {
    const columns = COLUMNS.filter(() => chance(random, 0.9));
    const rows = Array.from({ length: between(random, 0, 6) }, () =>
      Array.from({ length: columns.length + between(random, -1, 1) }, () => pick(random, VALUES)).join('\t'),
    );
    return Buffer.from(
      [columns.join('\t'), ...rows, chance(random, 0.8) ? 'END' : ''].join(pick(random, ['\n', '\r\n'])),
      'latin1',
    );
  },
  read(input) {
    hasEnd(decodeText(input));
    return readWhole(input, parseCalypso);
  },
};
