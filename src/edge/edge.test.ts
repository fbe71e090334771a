/** The whole edge: simulated machines, a log on the disk, and a hub stand-in on a real socket. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HubStandIn } from '../../test/support/hub-stand-in.ts';
import { until } from '../../test/support/until.ts';
import { aborted, type Clock, systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { EXIT_CANNOT_START, EXIT_FAILED } from '../base/process.ts';
import { decodeMessage } from '../model/frame.ts';
import type { EdgeStatus } from '../model/status.ts';
import { FINISH_MS_MAX } from './delivery/deliveries.ts';
import { runEdge, STOP_LIMITS } from './edge.ts';
import { EDGE_NODE_FLAGS } from './flags.ts';
import type { Configuration, EdgeSettings } from './settings.ts';
import { ROOMY } from '../log/options.test-support.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-edge-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function openHub(context: TestContext): Promise<HubStandIn> {
  const hub = new HubStandIn();
  await hub.open();
  context.after(() => hub.close());
  return hub;
}

function settingsFor(folder: string, hubPort: number): EdgeSettings {
  return {
    gatewayId: 'gw-1',
    location: 'Hall 2',
    logLevel: 'info',
    sensors: [1, 2, 3].map((index) => ({
      name: `sim-${index}`,
      type: 'simulator',
      machineId: `CNC-00${index}`,
      samplingIntervalMs: 20,
      priority: 1,
      options: { phaseSeconds: index * 10 },
    })),
    processors: [],
    sinks: [
      {
        name: 'hub',
        type: 'hub',
        from: 'oldest',
        maxRate: null,
        options: { url: `http://127.0.0.1:${hubPort}`, timeoutMs: 2_000, token: null, tlsCaFile: null },
      },
    ],
    log: { folder: join(folder, 'log'), segmentBytesMax: 64 * 1024, hotBytesMax: 16 * 1024, ...ROOMY },
    cardEnduranceBytes: 1e13,
    batching: { readingsMax: 10, delayMs: 50 },
    control: {
      enabled: true,
      intervalMs: 100,
      horizonMs: 600_000,
      fidelityWeight: 1,
      cpuPercentMax: 10_000,
      memoryBytesMax: 2 ** 40,
    },
    status: { host: '127.0.0.1', port: 0 },
  };
}

interface RunningEdge {
  readonly url: string;
  status(): Promise<EdgeStatus>;
  stop(): Promise<void>;
}

async function startEdge(
  context: TestContext,
  settings: EdgeSettings,
  configuration?: Configuration,
  clock: Clock = systemClock,
): Promise<RunningEdge> {
  const stop = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const port = await new Promise<number>((resolve, reject) => {
    const parts = {
      clock,
      random: Math.random,
      files: nodeFiles,
      log: silentLogger,
      onListening: resolve,
      ...(configuration && { configuration }),
    };
    running = runEdge(settings, parts, stop.signal);
    running.catch(reject);
  });
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  context.after(end);
  const url = `http://127.0.0.1:${port}`;
  return { url, stop: end, status: async () => JSON.parse(await (await fetch(`${url}/status`)).text()) };
}

/** Every batch once, none missing, in any order; no sample of a machine twice. */
function assertWhole(hub: HubStandIn): void {
  assert.deepEqual(
    hub.sequences.toSorted((a, b) => a - b),
    hub.sequences.map((_, index) => index + 1),
  );
  assert.equal(hub.timestamps.size, 3);
  for (const times of hub.timestamps.values()) {
    assert.equal(times.length, new Set(times).size);
  }
}

