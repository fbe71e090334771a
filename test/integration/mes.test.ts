/**
 * An outage of a MES that fails in every way while the edge is killed: afterwards it has each measurement once, those of a
 * machine in their order, and what it refused is in the dead letters. The MES is `millwright simulate mes`.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { nodeFiles } from '../../src/base/node-files.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { deadLetters } from '../../src/edge/delivery/dead-letter-files.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import type { EdgeStatus, SinkStatus } from '../../src/model/status.ts';
import type { MesFaults, MesReport } from '../../src/sim/mes.ts';
import type { Received } from '../../src/sim/mes-memory.ts';
import { appendToLog, measurementOf } from '../support/measurements.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

const MEASUREMENTS = 10_000;
const MACHINES = 4;
const KILLS = 4;
const REFUSE_EVERY = 97;
const FAULTS = { fail: 0.008, busy: 0.004, retry_after_s: 1, drop: 0.008 };

/** One edge after another on the same log, and one stand-in MES after another on the same port. */
class Rig {
  readonly folder: string;
  readonly log: string;
  readonly mesUrl: string;
  readonly random: Random;
  edge: Command | undefined;
  mes: Command | undefined;
  readonly #statusPort: number;
  #appended = 0;

  private constructor(folder: string, ports: { mes: number; status: number }, random: Random) {
    this.folder = folder;
    this.log = path.join(folder, 'log');
    this.mesUrl = `http://127.0.0.1:${ports.mes}`;
    this.#statusPort = ports.status;
    this.random = random;
  }

  static async open(context: TestContext): Promise<Rig> {
    const seed = Number(process.env['MILLWRIGHT_SEED'] ?? Date.now() % 1_000_000);
    console.log(`seed ${seed} (repeat with MILLWRIGHT_SEED)`);
    const ports = { mes: await freePort(), status: await freePort() };
    const rig = new Rig(await makeFolder(), ports, seededRandom(seed));
    context.after(async () => {
      await rig.edge?.end('SIGKILL');
      await rig.mes?.end('SIGKILL');
      await rm(rig.folder, { recursive: true });
    });
    return rig;
  }

  /** While no edge runs. */
  async append(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, (_, index) => this.#appended + index);
    this.#appended += count;
    const parts = { folder: this.log, gatewayId: 'EDGE-M', sinks: ['mes'], random: this.random, batchMax: 20 };
    await appendToLog(
      numbers.map((number) => measurementOf(number, MACHINES)),
      parts,
    );
  }

