import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { OPCUACertificateManager } from 'node-opcua';
import { waitUntil } from '../../../test/support/system.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import {
  comes,
  folderFor,
  newest,
  NODES,
  read,
  SPEED,
  startServer,
  STATE,
  TEMPERATURE,
  trustAll,
} from './driver.test-support.ts';

const open = { policy: 'None' } as const;

test('nodes by path and by id fill signals, extras, parts of arrays and structures; one that is not there fails no other', async (context) => {
  const { server, folder } = await startServer(context);
  const machine = 'Objects/Machines/CNC-001';
  const reader = read(context, {
    url: server.url,
    pki: path.join(folder, 'client'),
    ...open,
    nodes: [
      ...NODES,
      { node: `${machine}/Axes`, index: 1, signal: 'y_pos_mm' },
      { node: `${machine}/Axes`, extra: 'axes' },
      { node: `${machine}/Limits`, field: 'High', extra: 'limit', scale: 0.1 },
      { node: `${machine}/Counter`, extra: 'part_count' },
      { node: `${machine}/Program`, extra: 'program' },
      { node: `${machine}/Door`, extra: 'door' },
      { node: 'i=2256', field: 'BuildInfo.ProductUri', extra: 'product' },
      { node: `${machine}/Spindel`, extra: 'missing' },
      { node: 'nsu=urn:other;s=x', extra: 'foreign' },
      { node: 'ns=1;s=nothing', extra: 'nothing' },
      { node: machine, extra: 'no_variable' },
    ],
  });
  await comes(reader, 'product', 'urn:test');
  await server.set({ name: 'Counter', value: [1, 2] });
  await server.set({ name: 'Program', value: 'O1234' });
  await server.set({ name: 'Axes', value: [4, 5.5, 6] });
  await server.set({ name: 'Speed', value: 1200, sourceMs: Date.now() });
  await server.set({ name: 'State', value: 1 });
  await comes(reader, 'machine_state', 'running');
  await comes(reader, 'y_pos_mm', 5.5);
  const { gateway } = reader;
  const [first] = gateway.samples;
  assert.deepEqual(
    { ...first, timestamp: '', product: '' },
    {
      machine_id: 'M-1',
      timestamp: '',
      spindle_speed: 0,
      temperature: 21.5,
      machine_state: 'idle',
      y_pos_mm: 2,
      axes: [1, 2, 3],
      limit: 25,
      part_count: 0,
      program: '',
      door: false,
      product: '',
    },
  );
  assert.deepEqual(newest(reader, 'axes'), [4, 5.5, 6]);
  await comes(reader, 'part_count', 2 ** 32 + 2);
  await comes(reader, 'spindle_speed', 1200);
  assert.deepEqual(
    gateway.events.filter(({ event_type }) => event_type === 'state').map(({ state, text }) => [state, text]),
    [
      ['idle', `${STATE} is 0`],
      ['running', `${STATE} is 1`],
    ],
  );
  assert.deepEqual(
    gateway.events.filter(({ event_type }) => event_type === 'program').map(({ text }) => text),
    ['O1234'],
  );
  assert.match(gateway.problems.get(`${machine}/Spindel`) ?? '', /^there is no Spindel below .*CNC-001, but Spindle, /);
  assert.match(gateway.problems.get('nsu=urn:other;s=x') ?? '', /^the server has no namespace urn:other; it has http/);
  assert.equal(gateway.problems.get('ns=1;s=nothing'), 'the server has no such node (BadNodeIdUnknown)');
  assert.match(gateway.problems.get(machine) ?? '', /no variable, so it has no value \(BadAttributeIdInvalid\)/);
  assert.equal(gateway.problems.size, 4);
  assert.equal(gateway.connections, 1);
  assert.equal(await server.sessions(), 1);
  await reader.running.stop();
  assert.equal(await server.sessions(), 0);
});

test('a server whose values do not change is heard, and says when next', async (context) => {
  const { server, folder } = await startServer(context);
  const { gateway } = read(context, { url: server.url, pki: path.join(folder, 'client'), policy: 'None' });
  await waitUntil('a sign of life', () => (gateway.signs > 0 ? true : undefined));
  // The subscription's own sign, each five seconds: three of them are fewer than a minute.
  assert.ok(gateway.nextWithinMs !== undefined && gateway.nextWithinMs <= 10_000, String(gateway.nextWithinMs));
});

