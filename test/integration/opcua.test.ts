/** The sink `opcua_server` of a real edge, looked at by another client in a process of its own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { now, systemClock } from '../../src/base/clock.ts';
import type { EdgeStatus, SinkStatus } from '../../src/model/status.ts';
import { microsOf } from '../../src/model/time.ts';
import { type ConnectOptions, OpcuaClient } from '../support/opcua-client.ts';
import { Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

const folder = await makeFolder();
const [statusPort, opcuaPort] = [await freePort(), await freePort()];
const log = path.join(folder, 'log');
const pki = path.join(log, 'sinks', 'opcua_server', 'pki');
const results = path.join(folder, 'results');
const url = `opc.tcp://127.0.0.1:${opcuaPort}`;
const commands: Command[] = [];
const client = new OpcuaClient();

/** An adapter of a machine tool that says what the test says. */
class Adapter {
  readonly #server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.unref();
    this.#sockets.add(socket);
    socket.write(`${now(systemClock)}|avail|AVAILABLE|exec|ACTIVE|speed|1000\n`);
  });
  readonly #sockets = new Set<net.Socket>();

  async listen(port: number): Promise<number> {
    this.#server.listen(port, '127.0.0.1').unref();
    await once(this.#server, 'listening');
    return (this.#server.address() as net.AddressInfo).port;
  }

  get isConnected(): boolean {
    return this.#sockets.size > 0;
  }

  /** @returns the time that it stands for, in milliseconds since 1970 */
  say(line: string): number {
    const timestamp = now(systemClock);
    for (const socket of this.#sockets) socket.write(`${timestamp}|${line}\n`);
    return microsOf(timestamp) / 1000;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The example of the page, with names and ports of the test. */
function config(shdrPort: number): object {
  const page = readFileSync(new URL('../../docs/sinks/opcua-server.md', import.meta.url), 'utf8');
  const example = parse(/```yaml\n(.*?)```/s.exec(page)?.[1] ?? '') as { sinks: object[] };
  const column = (name: string): object => ({ column: name });
  const measured = { characteristic: 'length', measured_value: column('Length'), unit: 'mm', nominal_value: 100 };
  const limits = { lower_limit: 99.9, upper_limit: 100.1, temperature_c: column('Temperature') };
  return {
    agent: { machine_id: 'EDGE-O' },
    sensors: [
      {
        name: 'tool',
        type: 'shdr',
        machine_id: 'CNC-001',
        host: '127.0.0.1',
        port: shdrPort,
        state: { availability: 'avail', execution: 'exec' },
        map: { speed: 'spindle_speed' },
      },
      {
        name: 'cmm',
        type: 'files',
        machine_id: 'CMM-001',
        folder: results,
        format: 'csv',
        rescan: '1s',
        csv: { time: column('Time'), measurements: [{ ...measured, ...limits }] },
      },
    ],
    processors: [
      {
        type: 'thermal',
        machines: ['CMM-001'],
        compensation: 'none',
        part: { material: 'aluminium_6061' },
        scale: { coefficient: 8, half_width: 0.5 },
        part_temperature: { uncertainty: 0.1 },
        scale_temperature: { as_part: true, difference: 0.2 },
        cmm: { constant: 1.7, per_metre: 3 },
      },
    ],
    sinks: example.sinks.map((sink) => ({ ...sink, host: '127.0.0.1', port: opcuaPort, hostnames: ['127.0.0.1'] })),
    buffering: { folder: log },
    status: { port: statusPort },
  };
}

async function startEdge(shdrPort: number): Promise<Command> {
  const file = path.join(folder, 'edge.yaml');
  await writeFile(file, stringify(config(shdrPort)));
  const command = new Command(['edge', '--config', file]);
  commands.push(command);
  return command;
}

async function serving(edge: Command): Promise<void> {
  await waitUntil('the server to serve', () => {
    if (!edge.running) throw new Error(edge.said);
    return edge.said.includes('the OPC UA server serves') || undefined;
  });
}

async function sinkStatus(): Promise<SinkStatus | undefined> {
  const { sinks } = (await (await fetch(`http://127.0.0.1:${statusPort}/status`)).json()) as EdgeStatus;
  return sinks[0];
}

async function putResult(name: string, { time, length }: { time: string; length: number }): Promise<void> {
  await writeFile(path.join(folder, name), `Time,Length,Temperature\n${time},${length},23.5\n`);
  await rename(path.join(folder, name), path.join(results, name));
}

after(async () => {
  await Promise.all([client.end(), ...commands.map((command) => command.end('SIGKILL'))]);
  await rm(folder, { recursive: true });
});

const login = { url, pki: path.join(folder, 'scada'), policy: 'Aes256_Sha256_RsaPss', user: 'scada' } as const;
const known: ConnectOptions = { ...login, password: 'secret' };
const CNC = 'ns=2;s=CNC-001';
const CMM = 'ns=2;s=CMM-001';

test('a client is let in with a trusted certificate and its password, and sees what is, what was, and what it may believe', async () => {
  await mkdir(results);
  const adapter = new Adapter();
  const shdrPort = await adapter.listen(0);
  let edge = await startEdge(shdrPort);
  await serving(edge);

  // Nobody is let in whose certificate is not trusted; how to trust it is told, and takes effect at once.
  await assert.rejects(client.connect(known), /BadSecurityChecksFailed/);
  const [file = ''] = await waitUntil('the file', async () => {
    const files = await readdir(path.join(pki, 'rejected'));
    return files.length === 1 ? files : undefined;
  });
  await waitUntil('the sentence', () => edge.said.includes('its certificate is not trusted') || undefined);
  assert.ok(edge.said.includes(JSON.stringify(path.join(pki, 'rejected', file)).slice(1, -1)), edge.said);
  await rename(path.join(pki, 'rejected', file), path.join(pki, 'trusted', 'certs', file));
  await waitUntil('the client to be let in', async () => client.connect(known).then(() => true));

  // Nor with another password, nor without a name, nor without security.
  for (const [given, refusal] of [
    [{ ...known, password: 'guessed' }, /BadUserAccessDenied/],
    [{ ...known, user: 'nobody' }, /BadUserAccessDenied/],
    [{ url, pki: known.pki, policy: login.policy }, /Cannot find ANONYMOUS/],
    [{ url, pki: known.pki, user: 'scada', password: 'secret' }, /must exist/],
  ] as const) {
    await assert.rejects(client.connect(given), refusal);
  }
  for (const policy of ['Basic256Sha256', 'Aes128_Sha256_RsaOaep'] as const) {
    await client.connect({ ...known, policy });
  }
  await client.connect(known);

  const machines = await client.browse('ns=2;s=Machines');
  assert.deepEqual(machines.map(({ name }) => name).toSorted(), ['CMM-001', 'CNC-001']);
  assert.equal((await client.read(`${CMM}/Last_Update`)).status, 'BadWaitingForInitialData');

  await waitUntil('the machine tool', () => adapter.isConnected || undefined);
  const speed = `${CNC}/Spindle_Speed_rpm`;
  await waitUntil('its node', async () => (await client.read(speed)).status === 'Good' || undefined);
  const [unit] = await client.browse(speed);
  assert.equal(unit?.name, 'EngineeringUnits');
  const { value: unitValue } = await client.read(unit.node);
  assert.deepEqual((unitValue as { displayName: { text: string }; unitId: number }).displayName.text, 'rpm');
  assert.equal((unitValue as { unitId: number }).unitId, Buffer.from('RPM').readUIntBE(0, 3));

  // Values come with the machine's own time, to the microsecond.
  await client.subscribe([speed, `${CNC}/Device_Status`], { intervalMs: 50 });
  const saidMs = adapter.say('speed|1234');
  const seen = await waitUntil('the value', () => client.notifications.find(({ value }) => value === 1234));
  assert.equal(seen.status, 'Good');
  assert.ok(Math.abs((seen.sourceMs ?? 0) - saidMs) < 0.001, `${seen.sourceMs} ${saidMs}`);
  assert.ok((seen.serverMs ?? 0) >= Math.floor(saidMs));
  assert.equal(await client.write(speed, 1), 'BadNotWritable');
  assert.equal((await client.read(speed)).value, 1234);

  // What the source does not know is Bad, and no number.
  adapter.say('speed|UNAVAILABLE');
  const unknown = await waitUntil('it', () =>
    client.newest(speed)?.value === null ? client.newest(speed) : undefined,
  );
  assert.equal(unknown.status, 'BadDataUnavailable');
  adapter.say('speed|1300');
  await waitUntil('it', () => client.newest(speed)?.value === 1300 || undefined);

  // A source that stops.
  await adapter.close();
  await waitUntil('Bad', () => client.newest(speed)?.status === 'BadNoCommunication' || undefined);
  await waitUntil('offline', () => client.newest(`${CNC}/Device_Status`)?.value === 'offline' || undefined);
  const again = new Adapter();
  await again.listen(shdrPort);
  const back = await waitUntil('Good', () => {
    const newest = client.newest(speed);
    return newest?.status === 'Good' ? newest : undefined;
  });
  assert.equal(back.value, 1000);

  // A part is measured.
  const time = '2026-01-01T08:00:00.000Z';
  await putResult('1.csv', { time, length: 100.003 });
  const measured = await waitUntil('the measurement', async () => {
    const found = await client.read(`${CMM}/Measured_Length_mm`);
    return found.status === 'Good' ? found : undefined;
  });
  assert.deepEqual([measured.value, measured.sourceMs], [100.003, Date.parse(time)]);
  const valueOf = async (name: string): Promise<unknown> => (await client.read(`${CMM}/${name}`)).value;
  assert.equal(await valueOf('Temperature_C'), 23.5);
  assert.equal(await valueOf('Last_Update'), time);
  assert.equal(await valueOf('Device_Status'), 'online');
  const compensated = Number(await valueOf('Compensated_Length_mm'));
  assert.ok(compensated < 100 && compensated > 99.99, String(compensated));
  assert.equal(await valueOf('Deviation_mm'), compensated - 100);
  assert.ok(Number(await valueOf('Expanded_Uncertainty_mm')) > 0);
  assert.equal(await valueOf('Verdict'), 'conform');
  assert.equal(await valueOf('Features/length/Measured_Length_mm'), 100.003);
  // One that was measured before is no news.
  await putResult('0.csv', { time: '2026-01-01T07:00:00.000Z', length: 55 });
  await waitUntil('both to be delivered', async () => ((await sinkStatus())?.lag_readings === 0 ? true : undefined));
  assert.equal(await valueOf('Measured_Length_mm'), 100.003);

  // A source that is lost: the last value and its time stay, and are Bad.
  await rename(results, `${results}.gone`);
  const lost = await waitUntil('Bad', async () => {
    const found = await client.read(`${CMM}/Measured_Length_mm`);
    return found.status === 'BadNoCommunication' ? found : undefined;
  });
  assert.deepEqual([lost.value, lost.sourceMs], [100.003, Date.parse(time)]);
  await rename(`${results}.gone`, results);

  // After a restart the certificate is the same, and what was measured is shown again.
  const certificate = await readFile(path.join(pki, 'own/certs/certificate.pem'), 'utf8');
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  edge = await startEdge(shdrPort);
  await serving(edge);
  await client.connect(known);
  assert.equal(await readFile(path.join(pki, 'own/certs/certificate.pem'), 'utf8'), certificate);
  const restored = await waitUntil('the last measurement', async () => {
    const found = await client.read(`${CMM}/Measured_Length_mm`);
    return found.status === 'Good' ? found : undefined;
  });
  assert.deepEqual([restored.value, restored.sourceMs], [100.003, Date.parse(time)]);
  assert.equal(await edge.end('SIGINT'), 0, edge.said);
  await again.close();
});

test('a port that is taken and a folder that cannot be written are told, tried again, and hold nothing back', async () => {
  const taken = net.createServer().listen(opcuaPort, '127.0.0.1');
  await once(taken, 'listening');
  const edge = await startEdge(await freePort());
  const failing = await waitUntil('the status to tell', async () => {
    const status = await sinkStatus();
    return status?.state === 'failing' ? status : undefined;
  });
  assert.match(failing.last_error ?? '', /^port \d+ of 127\.0\.0\.1 cannot be used for OPC UA; .*EADDRINUSE/);
  await putResult('2.csv', { time: '2026-01-01T09:00:00.000Z', length: 100.001 });
  await waitUntil('the log to be let go of', async () => {
    const status = await sinkStatus();
    return status !== undefined && status.cursor > failing.cursor && status.lag_readings === 0 ? true : undefined;
  });
  taken.close();
  await serving(edge);
  await waitUntil('the status to be well', async () => ((await sinkStatus())?.state === 'ok' ? true : undefined));
  await client.connect(known);
  assert.equal((await client.read(`${CMM}/Measured_Length_mm`)).value, 100.001, 'read while nobody could look');
  // Whatever strangers send to the port, the edge goes on.
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'HELF\xff\xff\xff\xff', '\0'.repeat(5_000)]) {
    const socket = net.connect(opcuaPort, '127.0.0.1');
    socket.on('error', () => {});
    await new Promise((resolve) => socket.write(Buffer.from(bytes, 'latin1'), resolve));
    socket.destroy();
  }
  assert.equal((await client.read(`${CMM}/Measured_Length_mm`)).value, 100.001);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  assert.doesNotMatch(edge.said, /has fallen/);
});