test('readings arrive at the hub whole, and the status pages tell it', async (context) => {
  const hub = await openHub(context);
  const edge = await startEdge(context, settingsFor(temporaryFolder(context), hub.port));
  await until(() => hub.readings > 300);
  const status = await edge.status();
  assert.equal(status.state, 'online');
  assert.equal(status.gateway_id, 'gw-1');
  assert.equal(status.location, 'Hall 2');
  assert.ok(status.sources.every((source) => source.state === 'ok' && source.readings > 50));
  assert.ok(status.sources.every((source) => source.sampling_factor === 1));
  assert.ok(status.readings_per_second > 0);
  assert.ok((status.sinks[0]?.cursor ?? 0) > 10);
  assert.equal((await fetch(`${edge.url}/healthz`)).status, 200);
  const metrics = await (await fetch(`${edge.url}/metrics`)).text();
  assert.match(metrics, /^millwright_source_up\{source="sim-1",machine="CNC-001"\} 1$/m);
  assert.match(metrics, /^millwright_edge_state\{state="online"\} 1$/m);
  assert.match(metrics, /^millwright_log_card_life_years [\d.e+-]+$/m);
  assert.match(metrics, /^millwright_log_written_bytes_per_day [1-9]/m);
  assert.match(metrics, /^millwright_append_latency_seconds_count [1-9]\d*$/m);
  await until(() => hub.reports.length > 0);
  assert.equal(hub.reports[0]?.gateway_id, 'gw-1');
  await edge.stop();
  const taken = Number(/^millwright_readings_total (\d+)$/m.exec(metrics)?.[1]);
  assert.ok(hub.readings >= taken, `${hub.readings} of at least ${taken} readings`);
  assertWhole(hub);
});

test('an edge that is pressed samples less, says so, and delivers what it samples whole', async (context) => {
  const hub = await openHub(context);
  const settings = settingsFor(temporaryFolder(context), hub.port);
  // More resident memory than this it has in any case.
  const control = { ...settings.control, intervalMs: 20, memoryBytesMax: 2 ** 20 };
  const edge = await startEdge(context, { ...settings, control });
  await until(async () => (await edge.status()).sources.every((source) => source.sampling_factor === 64));
  const metrics = await (await fetch(`${edge.url}/metrics`)).text();
  assert.match(metrics, /^millwright_source_sampling_factor\{source="sim-1",machine="CNC-001"\} 64$/m);
  assert.match(metrics, /^millwright_sampling_queue\{pressure="memory"\} [1-9]/m);
  assert.match(metrics, /^millwright_sampling_queue\{pressure="waiting"\} 0$/m);
  assert.match(metrics, /^millwright_sampling_fidelity_weight 1$/m);
  await until(() => hub.factorMax >= 32);
  await edge.stop();
  assertWhole(hub);
});

test('what is read while the hub is down is kept and arrives once it is back', async (context) => {
  const hub = await openHub(context);
  const edge = await startEdge(context, settingsFor(temporaryFolder(context), hub.port));
  await until(() => hub.readings > 100);
  await hub.close();
  const before = hub.sequences.length;
  await until(async () => (await edge.status()).state === 'offline');
  await until(async () => ((await edge.status()).sinks[0]?.lag_batches ?? 0) > 20);
  assert.equal((await fetch(`${edge.url}/healthz`)).status, 200, 'readings arrive and are kept');
  await hub.open();
  await until(async () => (await edge.status()).state === 'online' && hub.sequences.length > before + 20);
  await edge.stop();
  assertWhole(hub);
});

test('what was not delivered before a stop is delivered after the next start, in the same life of the log', async (context) => {
  const hub = await openHub(context);
  const settings = settingsFor(temporaryFolder(context), hub.port);
  await hub.close();
  const first = await startEdge(context, settings);
  await until(async () => ((await first.status()).sinks[0]?.lag_batches ?? 0) > 20);
  const { log } = await first.status();
  await first.stop();
  await hub.open();
  const second = await startEdge(context, settings);
  await until(() => hub.sequences.length > log.last_sequence);
  const [id] = log.epoch.split('_');
  assert.equal((await second.status()).log.epoch.split('_')[0], id, 'it is the same log');
  await second.stop();
  assertWhole(hub);
});

