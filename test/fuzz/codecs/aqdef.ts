import { parseAqdef } from '../../../src/drivers/files/aqdef.ts';
import { between, chance, type Codec, pick } from '../codec.ts';
import { readWhole } from '../files.ts';
import { driverCase, sample } from '../samples.ts';

const VALUES = ['1.5', '-2,25', '1e999', 'x', '', '0'];
const TIMES = ['01.07.2026/10:00:01', '1.7.2026/10:00:01#5', '31.02.2026/10:00:01', 'x', ''];

export const codec: Codec = {
  about: 'Q-DAS AQDEF, compact lines and K lines, to measurements',
  corpus: [
    driverCase('files/testcases/aqdef/input.dfq'),
    driverCase('files/testcases/aqdef-half/input.dfq'),
    sample('quality/testmeasures.dfq'),
  ],
  words: [
    '\x0f',
    '\x14',
    '\r\n',
    '\n',
    '\r',
    'K0100 2',
    'K0001/1 5',
    'K0004/0 ',
    'K2002/1 ',
    'K2110/1 ',
    '/',
    ' ',
    '#',
    'K0100 999999999\n',
  ],
  opening: '\x14',
  generate(random) {
    const count = between(random, 1, 3);
    const lines = [`K0100 ${count}`, 'K1001/1 P1', 'K2142/0 mm'];
    for (let number = 1; number <= count; number += 1) {
      lines.push(`K2002/${number} bore ${number}`, `K2101/${number} ${pick(random, VALUES)}`);
      lines.push(`K${pick(random, ['2110', '2111', '2112', '2113'])}/${number} ${pick(random, VALUES)}`);
    }
    const compact = chance(random, 0.5);
    for (let rows = between(random, 0, 4); rows > 0; rows -= 1) {
      const values = Array.from({ length: count }, () => [
        pick(random, VALUES),
        String(between(random, 0, 256)),
        pick(random, TIMES),
      ]);
      if (compact) lines.push(values.map((fields) => fields.join('\x14')).join('\x0f'));
      else
        for (const [index, [value, , time]] of values.entries())
          lines.push(`K0001/${index + 1} ${value}`, `K0004/${index + 1} ${time}`);
    }
    return Buffer.from(`${lines.join(pick(random, ['\r\n', '\n']))}\r\n`, 'latin1');
  },
  read: (input) => readWhole(input, parseAqdef),
};