test('bad is unknown, uncertain is marked until it is good, and the rest goes on', async (context) => {
  const { server, folder } = await startServer(context);
  const reader = read(context, { url: server.url, pki: path.join(folder, 'client'), ...open });
  const { gateway } = reader;
  await comes(reader, 'temperature', 21.5);
  await server.set({ name: 'Temperature', value: 22.25, status: 'UncertainLastUsableValue' });
  await comes(reader, 'temperature', 22.25);
  assert.equal(newest(reader, 'temperature_status'), 'UncertainLastUsableValue');
  await server.set({ name: 'Temperature', value: 0, status: 'BadSensorFailure' });
  await comes(reader, 'temperature', null);
  assert.equal(gateway.problems.get(TEMPERATURE), 'the sensor has failed (BadSensorFailure)');
  await server.set({ name: 'Temperature', value: 23 });
  await comes(reader, 'temperature', 23);
  assert.equal(gateway.problems.size, 0);
  await server.set({ name: 'Temperature', value: 24, status: 'UncertainLastUsableValue' });
  await server.set({ name: 'State', value: 7 });
  await comes(reader, 'temperature', 24);
  await comes(reader, 'machine_state', null);
  assert.equal(gateway.problems.get(STATE), 'machine_state: 7 is in no line of states');
  await server.set({ name: 'Temperature', value: 25 });
  await comes(reader, 'temperature_status', 'Good');
  await server.remove('Speed');
  await comes(reader, 'spindle_speed', null);
  assert.match(gateway.problems.get(SPEED) ?? '', /no such node|BadNodeIdInvalid/);
});

test("the source's time is the reading's, unless its clock is wrong: then the gateway's, with the source's beside", async (context) => {
  const { server, folder } = await startServer(context);
  const reader = read(context, { url: server.url, pki: path.join(folder, 'client'), ...open });
  await comes(reader, 'spindle_speed', 0);
  const sourceMs = Date.now() + 5_000;
  await server.set({ name: 'Speed', value: 1, sourceMs });
  await comes(reader, 'spindle_speed', 1);
  const good = reader.gateway.samples.at(-1);
  assert.equal(Date.parse(good?.timestamp ?? ''), sourceMs);
  assert.equal(good?.clock_quality, undefined);
  for (const [value, wrong] of [
    [2, '2000-01-01T00:00:07.000000Z'],
    [3, '1970-01-02T03:04:05.000000Z'],
    [4, '2099-01-01T00:00:00.000000Z'],
    // A controller that writes the time of its place as if it were UTC, or was set last week.
    [5, `${new Date(Date.now() - 5 * 3_600_000).toISOString().slice(0, -1)}000Z`],
  ] as const) {
    const beganMs = Date.now();
    await server.set({ name: 'Speed', value, sourceMs: Date.parse(wrong) });
    await comes(reader, 'spindle_speed', value);
    const sample = reader.gateway.samples.at(-1);
    const timestamp = sample?.timestamp ?? '';
    assert.equal(sample?.['source_time'], wrong);
    assert.equal(sample?.clock_quality, 'unsynchronized');
    assert.ok(Date.parse(timestamp) >= beganMs - 1 && Date.parse(timestamp) <= Date.now() + 1, timestamp);
  }
});

test('the certificate of a server is trusted by a person, and another one is told and not taken', async (context) => {
  const { server, folder } = await startServer(context, { policies: ['Basic256Sha256'], anonymous: false });
  const pki = path.join(folder, 'client');
  const reader = read(context, { url: server.url, pki, user: 'operator', password: 'secret' });
  await waitUntil('the refusal', () => reader.running.lastError || undefined);
  const [error] = reader.running.errors;
  assert.equal(error?.code, 'config_invalid');
  const command = /is not trusted yet: .*, thumbprint ([\da-f]{40})\. .* run: millwright trust opcua (\S+) \1$/;
  const [, thumbprint = '', told = ''] = command.exec(error?.message ?? '') ?? [];
  assert.equal(told, pki, error?.message);
  assert.equal(await server.sessions(), 0);
  const { rejectedCertificates, trust } = await import('../../base/opcua-trust.ts');
  const trustIt = async (wanted: string): Promise<void> => {
    const found = (await rejectedCertificates(pki)).find((one) => one.thumbprint === wanted);
    assert.equal(found?.applicationUri, 'urn:test:server');
    await trust(pki, found);
  };
  await trustIt(thumbprint);
  await comes(reader, 'temperature', 21.5);
  const own = await readdir(path.join(pki, 'own/certs'));

  // The server with another certificate.
  const before = reader.running.errors.length;
  await server.shutDown();
  await server.start({ pki: path.join(folder, 'other') });
  const isTold = (): true | undefined => {
    return reader.running.errors.slice(before).some(({ code }) => code === 'config_invalid') || undefined;
  };
  await waitUntil('the other certificate to be told', isTold);
  assert.match(reader.running.lastError, new RegExp(`is another than the one that was trusted \\(${thumbprint}\\): `));
  assert.equal(await server.sessions(), 0);
  await trustIt(/thumbprint ([\da-f]{40})\./.exec(reader.running.lastError)?.[1] ?? '');
  await server.set({ name: 'Temperature', value: 30 });
  await comes(reader, 'temperature', 30);
  assert.equal(await server.sessions(), 1);
  assert.deepEqual(await readdir(path.join(pki, 'own/certs')), own, 'its own certificate stays');
  await reader.running.stop();
  assert.equal(await server.sessions(), 0);
});

