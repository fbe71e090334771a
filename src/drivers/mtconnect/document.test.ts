import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hasCode } from '../../base/errors.ts';
import { type AgentDocument, parseDocument } from './document.ts';

const MAZAK = new URL('../../../test/data/mtconnect/mazak-current-2.0.xml', import.meta.url);

async function streams(text: string): Promise<AgentDocument & { kind: 'streams' }> {
  const document = await parseDocument(text);
  assert.ok(document.kind === 'streams');
  return document;
}

test("a Mazak's whole state, against what regular expressions count", async () => {
  const text = readFileSync(MAZAK, 'utf8');
  const { header, observations } = await streams(text);
  assert.deepEqual(header, {
    instanceId: '1665746507',
    creationTime: '2022-10-22T15:38:08Z',
    version: '2.0.0.11',
    firstSequence: 2_572_470,
    lastSequence: 2_703_541,
    nextSequence: 2_703_542,
  });
  const written = [...text.matchAll(/<(\w+)((?: \w+="[^"]*")* sequence="(\d+)"(?: \w+="[^"]*")*)(?:\/>|>([^<]*))/g)];
  assert.equal(written.length, 121);
  assert.equal(text.match(/ sequence="/g)?.length, written.length);
  const found = observations.map(({ element, sequence, dataItemId, timestamp, text: said }) =>
    [element, sequence, dataItemId, timestamp, said].join('|'),
  );
  const expected = written.map(([, element, attributes = '', sequence, said = '']) => {
    const value = (name: string): string => new RegExp(` ${name}="([^"]*)"`).exec(attributes)?.[1] ?? '';
    return [element, sequence, value('dataItemId'), value('timestamp'), said.trim()].join('|');
  });
  assert.deepEqual(found, expected);
  const entries = observations.reduce((sum, { entries }) => sum + Object.keys(entries ?? {}).length, 0);
  assert.equal(entries, text.match(/<Entry /g)?.length);
  const cells = observations.flatMap(({ entries }) =>
    Object.values(entries ?? {}).flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.keys(value) : [],
    ),
  );
  assert.equal(cells.length, text.match(/<Cell /g)?.length);
  const byDevice = Map.groupBy(observations, ({ deviceName }) => deviceName);
  assert.deepEqual([...byDevice.keys()], ['Agent', 'HCN001']);
  assert.equal(observations.filter(({ category }) => category === 'condition').length, 20);
});

for (const [name, prefix] of [
  ['1.2', ''],
  ['1.3', 'm:'],
  ['2.5', 'x.y:'],
] as const) {
  test(`schema ${name}, with the prefix "${prefix}"`, async () => {
    const tag = (element: string): string => `${prefix}${element}`;
    const { observations } = await streams(
      `<?xml version="1.0"?><${tag('MTConnectStreams')} xmlns${prefix === '' ? '' : `:${prefix.slice(0, -1)}`}=` +
        `"urn:mtconnect.org:MTConnectStreams:${name}"><${tag('Header')} instanceId="7" firstSequence="1" ` +
        `lastSequence="2" nextSequence="3"/><${tag('Streams')}><${tag('DeviceStream')} name="A" uuid="u">` +
        `<${tag('ComponentStream')}><${tag('Condition')}><${tag('Fault')} dataItemId="c" sequence="1" timestamp="t" ` +
        `nativeCode="4&amp;5">over</${tag('Fault')}></${tag('Condition')}></${tag('ComponentStream')}>` +
        `</${tag('DeviceStream')}></${tag('Streams')}></${tag('MTConnectStreams')}>`,
    );
    assert.equal(observations.length, 1);
    const [{ element, category, text, attributes, deviceUuid }] = observations as [(typeof observations)[number]];
    assert.deepEqual(
      [element, category, text, attributes['nativeCode'], deviceUuid],
      ['Fault', 'condition', 'over', '4&5', 'u'],
    );
  });
}

test('why an agent refuses, in the forms of three versions', async () => {
  for (const inner of [
    '<Error errorCode="OUT_OF_RANGE">\'from\' must be less</Error>',
    '<Errors><Error errorCode="OUT_OF_RANGE">\'from\' must be less</Error></Errors>',
    '<Errors><OutOfRange errorCode="OUT_OF_RANGE"><URI>/sample</URI><ErrorMessage>\'from\' must be less</ErrorMessage>' +
      '<QueryParameter name="from"><Value>9</Value></QueryParameter></OutOfRange></Errors>',
  ]) {
    const document = await parseDocument(`<MTConnectError><Header instanceId="1"/>${inner}</MTConnectError>`);
    assert.deepEqual(document, { kind: 'error', errors: [{ code: 'OUT_OF_RANGE', text: "'from' must be less" }] });
  }
});

test('the devices and what belongs to them', async () => {
  const text = `<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:2.0"><Header instanceId="1" version="2.0"/>
    <Devices><Agent id="a" name="Agent" uuid="u1"><DataItems>
      <DataItem category="EVENT" id="a1" type="AVAILABILITY"/></DataItems></Agent>
    <Device id="d" name="MILL" uuid="u2"><DataItems><DataItem category="EVENT" id="d1" type="AVAILABILITY"/></DataItems>
      <Components><Axes id="ax"><DataItems><DataItem category="CONDITION" id="d2" type="ACTUATOR"/></DataItems>
      <Components><Linear id="x" name="X"><Configuration/><DataItems>
        <DataItem category="SAMPLE" id="x2" name="Xabs" type="POSITION" subType="ACTUAL" units="MILLIMETER"><Source>1</Source>
        </DataItem><DataItem category="SAMPLE" id="x3" type="LOAD" units="PERCENT"/></DataItems>
      </Linear></Components></Axes></Components></Device></Devices></MTConnectDevices>`;
  const document = await parseDocument(text);
  assert.ok(document.kind === 'devices');
  assert.deepEqual(
    document.devices.map(({ name, isAgent, dataItems }) => [name, isAgent, dataItems.length]),
    [
      ['Agent', true, 1],
      ['MILL', false, 4],
    ],
  );
  assert.deepEqual(document.devices[1]?.dataItems[2], {
    id: 'x2',
    name: 'Xabs',
    category: 'sample',
    type: 'POSITION',
    subType: 'ACTUAL',
    units: 'MILLIMETER',
    representation: '',
    component: 'Linear',
    componentName: 'X',
  });
});

test('what is no document of an agent is refused', async () => {
  const header = '<Header instanceId="1" firstSequence="1" lastSequence="1" nextSequence="2"/>';
  for (const text of [
    '',
    'Not Found',
    '<html><body>Not Found</body></html>',
    `<MTConnectStreams>${header}<Streams>`,
    '<MTConnectStreams><Header instanceId="1"/></MTConnectStreams>',
    '<MTConnectStreams><Header instanceId="x" firstSequence="1" lastSequence="1" nextSequence="2"/></MTConnectStreams>',
    `<MTConnectStreams>${header.replace('"2"', '"99999999999999999"')}</MTConnectStreams>`,
    '<a>'.repeat(500),
  ]) {
    await assert.rejects(parseDocument(text), (error) => hasCode(error, 'protocol_violation'), text.slice(0, 80));
  }
});

test('entries belong to their own observation, whatever they are called', async () => {
  const set = (key: string, value: string): string => `<Entry key="${key}">${value}</Entry>`;
  const document = await parseDocument(
    '<MTConnectStreams><Header instanceId="1" firstSequence="1" lastSequence="3" nextSequence="4"/><Streams>' +
      '<DeviceStream><ComponentStream>' +
      `<Odd><X sequence="1">${set('a', '1')}<Cell key="c">1</Cell></X></Odd>` +
      `<Events><V dataItemId="v" sequence="2">5</V><W sequence="3">${set('__proto__', '<Cell key="__proto__">2</Cell>')}` +
      `</W></Events></ComponentStream></DeviceStream></Streams></MTConnectStreams>`,
  );
  assert.ok(document.kind === 'streams');
  const [first, second] = document.observations;
  assert.equal(first?.entries, undefined);
  assert.equal(JSON.stringify(second?.entries), '{"__proto__":{"__proto__":2}}');
});
