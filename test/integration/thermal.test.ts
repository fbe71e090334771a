/** From a measurement to the hub's table, through the processor that an edge's configuration names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEdgeConfig } from '../../src/edge/config.ts';
import { createStage, Pipeline } from '../../src/edge/pipeline/pipeline.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import type { Reading } from '../../src/model/reading.ts';
import { select, startTestServer } from '../support/hub-database.ts';
import { ask, startHub } from '../support/hub-server.ts';

const CONFIGURATION = `
agent: { machine_id: CMM-1 }
processors:
  - type: thermal
    compensation: none
    part: { coefficient: 22.6, half_width: 1 }
    scale: { coefficient: 8, half_width: 0.5 }
    part_temperature: { uncertainty: 0.1 }
    scale_temperature: { uncertainty: 0.1 }
    cmm: { constant: 0 }
`;

test('what thermal makes of a measurement stands in the table, and so does why it made nothing of another', async () => {
  const server = await startTestServer();
  const settings = await server.database();
  const hub = await startHub(settings);
  const edge = await readEdgeConfig({ file: 'edge.yaml', text: CONFIGURATION, environment: {} });
  const stages = await Promise.all(edge.settings.processors.map(createStage));
  const frames: Buffer[] = [];
  const pipeline = new Pipeline(stages, { accept: (reading) => void frames.push(Buffer.from(encodeFrame(reading))) });
  const length = {
    kind: 'measurement',
    machine_id: 'CMM-1',
    measured_value: 500,
    unit: 'mm',
    temperature_c: 23.5,
  } as const;
  const readings: readonly Reading[] = [
    {
      ...length,
      timestamp: '2026-01-01T08:00:00.000000Z',
      characteristic: 'width',
      scale_temperature_c: 22,
      lower_limit: 499.9,
      upper_limit: 500,
    },
    { ...length, timestamp: '2026-01-01T08:00:01.000000Z', characteristic: 'height' },
  ];
  for (const reading of readings) pipeline.accept(reading);
  const headers = { 'idempotency-key': 'edge-1/e1/1', 'content-type': 'application/vnd.millwright.frames' };
  const { status } = await ask(`${hub.url}/api/v1/ingest`, { method: 'POST', headers, body: Buffer.concat(frames) });
  assert.equal(status, 200);

  const rows = await select<Record<string, unknown>>(
    settings,
    `select characteristic, measured_value, round(correction::numeric * 1000, 3)::text as correction_um,
       round(compensated_value::numeric, 6)::text as compensated_value,
       round(expanded_uncertainty::numeric * 500, 2)::text as u_um,
       round((uncertainty_contributions->>'part_temperature')::numeric * 1000, 2)::text as part_temperature_um,
       compensation, verdict, decision_rule, distrust
     from measurements order by time`,
  );
  const nothing = { correction_um: null, compensated_value: null, u_um: null, part_temperature_um: null };
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [
      {
        characteristic: 'width',
        measured_value: 500,
        correction_um: '-31.548',
        compensated_value: '499.968452',
        u_um: '1.59',
        part_temperature_um: '1.13',
        compensation: 'none',
        verdict: 'conform',
        decision_rule: 'iso_14253_1',
        distrust: null,
      },
      {
        characteristic: 'height',
        measured_value: 500,
        ...nothing,
        compensation: 'none',
        verdict: null,
        decision_rule: null,
        distrust: ['the scale temperature is missing: the measurement says none, and no sensor is configured'],
      },
    ],
  );
  await hub.stop();
});