test('what only a person can mend is told as such: password, anonymous, policy, nodes', async (context) => {
  const { server, folder } = await startServer(context, { policies: ['None', 'Basic256Sha256'], anonymous: false });
  const common = { url: server.url, pki: path.join(folder, 'client'), again: false };
  const login = { user: 'operator', password: 'secret' };
  assert.match((await read(context, { ...common, ...login }).running.failure()).message, /is not trusted yet/);
  await trustAll(common.pki);
  for (const [keys, message] of [
    [
      { ...login, password: 'wrong' },
      /does not let in user operator \(BadUserAccessDenied\); correct user or password, or allow it at the server$/,
    ],
    [{}, /does not take anonymous: true over Basic256Sha256 with SignAndEncrypt; it takes user and password, user_c/],
    [
      { ...login, policy: 'Aes256_Sha256_RsaPss' },
      /does not offer Aes256_Sha256_RsaPss with SignAndEncrypt; it offers None; Basic256Sha256 with SignAndEncrypt$/,
    ],
    [
      { ...login, mode: 'Sign' },
      /does not offer Sign with .*; it offers None; .*; set policy \(and mode\) to one of them$/,
    ],
    [{ user: 'operator', password_file: '/nowhere/password' }, /password_file: \/nowhere\/password cannot be read/],
    [
      { ...login, nodes: [{ node: 'ns=1;s=x', extra: 'x' }] },
      /: ns=1;s=x: the server has no such node \(BadNodeIdUnknown\)$/,
    ],
  ] as const) {
    const error = await read(context, { ...common, ...keys }).running.failure();
    assert.match(error.message, message);
    assert.equal(error.code, 'config_invalid', error.message);
    assert.equal(await server.sessions(), 0, error.message);
  }
});

test('a server that does not trust the gateway says so, and takes it once it does', async (context) => {
  const { server, folder } = await startServer(context, { policies: ['Basic256Sha256'], trustsAll: false });
  const pki = path.join(folder, 'client');
  const reader = read(context, { url: server.url, pki });
  await waitUntil('the refusal', () => reader.running.lastError || undefined);
  await trustAll(pki);
  await waitUntil(
    "the server's refusal",
    () => reader.running.lastError.includes('refuses the certificate') || undefined,
  );
  const certificate = path.join(pki, 'own/certs/certificate.pem');
  const [, told = ''] =
    /\(BadSecurityChecksFailed\); have the server trust (\S+)$/.exec(reader.running.lastError) ?? [];
  assert.equal(told, certificate);
  assert.equal(reader.running.errors.at(-1)?.code, 'config_invalid');
  await trustAll(path.join(folder, 'server'));
  await comes(reader, 'temperature', 21.5);
});

test('a user logs in by a certificate, or by the first line of a file', async (context) => {
  const { server, folder } = await startServer(context, { policies: ['Basic256Sha256'], anonymous: false });
  const pki = path.join(folder, 'client');
  const passwordFile = path.join(folder, 'password');
  await writeFile(passwordFile, 'secret\n');
  const common = { url: server.url, pki };
  await read(context, { ...common, user: 'operator', password: 'secret', again: false }).running.failure();
  await trustAll(pki);
  const certificate = {
    user_certificate: path.join(pki, 'own/certs/certificate.pem'),
    user_key: path.join(pki, 'own/private/private_key.pem'),
  };
  for (const keys of [certificate, { user: 'operator', password_file: passwordFile }]) {
    const reader = read(context, { ...common, ...keys });
    await comes(reader, 'temperature', 21.5);
    await reader.running.stop();
  }
  assert.equal(await server.sessions(), 0);
});

