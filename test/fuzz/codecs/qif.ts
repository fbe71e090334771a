import { parseQif } from '../../../src/drivers/files/qif.ts';
import { between, chance, type Codec, pick } from '../codec.ts';
import { readWhole } from '../files.ts';
import { sample, thinnedXml } from '../samples.ts';

const RESULTS = sample('quality/widget-results.qif');
const PARTS = /<(\w+Characteristic(?:Definition|Nominal|Item|Measurement)) [^]*?<\/\1>/g;
const VALUES = ['1.5', '-2', '1e999', 'x', '', '0', '25,0031'];

export const codec: Codec = {
  about: 'QIF results (XML) to measurements',
  corpus: thinnedXml(RESULTS, { element: PARTS, kept: 3, pieces: 30 }).map(withoutGeometry),
  longCorpus: [RESULTS],
  words: [
    '<',
    '>',
    '/>',
    '</',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '&lt;',
    '&#0;',
    ' id="1"',
    ' id="__proto__"',
    '<Value>',
    '</Value>',
  ].concat([
    '<DiameterCharacteristicItem id="1">',
    '<CharacteristicItemId>1</CharacteristicItemId>',
    '<!DOCTYPE a [<!ENTITY b "c">]>',
  ]),
  opening: '<a>',
  generate(random) {
    const link = (): string => String(between(random, 1, 4));
    const type = pick(random, ['Diameter', 'Angle', 'Position', 'x']);
    const text = (name: string, value: string): string => (chance(random, 0.1) ? '' : `<${name}>${value}</${name}>`);
    const part = (kind: string, inner: string): string =>
      `<${type}Characteristic${kind} id="${link()}">${inner}</${type}Characteristic${kind}>`;
    const value = (): string => pick(random, VALUES);
    const parts = [
      part(
        'Definition',
        text('MinValue', value()) + text('MaxValue', value()) + text('DefinedAsLimit', pick(random, ['true', 'false'])),
      ),
      part('Nominal', text('TargetValue', value()) + text('CharacteristicDefinitionId', link())),
      part('Item', text('Name', pick(random, ['A1', '', 'é'])) + text('CharacteristicNominalId', link())),
      part(
        'Measurement',
        text('CharacteristicItemId', link()) + text('Value', value()) + text('CharacteristicStatusEnum', 'PASS'),
      ),
    ];
    const time = text('TimeCreated', pick(random, ['2026-01-01T08:00:00Z', '2026-10-25T02:30:00', 'x']));
    const head = `${text('QPId', 'q')}<Header>${time}</Header><LinearUnit><UnitName>${pick(random, ['mm', ''])}</UnitName></LinearUnit>`;
    return Buffer.from(`<QIFDocument>${head}<MeasurementResults>${parts.join('')}</MeasurementResults></QIFDocument>`);
  },
  read: (input) => readWhole(input, parseQif),
};

/** What a machine drew is most of the file, and nothing of it is read. */
function withoutGeometry(document: Buffer): Buffer {
  return Buffer.from(document.toString('utf8').replaceAll(/<(Features|Product|DatumDefinitions)>[^]*?<\/\1>/g, ''));
}