  async startEdge(keys: object = {}): Promise<void> {
    const file = path.join(this.folder, 'edge.yaml');
    const sinks = [{ type: 'mes', url: this.mesUrl, ...keys }];
    const config = { agent: { machine_id: 'EDGE-M' }, sinks, buffering: { folder: this.log } };
    await writeFile(file, stringify({ ...config, status: { port: this.#statusPort } }));
    this.edge = new Command(['edge', '--config', file]);
  }

  async startMes(...options: string[]): Promise<void> {
    this.mes = new Command(['simulate', 'mes', '--port', new URL(this.mesUrl).port, ...options]);
    await waitUntil('the MES to serve', async () => (await this.report()) && true);
  }

  async report(): Promise<MesReport> {
    return (await (await fetch(`${this.mesUrl}/received?newest=0`)).json()) as MesReport;
  }

  async received(): Promise<Received[]> {
    return (await (await fetch(`${this.mesUrl}/received?all=1`)).json()) as Received[];
  }

  async control(changes: Partial<MesFaults>): Promise<void> {
    const answer = await fetch(`${this.mesUrl}/control`, { method: 'POST', body: JSON.stringify(changes) });
    assert.equal(answer.status, 200);
  }

  /** Resolves when the sink of the running edge is as wanted. */
  sink(what: string, isSo: (sink: SinkStatus) => boolean): Promise<SinkStatus> {
    return waitUntil(what, async () => {
      if (this.edge?.running !== true) throw new Error(this.edge?.said);
      const status = (await (await fetch(`http://127.0.0.1:${this.#statusPort}/status`)).json()) as EdgeStatus;
      const sink = status.sinks[0]!;
      return isSo(sink) ? sink : undefined;
    });
  }

  /** The measurements in the dead letters, by their timestamps. */
  async refused(): Promise<string[]> {
    const found: string[] = [];
    for await (const { line } of deadLetters(nodeFiles, this.log, 'mes')) {
      const { readings, faults } = decodeMessage(Buffer.from(line.payload_base64, 'base64'));
      assert.deepEqual([readings.length, faults.length, line.readings], [1, 0, 1], 'just the one that was refused');
      assert.match(line.reason, /^HTTP 400: \{"error":"refused"/);
      found.push(readings[0]!.timestamp);
    }
    return found;
  }
}

test('10,000 measurements through an outage: each once, in order, and the refused ones in the dead letters', async (context) => {
  const rig = await Rig.open(context);
  await rig.append(MEASUREMENTS / 2);
  await rig.startEdge();
  await rig.sink('the MES to be missed', ({ last_error }) => last_error?.includes('cannot be reached') === true);
  await rig.edge?.end('SIGKILL');

  await rig.startMes('--refuse-every', String(REFUSE_EVERY), '--seed', String(Math.floor(rig.random() * 1e6)));
  await rig.control(FAULTS);
  for (let kill = 0; kill < KILLS; kill += 1) {
    await rig.append(MEASUREMENTS / 2 / KILLS);
    await rig.startEdge();
    const goal = (await rig.report()).count + 60 + rig.random() * 150;
    await waitUntil('more measurements at the MES', async () => (await rig.report()).count > goal || undefined);
    await rig.edge?.end('SIGKILL');
  }

  // It asks for an hour: whatever comes after that comes from calls that were under way.
  await rig.control({ fail: 0, drop: 0, busy: 1, retry_after_s: 3600 });
  const before = (await rig.report()).requests['429'] ?? 0;
  await rig.startEdge();
  await rig.sink('the MES to be left alone', ({ last_error }) => last_error?.startsWith('HTTP 429') === true);
  await rig.edge?.end('SIGKILL');
  const asked = ((await rig.report()).requests['429'] ?? 0) - before;
  assert.ok(asked >= 1 && asked <= MACHINES, `${asked} requests were answered 429`);

  await rig.control({ busy: 0 });
  const { count } = await rig.report();
  await rig.startEdge();
  await waitUntil('the drain', async () => (await rig.report()).count > count + 500 || undefined);
  await rig.edge?.end('SIGKILL');
  await rig.startEdge();
  await rig.sink('everything to be delivered', ({ lag_readings, state }) => lag_readings === 0 && state === 'ok');
  assert.equal(await rig.edge?.end('SIGTERM'), 0, rig.edge?.said ?? '');

  const report = await rig.report();
  const received = await rig.received();
  const refused = await rig.refused();
  console.log(JSON.stringify({ ...report, newest: undefined, dead_letters: refused.length }));
  const keys = received.map(({ key }) => key);
  assert.equal(new Set(keys).size, keys.length, 'each key is accepted once');
  assert.ok(keys.every((key) => /^EDGE-M\/[^/]+\/\d+\/\d+$/.test(key ?? '')));
  assert.equal(new Set(refused).size, report.refused);
  const expected = Array.from({ length: MEASUREMENTS }, (_, number) => measurementOf(number, MACHINES));
  const isRefused = new Set(refused);
  for (let machine = 1; machine <= MACHINES; machine += 1) {
    const id = `CMM-${machine}`;
    const own = received.filter(({ body }) => body['machine_id'] === id);
    assert.deepEqual(
      own.map(({ body }) => body),
      expected
        .filter(({ machine_id, timestamp }) => machine_id === id && !isRefused.has(timestamp))
        .map(({ machine_id, timestamp, temperature_c, measured_value }) => {
          const status = (temperature_c ?? 0) > 24 ? 'FAIL' : 'ACTIVE';
          return { machine_id, timestamp, temperature: temperature_c, length: measured_value, status };
        }),
      `${id}: all of its measurements, each once, in their order`,
    );
  }
  for (const outcome of ['201', '400', '429', '500', 'dropped'])
    assert.ok((report.requests[outcome] ?? 0) > 0, outcome);
  assert.ok(report.repeated > 0, 'some were sent again, and known by their key');
});

test('what was refused is delivered by a replay, with the keys that it had', async (context) => {
  const rig = await Rig.open(context);
  await rig.append(60);
  await rig.startMes('--refuse-where', 'serial=SN-7');
  const template = { machine_id: '{machine_id}', timestamp: '{timestamp}', serial: '{serial_number}' };
  await rig.startEdge({ template, list_size: 25 });
  const { dead_letters } = await rig.sink('everything to be settled', ({ lag_readings }) => lag_readings === 0);
  assert.equal(dead_letters, 1);
  assert.deepEqual(await rig.refused(), [measurementOf(7, MACHINES).timestamp]);
  const [letter] = await Array.fromAsync(deadLetters(nodeFiles, rig.log, 'mes'));
  // Another MES, that knows nothing of what the first one has answered.
  await rig.mes?.end('SIGKILL');
  await rig.startMes();
  const replay = new Command(['dead-letters', 'replay', rig.log]);
  assert.equal(await replay.exited(), 0, replay.said);
  assert.match(replay.said, /mes: 1 delivered, 0 refused again/);
  const { gateway_id, epoch, sequence, index } = letter!.line;
  assert.deepEqual(
    (await rig.received()).map(({ key, body }) => [key, body['serial']]),
    [[`${gateway_id}/${epoch}/${sequence}/${index}`, 'SN-7']],
  );
});

test('the examples of the page run as they stand', async (context) => {
  const rig = await Rig.open(context);
  await rig.append(20);
  await rig.startMes();
  const [usual, other] = examples();
  await rig.startEdge({ ...usual, url: rig.mesUrl });
  await rig.sink('everything to be delivered', ({ lag_readings }) => lag_readings === 0);
  const [first] = await rig.received();
  assert.deepEqual(Object.keys(first?.body ?? {}), ['machine_id', 'timestamp', 'temperature', 'length', 'status']);
  await rig.edge?.end('SIGTERM');
  await rig.append(1);
  await rig.startEdge({ ...other, url: rig.mesUrl });
  await rig.sink('the last one to be delivered', ({ lag_readings }) => lag_readings === 0);
  const last = measurementOf(20, MACHINES);
  assert.deepEqual((await rig.received()).at(-1)?.body, {
    machine_id: last.machine_id,
    timestamp: last.timestamp,
    part: { serial: last.serial_number, note: `checked at ${last.temperature_c} °C` },
    result: [last.measured_value, null, null],
    source: 'millwright',
  });
});

/** The sinks that the page shows. */
function examples(): object[] {
  const page = readFileSync(new URL('../../docs/sinks/mes.md', import.meta.url), 'utf8');
  return [...page.matchAll(/```yaml\n(.*?)```/gs)].map(
    ([, text = '']) => (parse(text) as { sinks: [object] }).sinks[0],
  );
}