test('values that the server had to throw away are told, and a certificate that ends soon', async (context) => {
  const { server, folder } = await startServer(context);
  const pki = path.join(folder, 'client');
  const manager = new OPCUACertificateManager({ rootFolder: pki });
  await manager.initialize();
  const outputFile = path.join(pki, 'own/certs/certificate.pem');
  const common = { applicationUri: 'urn:test:client', dns: ['localhost'], subject: '/CN=test' };
  await manager.createSelfSignedCertificate({ ...common, startDate: new Date(), validity: 30, outputFile });
  await manager.dispose();
  const made = await readFile(outputFile, 'utf8');
  const keys = { url: server.url, pki, ...open, queue_size: 2, sampling_interval: '10ms', publishing_interval: '2s' };
  const reader = read(context, keys);
  await comes(reader, 'spindle_speed', 0);
  assert.match(reader.gateway.problems.get('certificate') ?? '', /certificate\.pem, expires in 29 days; docs\/drivers/);
  assert.equal(await readFile(outputFile, 'utf8'), made, 'it is not made anew');
  await waitUntil('values to be lost', async () => {
    for (let value = 1; value <= 20; value += 1) await server.set({ name: 'Speed', value });
    return reader.gateway.events.some(({ event_type }) => event_type === 'gap') || undefined;
  });
  const gap = reader.gateway.events.find(({ event_type }) => event_type === 'gap');
  assert.deepEqual(gap?.details, { reason: 'queue_overflow', node: SPEED, times: 1 });
  assert.match(gap?.text ?? '', /^the server's queue of 2 values for .*Speed ran over; set queue_size/);
});

test('a folder of certificates that is half written, or cannot be used, is mended or told', async (context) => {
  const { server, folder } = await startServer(context, { policies: ['None', 'Basic256Sha256'] });
  const pki = path.join(folder, 'client');
  const key = path.join(pki, 'own/private/private_key.pem');
  await mkdir(path.dirname(key), { recursive: true });
  await writeFile(key, '-----BEGIN PRIVATE KEY-----\nMII');
  const reader = read(context, { url: server.url, pki, ...open });
  await comes(reader, 'temperature', 21.5);
  await reader.running.stop();
  const own = path.join(pki, 'own/certs/certificate.pem');
  const certificate = await readFile(own, 'utf8');

  // What is refused cannot be kept.
  await rm(path.join(pki, 'rejected'), { recursive: true });
  await writeFile(path.join(pki, 'rejected'), '');
  const refused = read(context, { url: server.url, pki, policy: 'Basic256Sha256', again: false });
  const failure = await refused.running.failure();
  assert.deepEqual([failure.code, await readFile(own, 'utf8')], ['storage_failed', certificate]);
  assert.match(messageOf(failure), /the folder of certificates .*client cannot be used/);
  await rm(path.join(pki, 'rejected'));

  await writeFile(own, '');
  const empty = await read(context, { url: server.url, pki, ...open, again: false }).running.failure();
  assert.deepEqual([empty.code, /certificate\.pem cannot be read/.test(empty.message)], ['storage_failed', true]);
});

test('a server that says nothing for minutes is not taken for a thread that hangs', async (context) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  context.after(() => silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const folder = await folderFor(context);
  let looks = 0;
  // The thread has its own clock: here the looks come sooner, though not before it can have said that it is awake.
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => {
      if (ms < 20_000) return systemClock.sleep(ms, signal);
      looks += 1;
      return systemClock.sleep(6_000, signal);
    },
  };
  const keys = {
    url: `opc.tcp://127.0.0.1:${port}`,
    pki_folder: folder,
    timeout: '60s',
    anonymous: true,
    nodes: NODES,
  };
  const running = new Running(create(schema.parse(keys)), { gateway: new Gateway({ clock }) });
  context.after(() => running.stop());
  // One at which nothing is ever said would be ended at the fourth look, before it waits for the fifth.
  await waitUntil('four looks', () => looks > 3 || undefined);
  assert.deepEqual(running.errors, []);
});
