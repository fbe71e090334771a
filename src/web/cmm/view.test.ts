import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MeasurementRow } from '../../model/api.ts';
import { beyondLimits, cmmHref, parseCmmView, partsOf, rowsOfPart, sinksOf, usedOf, worstOf } from './view.ts';

const NONE = { nominal_value: null, lower_limit: null, upper_limit: null };
const row = (fields: Partial<MeasurementRow>): MeasurementRow =>
  ({
    ...{ characteristic: 'length', measured_value: 10, compensated_value: null, verdict: null, serial_number: null },
    ...{ part_id: null, time: '2026-01-01T08:00:00.000000Z', ...NONE },
    ...fields,
  }) as MeasurementRow;

test('the address gives the view back, and what is no view is the default', () => {
  const view = {
    characteristic: 'bore, "1"',
    serial: 'S/1',
    count: 1000,
    value: 'measured',
    since: '2026-01-01',
  } as const;
  const href = cmmHref('CMM 1', view);
  assert.match(href, /^\/cmm\/CMM%201\?/);
  assert.deepEqual(parseCmmView(new URL(href, 'http://hub').searchParams), view);
  const standard = { characteristic: null, serial: null, count: 200, value: null, since: null };
  assert.deepEqual(parseCmmView(new URLSearchParams('last=7&value=raw&since=soon&serial=')), standard);
  assert.equal(cmmHref('A', standard), '/cmm/A');
});

test('the share of the tolerance: of two limits from their middle, of one from the nominal value', () => {
  const limits = { nominal_value: 10, lower_limit: 9.9, upper_limit: 10.1 };
  assert.equal(usedOf(row({ ...limits, measured_value: 10.05 }))?.toFixed(6), '0.500000');
  assert.equal(usedOf(row({ ...limits, measured_value: 11, compensated_value: 9.85 }))?.toFixed(6), '-1.500000');
  assert.equal(usedOf(row({ ...limits, upper_limit: null, measured_value: 9.95 }))?.toFixed(6), '-0.500000');
  assert.equal(usedOf(row({ nominal_value: 0, upper_limit: 0.05, measured_value: 0.03 }))?.toFixed(6), '0.600000');
  assert.equal(usedOf(row({ ...limits, lower_limit: 10.1 })), null);
  assert.equal(usedOf(row({ nominal_value: 10 })), null);
  assert.equal(usedOf(row({ upper_limit: 11 })), null);
  assert.equal(beyondLimits(row({ ...limits, measured_value: 10.5 }))?.toFixed(6), '0.400000');
  assert.equal(beyondLimits(row({ ...limits, measured_value: 9.5 }))?.toFixed(6), '0.400000');
  assert.equal(beyondLimits(row({ ...limits })), null);
});

test('parts by serial number with the worst of their verdicts; rows without a number are no part', () => {
  const parts = partsOf([
    row({ serial_number: 'B', verdict: 'conform', part_id: 'rail' }),
    row({ serial_number: 'A', verdict: 'conform' }),
    row({}),
    row({ serial_number: 'B', verdict: 'nonconform' }),
    row({ serial_number: 'B', verdict: 'indeterminate' }),
  ]);
  assert.deepEqual(
    parts.map(({ serial, measurements, nonconform, verdict, partId }) => [
      serial,
      measurements,
      nonconform,
      verdict,
      partId,
    ]),
    [
      ['B', 3, 1, 'nonconform', 'rail'],
      ['A', 1, 0, 'conform', null],
    ],
  );
  assert.equal(worstOf([null, null]), null);
  assert.equal(worstOf(['conform', 'indeterminate', null]), 'indeterminate');
});

test('a part’s rows: each characteristic as it was measured last, worst first', () => {
  const limits = { lower_limit: 9, upper_limit: 11 };
  const rows = rowsOfPart([
    row({ ...limits, characteristic: 'a', measured_value: 10.1, verdict: 'conform' }),
    row({ ...limits, characteristic: 'b', measured_value: 10.9, verdict: 'indeterminate' }),
    row({ ...limits, characteristic: 'c', measured_value: 12 }),
    row({ ...limits, characteristic: 'd', measured_value: 9.5, verdict: 'conform' }),
    row({ ...limits, characteristic: 'a', measured_value: 15, verdict: 'nonconform' }),
  ]);
  assert.deepEqual(
    rows.map(({ row: { characteristic } }) => characteristic),
    ['c', 'b', 'd', 'a'],
  );
});

test('the sinks are those of the gateways that read the machine', () => {
  const edge = (gateway: string, machine: string): object => {
    return { status: { gateway_id: gateway, sources: [{ machine_id: machine }], sinks: [{ name: 'mes' }] } };
  };
  const edges = [edge('E1', 'CMM-1'), edge('E2', 'M-1')] as Parameters<typeof sinksOf>[0];
  assert.deepEqual(
    sinksOf(edges, 'CMM-1').map((found) => [found.edge.status.gateway_id, found.sinks.map(({ name }) => name)]),
    [['E1', ['mes']]],
  );
});
