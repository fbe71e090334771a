/** The examples of config/ for OPC UA and MQTT, read by a real edge from the machines that `millwright simulate` stands in for. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { nodeFiles } from '../../src/base/node-files.ts';
import { readAll } from '../../src/log/inspect.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import type { Sample } from '../../src/model/reading.ts';
import { startMosquitto } from '../support/mosquitto.ts';
import { Command, freePort, waitUntil } from '../support/system.ts';

interface Shop {
  readonly folder: string;
  simulate(...args: readonly string[]): void;
  /** The edge of that example, its servers at `url`: of each machine the newest value of each signal, as its log has it. */
  read(name: string, url: string): Promise<() => Promise<Map<string, Partial<Sample>>>>;
}

async function shopOf(context: TestContext): Promise<Shop> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-examples-'));
  const commands: Command[] = [];
  context.after(async () => {
    for (const command of commands.toReversed()) await command.end('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder,
    simulate: (...args) => void commands.push(new Command(['simulate', ...args])),
    read: async (name, url) => {
      const file = fileURLToPath(new URL(`../../config/${name}.example.yaml`, import.meta.url));
      const checked = new Command(['check', file]);
      assert.equal(await checked.exited(), 0, checked.said);
      const example = parse(readFileSync(file, 'utf8'));
      const logFolder = path.join(folder, 'log');
      const own = { sinks: [], buffering: { folder: logFolder }, status: { port: 0 } };
      const sensors = example.sensors.map((sensor: object) => ({ ...sensor, url }));
      const config = path.join(folder, 'edge.yaml');
      await writeFile(config, stringify({ ...example, ...own, sensors }));
      const edge = new Command(['edge', '--config', config]);
      commands.push(edge);
      await waitUntil('the edge to run', () => {
        if (!edge.running) throw new Error(edge.said);
        return edge.said.includes('the edge runs') || undefined;
      });
      return async () => {
        const machines = new Map<string, Partial<Sample>>();
        for await (const { payload } of readAll(nodeFiles, logFolder)) {
          for (const reading of decodeMessage(payload).readings) {
            if (reading.kind !== undefined) continue;
            machines.set(reading.machine_id, { ...machines.get(reading.machine_id), ...reading });
          }
        }
        return machines;
      };
    },
  };
}

/** Waits until each of them has a value for each name. */
function areRead(
  machinesNow: () => Promise<Map<string, Partial<Sample>>>,
  wanted: Readonly<Record<string, readonly string[]>>,
): Promise<true> {
  const read = async (): Promise<true | undefined> => {
    const machines = await machinesNow();
    const all = Object.entries(wanted).flatMap(([machine, names]) =>
      names.map((name) => machines.get(machine)?.[name]),
    );
    return !all.some((value) => value === undefined || value === null) || undefined;
  };
  return waitUntil(`values of ${Object.keys(wanted).join(', ')}`, read, { pollMs: 100 });
}

test('config/opcua.example.yaml reads the simulated server', async (context) => {
  const shop = await shopOf(context);
  const port = await freePort();
  shop.simulate('opcua', '--machines', '2', '--port', String(port), '--pki', path.join(shop.folder, 'pki'));
  const machines = await shop.read('opcua', `opc.tcp://127.0.0.1:${port}`);
  const signals = ['spindle_speed', 'spindle_load_percent', 'feed_rate_actual', 'temperature'];
  await areRead(machines, {
    'CNC-011': ['machine_state', ...signals, 'program', 'part_count'],
    'CNC-012': ['machine_state', 'total_power_kw', 'alarm'],
  });
});

test('config/mqtt.example.yaml reads the simulated machines, on plain topics and as an edge node', async (context) => {
  const broker = await startMosquitto();
  context.after(() => broker.close());
  const shop = await shopOf(context);
  shop.simulate('mqtt', broker.url, '--machines', '2', '--interval', '50ms');
  shop.simulate('mqtt', broker.url, '--sparkplug', '--interval', '50ms');
  const machines = await shop.read('mqtt', broker.url);
  const signals = ['temperature', 'spindle_speed', 'spindle_load_percent', 'feed_rate_actual', 'total_power_kw'];
  const all = ['machine_state', ...signals, 'program', 'part_count'];
  await areRead(machines, { 'mill-1': all, 'mill-2': all, 'MILL-11': all });
});

test('a recorded adapter log is published as a machine', async (context) => {
  const broker = await startMosquitto();
  context.after(() => broker.close());
  const shop = await shopOf(context);
  const listener = await broker.client();
  await listener.subscribe([{ filter: 'shop/+/telemetry', qos: 0 }]);
  const file = 'test/data/mtconnect/okuma-multus-u3000.shdr';
  shop.simulate('mqtt', broker.url, '--file', file, '--speed', 'max', '--interval', '50ms');
  for await (const { topic, payload } of listener.messages()) {
    assert.equal(topic, 'shop/okuma-multus-u3000/telemetry');
    if (typeof JSON.parse(Buffer.from(payload).toString()).S1load === 'number') break;
  }
  await listener.close();
});
