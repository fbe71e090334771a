import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { schema } from './config.ts';
import { type Device, parseDocument } from './document.ts';
import { mappingOf } from './mapping.ts';
import { configurationOf, describeAgent } from './probe.ts';

const FOLDER = new URL('../../../test/data/mtconnect/', import.meta.url);

async function devices(): Promise<readonly Device[]> {
  const document = await parseDocument(readFileSync(new URL('okuma-mazak.Devices.xml', FOLDER), 'utf8'));
  assert.ok(document.kind === 'devices');
  return document.devices;
}

test('what is to be pasted reads what is read without a map', async () => {
  const all = await devices();
  const { sensors } = parse(configurationOf(all, { url: 'http://agent:5000', isAlone: false }).join('\n'));
  assert.deepEqual(
    sensors.map(({ name }: { name: string }) => name),
    ['okuma', 'mazak'],
  );
  for (const [index, device] of all.entries()) {
    const { name: _name, type: _type, machine_id: machineId, ...written } = sensors[index];
    assert.equal(machineId, device.name);
    const byConfiguration = mappingOf(device, schema.parse(written));
    const byTypes = mappingOf(device, schema.parse({ url: 'http://agent:5000' }));
    assert.deepEqual(byConfiguration, byTypes);
  }
});

test('the signals of two real machines', async () => {
  const signals = (await devices()).map((device) => {
    const { plans } = mappingOf(device, schema.parse({ url: 'http://agent:5000' }));
    const fields = [...plans.values()].flatMap(({ name, fields }) =>
      fields.map((field) => [field.name, [name, field.scale]]),
    );
    return Object.fromEntries(fields);
  });
  const [okuma, mazak] = signals;
  assert.deepEqual(okuma, {
    spindle_speed: ['S1speed', 1],
    spindle_load_percent: ['S1load', 1],
    x_pos_mm: ['X1actm', 1],
    y_pos_mm: ['YI1actm', 1],
    z_pos_mm: ['Z1actm', 1],
    feed_rate_actual: ['p1Fact', 60],
    active_program_line: ['p1linenumber', 1],
    temperature: ['cabinettemp', 1],
    part_count: ['ppartcount', 1],
    tool_number: ['p1CurrentTool', 1],
    block: ['p1block', 1],
    controller_mode: ['pmode', 1],
    program: ['pprogram', 1],
  });
  assert.deepEqual(
    [mazak?.['spindle_speed'], mazak?.['spindle_load_percent'], mazak?.['feed_rate_actual'], mazak?.['program']],
    [
      ['Srpm', 1],
      ['Sload', 1],
      ['Fact', 60],
      ['activeprog', 1],
    ],
  );
});

test('the table says what each item says now', async () => {
  const item = { category: 'event', type: 'PROGRAM', subType: '', units: '', representation: '' } as const;
  const place = { component: 'Path', componentName: 'p1' };
  const probe = {
    kind: 'devices',
    header: { instanceId: '1', creationTime: '', version: '2.0' },
    devices: [
      { name: 'M1', uuid: '', isAgent: false, dataItems: [{ id: 'no', name: '', ...item, ...place }] },
      { name: 'M2', uuid: '', isAgent: false, dataItems: [] },
    ],
  } as const;
  const said = { deviceName: 'M1', deviceUuid: '', dataItemId: 'no', name: '', sequence: 3, timestamp: '' };
  const value = { category: 'event', element: 'Program', text: 'O 1', attributes: {}, entries: undefined } as const;
  const header = { ...probe.header, firstSequence: 1, lastSequence: 3, nextSequence: 4 };
  const current = { kind: 'streams', header, observations: [{ ...said, ...value }] } as const;
  assert.equal(
    describeAgent({ url: 'http://a:5000', probe, current }, 'M1'),
    [
      'http://a:5000: instance 1, version 2.0, observations 1 to 3',
      '',
      'device M1',
      '  id  name  component  category  type     sub-type  unit  now',
      '  no        Path p1    event     PROGRAM                  O 1',
      '',
      'sensors:',
      '  - name: m1',
      '    type: mtconnect',
      '    machine_id: M1',
      '    url: http://a:5000',
      '    device: M1',
      '    map: {}',
      '    program: "no"',
      '    # extra: all    keeps all other items under their own names',
      '',
    ].join('\n'),
  );
});