test('a batch that the hub refuses goes to the dead letters, and the rest goes on', async (context) => {
  const hub = await openHub(context);
  hub.refuses.add(7);
  const folder = temporaryFolder(context);
  const edge = await startEdge(context, settingsFor(folder, hub.port));
  await until(() => hub.sequences.includes(30));
  assert.equal((await edge.status()).sinks[0]?.dead_letters, 1);
  await edge.stop();
  assert.equal(hub.sequences.includes(7), false);
  assert.deepEqual(
    hub.sequences,
    hub.sequences.map((_, index) => (index < 6 ? index + 1 : index + 2)),
  );
  const lines = readFileSync(join(folder, 'log', 'dead-letters', 'hub.ndjson'), 'utf8')
    .trimEnd()
    .split('\n');
  assert.equal(lines.length, 1);
  const letter = JSON.parse(lines[0] ?? '');
  assert.equal(letter.sequence, 7);
  assert.equal(letter.reason, 'HTTP 400: refused by the test');
  assert.equal(decodeMessage(Buffer.from(letter.payload_base64, 'base64')).readings.length, letter.readings);
});

test('a type that there is not stops the start', async (context) => {
  const settings = settingsFor(temporaryFolder(context), 9);
  const parts = { clock: systemClock, random: Math.random, files: nodeFiles, log: silentLogger };
  const [sensor] = settings.sensors;
  assert.ok(sensor !== undefined);
  const unknown = { ...settings, sensors: [{ ...sensor, type: 'abacus' }] };
  await assert.rejects(runEdge(unknown, parts, AbortSignal.abort()), { code: 'config_invalid', message: /abacus/ });
});

/** Hands over settings one after the other. */
function given(): Configuration & { give(settings: EdgeSettings): Promise<void> } {
  const waiting: { readonly settings: EdgeSettings; readonly taken: () => void }[] = [];
  let wake = Promise.withResolvers<void>();
  return {
    give: (settings) =>
      new Promise((taken) => {
        waiting.push({ settings, taken });
        wake.resolve();
      }),
    changed: async (signal) => {
      await Promise.race([wake.promise, aborted(signal)]);
      wake = Promise.withResolvers();
      return true;
    },
    read: async () => waiting[0]!.settings,
    applied: () => waiting.shift()?.taken(),
  };
}

test('a sink that is configured otherwise while a call is under way gets it once, or again', async (context) => {
  const hub = await openHub(context);
  const settings = settingsFor(temporaryFolder(context), hub.port);
  const configuration = given();
  const edge = await startEdge(context, settings, configuration);
  await until(() => hub.sequences.length > 5);
  const [sink] = settings.sinks;
  const withTimeout = (timeoutMs: number): EdgeSettings => {
    return { ...settings, sinks: [{ ...sink!, options: { ...(sink!.options as object), timeoutMs } }] };
  };
  // Slow, and within the time it has to finish.
  hub.delayMs = 300;
  await until(() => hub.waiting > 0);
  await configuration.give(withTimeout(9_000));
  hub.delayMs = 0;
  const before = hub.sequences.length;
  await until(() => hub.sequences.length > before + 20);
  assertWhole(hub);
  // So slow that it is cut off, and sent again.
  hub.delayMs = 60_000;
  await until(() => hub.waiting > 0);
  await configuration.give(withTimeout(8_000));
  hub.delayMs = 0;
  await until(() => hub.sequences.length > before + 40);
  await edge.stop();
  assertWhole(hub);
});

