import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { WARNING_INTERVAL_MS } from '../../../src/base/fault-counter.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Random } from '../../../src/base/random.ts';
import { schema } from '../../../src/drivers/mtconnect/config.ts';
import {
  type DataItem,
  type Device,
  type Observation,
  parseDocument,
} from '../../../src/drivers/mtconnect/document.ts';
import { mappingOf } from '../../../src/drivers/mtconnect/mapping.ts';
import { FoundMarks } from '../../../src/drivers/mtconnect/marks.ts';
import { describeAgent } from '../../../src/drivers/mtconnect/probe.ts';
import { ObservationReader, type ReaderContext } from '../../../src/drivers/mtconnect/reader.ts';
import type { Reading } from '../../../src/model/reading.ts';
import { between, chance, type Codec, mustBeTaken, pick, type Refusal } from '../codec.ts';
import { sample, thinnedXml } from '../samples.ts';

const OPTIONS = [
  { extra: 'all' },
  { extra: ['Xact'], conditions: ['cond'], map: { load: { extra: 'a', scale: 1e300 } } },
].map((written) => schema.parse({ url: 'http://fuzz:5000', ...written }));

const CURRENT = sample('mtconnect/mazak-current-2.0.xml');
const DEVICES = sample('mtconnect/okuma-mazak.Devices.xml');
const OBSERVATION = /<(\w+) [^<>]*sequence="[^<>]*(?:\/>|>[^<]*<\/\1>)/g;
const DATA_ITEM = /<DataItem [^<>]*(?:\/>|>[^]*?<\/DataItem>)/g;

const ELEMENTS = [
  'Position',
  'Execution',
  'Program',
  'Line',
  'Message',
  'PathPosition',
  'LoadTimeSeries',
  'VariableDataSet',
].concat(['Availability', 'EmergencyStop', 'FunctionalMode', 'ControllerMode', 'Temperature', 'AssetChanged']);
const LEVELS = ['Normal', 'Warning', 'Fault', 'Unavailable', 'Odd'];
const TEXTS = [
  '1',
  '-2.5e3',
  'UNAVAILABLE',
  'READY',
  'ACTIVE',
  '1 2 3',
  '',
  '&amp;&#65;',
  '<![CDATA[ x ]]>',
  'TRIGGERED',
];

export const codec: Codec = {
  about:
    "MTConnect documents (XML): devices, observations and errors, on to readings by the agent's own items, and to what the probe prints",
  corpus: [
    ...thinnedXml(CURRENT, { element: OBSERVATION, kept: 4, pieces: 40 }),
    ...thinnedXml(DEVICES, { element: DATA_ITEM, kept: 3, pieces: 20 }),
  ],
  longCorpus: [CURRENT, DEVICES],
  words: [
    '<',
    '>',
    '/>',
    '</',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<!DOCTYPE a [<!ENTITY b "c">]>',
    '&b;',
    '&#0;',
    '&#xD800;',
  ]
    .concat([
      '&#x1F600;',
      '<?xml version="1.1"?>',
      ' sequence="5"',
      ' dataItemId="x"',
      ' name="__proto__"',
      '<Entry key="a">',
    ])
    .concat(['<Cell key="__proto__">', '<Header instanceId="1"/>', 'xmlns:m="m"', 'm:', '"', "'", '=', 'UNAVAILABLE']),
  opening: '<a>',
  generate(random) {
    return Buffer.from(chance(random, 0.1) ? errors(random) : chance(random, 0.2) ? devices(random) : streams(random));
  },
  async read(input, random) {
    const document = await parseDocument(input.toString('utf8'));
    const options = pick(random, OPTIONS);
    if (document.kind === 'error') return [];
    if (document.kind === 'devices') {
      for (const device of document.devices) mappingOf(device, options);
      const header = { ...document.header, firstSequence: 1, lastSequence: 2, nextSequence: 3 };
      const current = { kind: 'streams', header, observations: [] } as const;
      describeAgent({ url: 'http://fuzz:5000', probe: document, current }, null);
      return [];
    }
    return readingsOf(document.observations, { options, random });
  },
};

/** By a device that has just these items, first as what holds, then as what a stream tells. */
function readingsOf(
  observations: readonly Observation[],
  { options, random }: { options: (typeof OPTIONS)[number]; random: Random },
): readonly Refusal[] {
  const refusals: Refusal[] = [];
  const readings: Reading[] = [];
  let nowMs = 0;
  const clock: Clock = { ...systemClock, nowMicros: () => 1.8e15, monotonicMs: () => (nowMs += WARNING_INTERVAL_MS) };
  const log = {
    ...silentLogger,
    warn: (_: string, fields?: { readonly [key: string]: unknown }) =>
      void refusals.push({ code: 'item_fault', reason: String(fields?.['reason']) }),
  };
  const context: ReaderContext = {
    machineId: 'M-1',
    emit: (one) => void readings.push(one),
    problem: () => {},
    clock,
    log,
  };
  const reader = new ObservationReader('fuzz');
  reader.setMapping(mappingOf(deviceOf(observations), options));
  if (chance(random, 0.5)) reader.readCurrent('1', observations, { first: 0, before: between(random, 0, 20) }, context);
  reader.read('1', observations, context);
  reader.disconnected(context);
  reader.caughtUp(context);
  for (const one of readings) mustBeTaken(one);
  const again = new ObservationReader('fuzz');
  again.restore(JSON.parse(JSON.stringify(reader.saved())), new FoundMarks());
  return refusals;
}

