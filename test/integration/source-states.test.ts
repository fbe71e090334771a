/** What a real edge and a real hub say of sources that go silent, that are misconfigured, and that are half readable. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import type { EdgeReport, MachineEventRow, MachineNow } from '../../src/model/api.ts';
import type { EdgeStatus, SourceStatus } from '../../src/model/status.ts';
import { startBrowser, visit } from '../browser/browser.ts';
import { startModbusServer } from '../support/modbus.ts';
import { type Command, startSystem, waitUntil } from '../support/system.ts';

/** Speaks when the test says so, and has no heartbeat. */
class Adapter {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.resume();
  });

  async listen(): Promise<number> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  say(line: string): void {
    for (const socket of this.#sockets) socket.write(`${line}\n`);
  }

  get isConnected(): boolean {
    return this.#sockets.size > 0;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

/** A Modbus device with one register of zeros, which can be made to leave questions unanswered. */
async function openDevice(): Promise<{ port: number; isHung: boolean; close(): void }> {
  const waiting: (() => void)[] = [];
  let isHung = false;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (request: Buffer) => {
      const answer = (): void => {
        const head = Buffer.from([...request.subarray(0, 4), 0, 5, request[6] ?? 0, request[7] ?? 0, 2, 0, 0]);
        socket.write(head);
      };
      if (isHung) waiting.push(answer);
      else answer();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get isHung() {
      return isHung;
    },
    set isHung(value) {
      isHung = value;
      if (!value) for (const answer of waiting.splice(0)) answer();
    },
    close: () => void server.close(),
  };
}

const [system, adapter, device, modbus, browser] = await Promise.all([
  startSystem(),
  Promise.resolve(new Adapter()),
  openDevice(),
  startModbusServer({ units: { 1: [{ function: 3, address: 0, type: 'uint16', value: 215 }] } }),
  startBrowser(),
]);
after(async () => {
  adapter.close();
  device.close();
  await Promise.all([system.stop(), modbus.stop()]);
});
const adapterPort = await adapter.listen();

const register = (name: string, address: number): object => ({ extra: name, address, type: 'uint16' });
const unit = { type: 'modbus', host: '127.0.0.1', port: modbus.port, unit_id: 1, sampling_rate: '200ms' };
const SENSORS = {
  half: { ...unit, name: 'half', machine_id: 'HALF', registers: [register('good', 0), register('bad', 700)] },
  wrong: { ...unit, name: 'wrong', machine_id: 'WRONG', registers: [register('bad', 800)] },
  polled: {
    ...{ ...unit, name: 'polled', machine_id: 'POLLED', port: device.port, registers: [register('good', 0)] },
    ...{ timeout: '60s', silent_after: '2s' },
  },
  adapter: {
    ...{ name: 'adapter', type: 'shdr', machine_id: 'ADAPTER', host: '127.0.0.1', port: adapterPort },
    ...{ map: { Srpm: 'spindle_speed' }, state: { execution: 'exec' }, silent_after: '2s' },
  },
};

interface Edge {
  readonly url: string;
  status(): Promise<EdgeStatus>;
  source(name: string): Promise<SourceStatus>;
}

async function startEdge(name: string, sensors: readonly object[]): Promise<Edge> {
  const command: Command = await system.startEdge(name, { agent: { machine_id: name }, sensors });
  const said = (): string | undefined => /(http:\/\/[\d.:]+)\/status/.exec(command.said)?.[1];
  const url = await waitUntil('the edge to run', said);
  const status = async (): Promise<EdgeStatus> => JSON.parse(await (await fetch(`${url}/status`)).text());
  const source = async (name: string): Promise<SourceStatus> => {
    return (await status()).sources.find((one) => one.name === name) ?? assert.fail(`no source ${name}`);
  };
  return { url, status, source };
}

async function stateBecomes(edge: Edge, name: string, state: SourceStatus['state']): Promise<SourceStatus> {
  return waitUntil(`${name} to be ${state}`, async () => {
    const source = await edge.source(name);
    return source.state === state ? source : undefined;
  });
}

const machineNow = async (id: string): Promise<MachineNow> => {
  const fleet = await system.get<MachineNow[]>('/api/v1/fleet');
  return fleet.find((machine) => machine.id === id) ?? assert.fail(`no machine ${id}`);
};

test('each kind of trouble is told for its source, by the edge, its metrics, the hub and its page', async () => {
  const edge = await startEdge('EDGE-1', Object.values(SENSORS));
  await waitUntil('the adapter to be read', () => adapter.isConnected || undefined);
  adapter.say('|Srpm|1200|exec|ACTIVE');
  const half = await waitUntil('the half of it', async () => {
    const source = await edge.source('half');
    return source.problems.length > 0 && source.readings > 0 ? source : undefined;
  });
  assert.equal(half.state, 'ok');
  assert.equal(half.problems[0]?.item, 'bad');
  assert.match(half.problems[0]?.reason ?? '', /illegal data address/);
  assert.ok(half.reads > 0 && half.latency_ms !== null && half.latency_p95_ms !== null && half.errors > 0);
  const wrong = await stateBecomes(edge, 'wrong', 'misconfigured');
  assert.match(wrong.last_error ?? '', /unit 1, holding register 800: exception 2, illegal data address/);
  assert.ok(wrong.last_error_at !== null);
  await stateBecomes(edge, 'polled', 'ok');

  device.isHung = true;
  const silent = await stateBecomes(edge, 'polled', 'silent');
  assert.match(silent.last_error ?? '', /^no sign of life for \d+ s$/);
  assert.equal(silent.state_since, silent.last_contact);
  const quiet = await stateBecomes(edge, 'adapter', 'silent');
  assert.equal((await edge.status()).state, 'degraded');
  assert.equal((await fetch(`${edge.url}/healthz`)).status, 200, 'one of them still gives readings');
  const metrics = await (await fetch(`${edge.url}/metrics`)).text();
  for (const line of [
    /^millwright_source_state\{source="polled",machine="POLLED",state="silent"\} 1$/m,
    /^millwright_source_state\{source="polled",machine="POLLED",state="ok"\} 0$/m,
    /^millwright_source_state\{source="wrong",machine="WRONG",state="misconfigured"\} 1$/m,
    /^millwright_source_up\{source="half",machine="HALF"\} 1$/m,
    /^millwright_source_problems\{source="half",machine="HALF"\} 1$/m,
    /^millwright_source_errors_total\{source="wrong",machine="WRONG"\} [1-9]/m,
    /^millwright_source_reads_total\{source="half",machine="HALF"\} [1-9]/m,
    /^millwright_source_latency_p95_seconds\{source="half",machine="HALF"\} 0\.\d+$/m,
    /^millwright_source_reading_age_seconds\{source="adapter",machine="ADAPTER"\} [2-9]/m,
  ]) {
    assert.match(metrics, line);
  }

  await waitUntil('the hub to know', async () => {
    const reports = await system.get<EdgeReport[]>('/api/v1/edges');
    const states = reports.flatMap(({ status }) => status.sources.map(({ state }) => state));
    return states.toSorted().join() === 'misconfigured,ok,silent,silent' || undefined;
  });
  const machine = await machineNow('ADAPTER');
  assert.deepEqual([machine.source_state, machine.state], ['silent', 'running'], 'silent is not offline');
  const { page } = await visit(browser, `${system.url}/pipeline`);
  await page.getByText(/^First broken hop: machines\. wrong is misconfigured: .*, and 2 more\. Mend it in/).waitFor();
  await page.getByText('no sign of life for').first().waitFor();
  await page.context().close();

  // The event of the silence must not look like a sign of life.
  const events = await waitUntil('the silence to be told', async () => {
    const found = await system.get<MachineEventRow[]>('/api/v1/machines/ADAPTER/events');
    const own = found.filter(({ event_type }) => event_type === 'connection');
    return own.length > 0 ? own : undefined;
  });
  assert.deepEqual([events[0]?.item, events[0]?.details], ['adapter', { silent: true }]);
  const seen = Date.parse((await machineNow('ADAPTER')).last_seen ?? '');
  // The hub takes the way of a report for a difference of clocks.
  const afterMs = seen - Date.parse(quiet.last_contact ?? '');
  assert.ok(Math.abs(afterMs) < 1_500, `last seen ${afterMs} ms after it was heard`);

  device.isHung = false;
  const again = await stateBecomes(edge, 'polled', 'ok');
  assert.match(again.last_error ?? '', /^was silent for \d+ s$/);
  adapter.say('|Srpm|1300');
  await stateBecomes(edge, 'adapter', 'ok');
});

test('an edge whose sources are all silent is not healthy, and says which', async () => {
  const edge = await startEdge('EDGE-2', [{ ...SENSORS.polled, name: 'only', machine_id: 'ONLY' }]);
  await stateBecomes(edge, 'only', 'ok');
  assert.equal((await fetch(`${edge.url}/healthz`)).status, 200);
  device.isHung = true;
  await stateBecomes(edge, 'only', 'silent');
  const health = await fetch(`${edge.url}/healthz`);
  assert.equal(health.status, 503);
  assert.match(await health.text(), /^No source gives readings: only is silent \(no sign of life for \d+ s\)\.\n$/);
  device.isHung = false;
  await stateBecomes(edge, 'only', 'ok');
  assert.equal((await fetch(`${edge.url}/healthz`)).status, 200);
});