test('a machine that a sensor does not read any more is unknown; names that are exchanged are no stop', async (context) => {
  const hub = await openHub(context);
  const settings = settingsFor(temporaryFolder(context), hub.port);
  const configuration = given();
  const edge = await startEdge(context, settings, configuration);
  await until(() => hub.timestamps.size === 3);
  const machines = ['CNC-002', 'CNC-001', 'CNC-009'];
  const sensors = settings.sensors.map((sensor, index) => ({ ...sensor, machineId: machines[index]! }));
  await configuration.give({ ...settings, sensors });
  const isOffline = (machine: string): boolean =>
    hub.all.some((one) => {
      return one.kind === undefined && one.machine_id === machine && one.machine_state === 'offline';
    });
  await until(() => isOffline('CNC-003'));
  await until(() => hub.all.some(({ machine_id }) => machine_id === 'CNC-009'));
  await edge.stop();
  assert.deepEqual([isOffline('CNC-001'), isOffline('CNC-002')], [false, false]);
});

test('a stop during a reload does not wait for what the reload waits for', async (context) => {
  const hub = await openHub(context);
  const settings = settingsFor(temporaryFolder(context), hub.port);
  const own = given();
  const underWay = Promise.withResolvers<void>();
  const read = (signal: AbortSignal): Promise<EdgeSettings> => {
    underWay.resolve();
    return own.read(signal);
  };
  const configuration = { ...own, read };
  // What a sink that goes may still take to send, a stop must not wait for.
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    systemClock.sleep(ms === FINISH_MS_MAX ? 3_600_000 : ms, signal);
  const edge = await startEdge(context, settings, configuration, { ...systemClock, sleep });
  await until(() => hub.sequences.length > 5);
  hub.delayMs = 60_000;
  await until(() => hub.waiting > 0);
  void own.give({ ...settings, sinks: [{ ...settings.sinks[0]!, maxRate: 1_000 }] });
  await underWay.promise;
  await new Promise((resolve) => setTimeout(resolve, 50));
  await edge.stop();
});

interface Child {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  errors(): string;
}

