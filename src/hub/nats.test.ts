import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../../test/support/hub-database.ts';
import { type Answer, ask, startHub } from '../../test/support/hub-server.ts';
import { startNats } from '../../test/support/nats-server.ts';
import { until } from '../../test/support/until.ts';
import type { EdgeReport, HubStatus } from '../model/api.ts';
import { statusSubject } from '../model/nats-wire.ts';
import { connectPublisher, frames, natsSettings, sample } from './ingest/jetstream.test-support.ts';

const database = await startTestServer();
const nats = await startNats();
after(() => nats.stop());

const GATEWAY = 'hall 2/north.1';
const STATUS = {
  gateway_id: GATEWAY,
  state: 'online',
  sent_at: '2026-01-01T08:00:00Z',
  sources: [],
  sinks: [],
  log: {},
};

async function metric(url: string, name: string): Promise<number> {
  const { text } = await ask(`${url}/metrics`);
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

test('a hub reads by NATS with the supplied configuration, tells how it fares, and is not healthy when it cannot', async () => {
  const settings = natsSettings(nats.url, { streamName: 'CNC_DATA', subjects: ['CNC_DATA.>'] });
  const hub = await startHub(await database.database(), { nats: settings });
  const publisher = await connectPublisher({ ...settings, connection: natsSettings(nats.edgeUrl).connection });
  const health = (): Promise<Answer> => ask(`${hub.url}/healthz`);
  const status = async (): Promise<HubStatus> => (await ask(`${hub.url}/api/v1/status`)).json as HubStatus;
  await until(async () => (await health()).status === 200);
  for (let index = 1; index <= 10; index += 1) await publisher.publish(frames(sample(index)));
  await until(async () => (await status()).nats?.messages_acknowledged === 10);
  const told = await status();
  assert.deepEqual([told.readings_stored, told.nats?.state, told.nats?.messages_in_flight], [10, 'ok', 0]);
  assert.equal(await metric(hub.url, 'millwright_hub_nats_acknowledged_total'), 10);
  assert.equal(await metric(hub.url, 'millwright_hub_nats_up'), 1);
  await nats.kill('SIGKILL');
  await until(async () => (await health()).status === 503);
  assert.match((await health()).text, /nothing can be read from NATS: the connection to NATS was lost/);
  assert.equal(await metric(hub.url, 'millwright_hub_nats_up'), 0);
  await nats.restart();
  await until(async () => (await health()).status === 200);
});

test('an edge’s status comes by NATS as by HTTP; what is no status of that gateway is refused', async () => {
  const settings = natsSettings(nats.url, { streamName: 'OTHER', subjects: ['OTHER.>'] });
  const hub = await startHub(await database.database(), { nats: settings });
  const { connection } = await connectPublisher({ ...settings, connection: natsSettings(nats.edgeUrl).connection });
  await until(async () => (await ask(`${hub.url}/healthz`)).status === 200);
  const send = async (gatewayId: string, body: string): Promise<unknown> =>
    (await connection.request(statusSubject(gatewayId), body, { timeout: 10_000 })).json();
  assert.deepEqual(await send(GATEWAY, JSON.stringify(STATUS)), {});
  const edges = (await ask(`${hub.url}/api/v1/edges`)).json as EdgeReport[];
  assert.deepEqual(
    edges.map(({ status }) => [status.gateway_id, status.state]),
    [[GATEWAY, 'online']],
  );
  const refused: [string, string, RegExp][] = [
    [
      'another',
      JSON.stringify(STATUS),
      /gateway_id is the gateway of the address, "another"; found "hall 2\/north\.1"/,
    ],
    [GATEWAY, '{', /a status is JSON/],
    [GATEWAY, '[]', /a status/],
  ];
  for (const [gatewayId, body, message] of refused) {
    const { error } = (await send(gatewayId, body)) as { error: { code: string; message: string } };
    assert.equal(error.code, 'bad_request');
    assert.match(error.message, message);
  }
});
