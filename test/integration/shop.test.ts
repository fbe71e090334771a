/** The outage exercise of the README, on `millwright up`: the MES is away, what waits grows, it comes back, and all is there once. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { EdgeReport, MeasurementRow } from '../../src/model/api.ts';
import type { SinkStatus } from '../../src/model/status.ts';
import type { MesReport } from '../../src/sim/mes.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

/** Measurements that wait before the MES comes back. */
const WAITING = 3;

let folder: string;
before(async () => {
  folder = await makeFolder();
});
after(() => rm(folder, { recursive: true, force: true }));

class Shop {
  readonly hubUrl: string;
  readonly mesUrl: string;
  readonly #command: Command;

  private constructor(command: Command, hubUrl: string, mesUrl: string) {
    this.#command = command;
    this.hubUrl = hubUrl;
    this.mesUrl = mesUrl;
  }

  static async start(): Promise<Shop> {
    const port = await freePort();
    const command = new Command(['up', '--data', path.join(folder, 'shop'), '--port', String(port)]);
    const mesUrl = await waitUntil('the address of the MES', () => {
      if (!command.running) throw new Error(command.said);
      return /(http:\S+)\/received/.exec(command.said)?.[1];
    });
    return new Shop(command, `http://127.0.0.1:${port}`, mesUrl);
  }

  async stop(): Promise<void> {
    assert.equal(await this.#command.end('SIGINT'), 0, this.#command.said);
  }

  async received(): Promise<MesReport> {
    return (await (await fetch(`${this.mesUrl}/received`)).json()) as MesReport;
  }

  async switchMes(down: boolean): Promise<void> {
    const answer = await fetch(`${this.mesUrl}/control`, { method: 'POST', body: JSON.stringify({ down }) });
    assert.equal(answer.status, 200);
  }

  async measurements(): Promise<MeasurementRow[]> {
    const answer = await fetch(`${this.hubUrl}/api/v1/machines/CMM-001/measurements`);
    return (await answer.json()) as MeasurementRow[];
  }

  /** What the page shows of the sink `mes`. */
  async sink(): Promise<SinkStatus | undefined> {
    const edges = (await (await fetch(`${this.hubUrl}/api/v1/edges`)).json()) as EdgeReport[];
    const edge = edges.find(({ status }) => status.gateway_id === 'EDGE-CMM');
    return edge?.status.sinks.find(({ name }) => name === 'mes');
  }

  async check(): Promise<{ code: number | null; said: string; counts: number[] }> {
    const command = new Command(['simulate', 'mes-check', '--mes', this.mesUrl, '--hub', this.hubUrl]);
    const code = await command.exited();
    const counts = /CMM-001 +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)/.exec(command.said)?.slice(1).map(Number) ?? [];
    return { code, said: command.said, counts };
  }
}

test('the MES is away and comes back: nothing is lost, nothing doubled, also over a restart', async () => {
  const shop = await Shop.start();
  await waitUntil('a measurement at hub and MES', async () => {
    return (await shop.measurements()).length > 0 && (await shop.received()).count > 0 ? true : undefined;
  });
  const [newest] = await shop.measurements();
  assert.equal(newest?.distrust, null);
  assert.ok(newest.compensated_value !== null && newest.verdict !== null && newest.serial_number !== null);
  assert.ok(Math.abs(newest.compensated_value - 100) < 0.006, `${newest.compensated_value}`);

  await shop.switchMes(true);
  const { count: before } = await shop.received();
  const waiting = await waitUntil('the depth to grow', async () => {
    const sink = await shop.sink();
    return (sink?.lag_readings ?? 0) >= 2 * WAITING ? sink : undefined;
  });
  assert.notEqual(waiting.state, 'ok');
  assert.equal((await shop.received()).count, before);
  const away = await waitUntil('the check to miss some', async () => {
    const check = await shop.check();
    return (check.counts[2] ?? 0) >= WAITING ? check : undefined;
  });
  assert.equal(away.code, 1);

  await shop.switchMes(false);
  await waitUntil('nothing to wait', async () => ((await shop.sink())?.lag_readings === 0 ? true : undefined));
  const whole = await waitUntil('the check to be content', async () => {
    const check = await shop.check();
    return check.code === 0 ? check : undefined;
  });
  const [atHub = 0, atMes, ...troubles] = whole.counts;
  assert.ok(atHub >= before + WAITING);
  assert.deepEqual([atMes, ...troubles], [atHub, 0, 0, 0], whole.said);
  await shop.stop();

  const again = await Shop.start();
  await waitUntil('further ones', async () => ((await again.received()).count > atHub + 1 ? true : undefined));
  const later = await waitUntil('the check after the restart', async () => {
    const check = await again.check();
    return check.code === 0 ? check : undefined;
  });
  assert.ok((later.counts[1] ?? 0) > atHub, later.said);
  const serials = (await again.measurements()).map(({ serial_number }) => serial_number);
  assert.equal(new Set(serials).size, serials.length, 'the numbers go on');

  // What the check is for.
  const { newest: received } = await again.received();
  const twice = received[0]?.body;
  const foreign = { ...twice, timestamp: newest.time.replace(/\d{6}Z$/, '000001Z') };
  for (const [key, body] of Object.entries({ another: twice, foreign })) {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key };
    const address = `${again.mesUrl}/api/v1/cmm/measurements`;
    assert.equal((await fetch(address, { method: 'POST', headers, body: JSON.stringify(body) })).status, 201);
  }
  const spoilt = await again.check();
  assert.equal(spoilt.code, 1);
  assert.deepEqual(spoilt.counts.slice(3), [1, 1], spoilt.said);
  await again.stop();
});