function startChild(context: TestContext, folder: string, settings: EdgeSettings): Child {
  const file = join(folder, `${Math.random()}.json`);
  writeFileSync(file, JSON.stringify(settings));
  const child = spawn(process.execPath, [...EDGE_NODE_FLAGS, MAIN, file], { stdio: ['ignore', 'ignore', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  let errors = '';
  child.stderr.on('data', (part: Buffer) => {
    errors += part.toString();
  });
  return { process: child, exit: new Promise((resolve) => child.on('close', resolve)), errors: () => errors };
}

test('SIGTERM drains: all that was read is in the log and at the hub', async (context) => {
  const hub = await openHub(context);
  const folder = temporaryFolder(context);
  const child = startChild(context, folder, settingsFor(folder, hub.port));
  await until(() => hub.readings > 200);
  child.process.kill('SIGTERM');
  assert.equal(await child.exit, 0, child.errors());
  const stopped = child
    .errors()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .find((line) => line.message === 'the edge has stopped');
  assert.equal(stopped?.last_sequence, hub.sequences.length);
  assertWhole(hub);
});

test('SIGTERM ends the edge in ten seconds also when the hub is silent, and a second one at once', async (context) => {
  const silent = http.createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    silent.closeAllConnections();
    silent.close();
  });
  const folder = temporaryFolder(context);
  const settings = settingsFor(folder, (silent.address() as AddressInfo).port);
  const first = startChild(context, folder, settings);
  await until(() => first.errors().includes('the edge runs'));
  first.process.kill('SIGTERM');
  assert.equal(await first.exit, 0, first.errors());
  const { sourcesMs, logMs, sinksMs, closeMs } = STOP_LIMITS;
  assert.ok(sourcesMs + logMs + sinksMs + closeMs <= 10_000);
  const second = startChild(context, folder, settings);
  await until(() => second.errors().includes('the edge runs'));
  // A signal right after the first is the same Ctrl-C heard twice; one that comes later is impatience.
  second.process.kill('SIGTERM');
  const impatience = setInterval(() => second.process.kill('SIGINT'), 100);
  context.after(() => clearInterval(impatience));
  assert.equal(await second.exit, EXIT_FAILED, second.errors());
});

test('kill -9 loses nothing that was in the log', async (context) => {
  const hub = await openHub(context);
  const folder = temporaryFolder(context);
  const settings = settingsFor(folder, hub.port);
  const first = startChild(context, folder, settings);
  await until(() => hub.readings > 200);
  first.process.kill('SIGKILL');
  await first.exit;
  const second = startChild(context, folder, settings);
  const before = hub.sequences.length;
  await until(() => hub.sequences.length > before + 20);
  second.process.kill('SIGTERM');
  assert.equal(await second.exit, 0, second.errors());
  const inOrder = [...new Set(hub.sequences)].toSorted((a, b) => a - b);
  assert.deepEqual(
    inOrder,
    inOrder.map((_, index) => index + 1),
  );
});

test('a start that cannot be says why in one sentence, and that another try would not help', async (context) => {
  const folder = temporaryFolder(context);
  const settings = settingsFor(folder, 9);
  const { log, status } = settings;
  const refusal = async (changed: EdgeSettings): Promise<{ code: string; message: string }> => {
    const child = startChild(context, folder, changed);
    assert.equal(await child.exit, EXIT_CANNOT_START, child.errors());
    return JSON.parse(child.errors());
  };
  const taken = http.createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  context.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const portTaken = await refusal({ ...settings, status: { ...status, port } });
  assert.equal(portTaken.code, 'port_unavailable');
  assert.ok(portTaken.message.includes(`127.0.0.1:${port}`));

  const owner = startChild(context, folder, settings);
  await until(() => owner.errors().includes('the edge runs'));
  const locked = await refusal(settings);
  assert.equal(locked.code, 'log_locked');
  assert.ok(locked.message.includes(String(owner.process.pid)));

  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  const unwritable = await refusal({ ...settings, log: { ...log, folder: join(file, 'log') } });
  assert.equal(unwritable.code, 'storage_failed');
  assert.ok(unwritable.message.includes('a-file'));
});

test('an outage longer than the log is large costs old samples, is told by gap events, and stays within the limit', async (context) => {
  const hub = await openHub(context);
  const folder = temporaryFolder(context);
  const limits = { ...ROOMY.limits, warmBytesMax: 64 * 1024, bytesMax: 192 * 1024 };
  const settings = settingsFor(folder, hub.port);
  const log = { ...settings.log, segmentBytesMax: 16 * 1024, limits };
  // Sampling as fast as it goes: the log is to be full, not to be spared.
  const sensors = settings.sensors.map((sensor) => ({ ...sensor, samplingIntervalMs: 1 }));
  await hub.close();
  const edge = await startEdge(context, {
    ...settings,
    sensors,
    log,
    control: { ...settings.control, enabled: false },
  });
  await until(async () => (await edge.status()).log.readings_thinned > 500);
  const full = await edge.status();
  assert.ok(full.log.bytes <= 1.25 * limits.bytesMax + log.segmentBytesMax, `${full.log.bytes} bytes`);
  assert.equal(full.log.readings_dropped, 0);
  await hub.open();
  // All that there was: more comes a thousand times a second.
  const { last_sequence: newest } = (await edge.status()).log;
  await until(async () => Number((await edge.status()).sinks[0]?.cursor) >= newest);
  await edge.stop();
  const machines = hub.gaps.map((gap) => gap.machine_id).toSorted();
  assert.deepEqual([...new Set(machines)], ['CNC-001', 'CNC-002', 'CNC-003']);
  for (const { details } of hub.gaps) {
    assert.ok(Number(details?.['readings']) > 0);
    // What comes faster than room can be made is refused; on so small a log it may be some.
    assert.ok(details?.['reason'] === 'thinned' || details?.['reason'] === 'refused');
    if (details['reason'] === 'thinned') assert.deepEqual(details['sinks'], ['hub']);
  }
});