function deviceOf(observations: readonly Observation[]): Device {
  const items = new Map<string, DataItem>();
  for (const { dataItemId: id, name, category, element, attributes } of observations) {
    const type = (attributes['type'] ?? element.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_')).toUpperCase();
    const of = { units: '', representation: '', component: 'Linear', componentName: name.slice(0, 1) };
    items.set(id, { id, name, category, type, subType: attributes['subType'] ?? '', ...of });
  }
  return { name: 'M', uuid: 'm', isAgent: false, dataItems: [...items.values()] };
}

function header(random: Random): string {
  const first = between(random, 0, 9);
  const numbers = `firstSequence="${first}" lastSequence="${first + 8}" nextSequence="${first + between(random, 0, 10)}"`;
  return `<Header creationTime="2026-01-01T08:00:00Z" instanceId="${between(random, 0, 99)}" version="2.0" ${numbers}/>`;
}

function streams(random: Random): string {
  const groups = Array.from({ length: between(random, 1, 3) }, () => {
    const group = pick(random, ['Samples', 'Events', 'Condition']);
    const inner = Array.from({ length: between(random, 0, 4) }, () => observation(random, group === 'Condition'));
    return `<ComponentStream component="Linear" name="X"><${group}>${inner.join('')}</${group}></ComponentStream>`;
  });
  const device = `<DeviceStream name="M" uuid="m">${groups.join('')}</DeviceStream>`;
  return `<?xml version="1.0"?>\n<MTConnectStreams xmlns="m">${header(random)}<Streams>${device}</Streams></MTConnectStreams>`;
}

function observation(random: Random, isCondition: boolean): string {
  const element = pick(random, isCondition ? LEVELS : ELEMENTS);
  const id = pick(random, ['a', 'b', 'cond', 'Xact', 'load', 'timestamp', '__proto__', 'temperature']);
  const time = `2026-01-01T08:00:0${between(random, 0, 2)}.${between(random, 0, 999)}Z`;
  const more = [
    chance(random, 0.3) ? ` name="${pick(random, ['X', 'state', 'read_from', 'a b', 'é'])}"` : '',
    element === 'LoadTimeSeries' ? ` sampleCount="3" sampleRate="${pick(random, ['100', '-1', 'x'])}"` : '',
    chance(random, 0.2) ? ` duration="${pick(random, ['1.5', '-1', 'NaN'])}"` : '',
    isCondition ? ` nativeCode="${pick(random, ['', 'E1', 'E2'])}" type="SYSTEM"` : '',
  ];
  const entries =
    '<Entry key="r"><Cell key="c">1</Cell></Entry><Entry key="s" removed="true"/><Entry key="t">x</Entry>';
  const text = element === 'VariableDataSet' ? entries : pick(random, TEXTS);
  const own = `dataItemId="${id}" sequence="${between(random, 0, 19)}" timestamp="${time}"${more.join('')}`;
  return `<${element} ${own}>${text}</${element}>`;
}

function devices(random: Random): string {
  const items = Array.from({ length: between(random, 0, 5) }, (_, index) => {
    const type = pick(random, [
      'POSITION',
      'EXECUTION',
      'PATH_POSITION',
      'LOAD',
      'PROGRAM',
      'MESSAGE',
      'ASSET_CHANGED',
      'x:Y',
    ]);
    const category = pick(random, ['SAMPLE', 'EVENT', 'CONDITION', 'ODD']);
    return `<DataItem id="i${index}" category="${category}" type="${type}" units="MILLIMETER" name="${pick(random, TEXTS.slice(0, 6))}"/>`;
  });
  const component = `<Components><Linear id="x" name="X"><DataItems>${items.join('')}</DataItems></Linear></Components>`;
  const device = `<Device id="d" name="M" uuid="m">${component}</Device>`;
  return `<MTConnectDevices>${header(random)}<Devices>${device}</Devices></MTConnectDevices>`;
}

function errors(random: Random): string {
  const error = `<Error errorCode="${pick(random, ['OUT_OF_RANGE', 'NO_DEVICE', ''])}">${pick(random, TEXTS)}</Error>`;
  const newer = '<OutOfRange errorCode="OUT_OF_RANGE"><ErrorMessage>x</ErrorMessage></OutOfRange>';
  return `<MTConnectError>${header(random)}<Errors>${error}${newer}</Errors></MTConnectError>`;
}
