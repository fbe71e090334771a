/** A running edge, and files that its configuration names: what is renewed is used, and nothing else notices. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer, type Server } from 'node:tls';
import { stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { rejectedCertificates, trust } from '../../src/base/opcua-trust.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { ConfigurationStatus, EdgeStatus, SourceStatus } from '../../src/model/status.ts';
import { startModbusMachines } from '../../src/sim/modbus.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { HubStandIn } from '../support/hub-stand-in.ts';
import { ModbusProxy } from '../support/modbus-proxy.ts';
import { OpcuaTestServer } from '../support/opcua-server.ts';
import { Command, freePort, waitUntil } from '../support/system.ts';

const UNITS = [1, 2, 3] as const;

/** What stands before a hub and speaks TLS. */
class TlsFront {
  readonly #hub: HubStandIn;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(hub: HubStandIn, certificates: Certificates) {
    this.#hub = hub;
    this.#server = createServer(contentOf(certificates), (edge) => this.#join(edge));
  }

  /** @returns the port */
  async open(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Whoever comes from now on is shown these. */
  renew(certificates: Certificates): void {
    this.#server.setSecureContext(contentOf(certificates));
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #join(edge: Socket): void {
    const hub = connect(this.#hub.port, '127.0.0.1');
    edge.pipe(hub).pipe(edge);
    for (const socket of [edge, hub]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        edge.destroy();
        hub.destroy();
        this.#sockets.delete(socket);
      });
    }
  }
}

function contentOf({ certFile, keyFile }: Certificates): { readonly cert: Buffer; readonly key: Buffer } {
  return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
}

interface Shop {
  readonly edge: Command;
  readonly file: string;
  /** The file of the authority that the sink `secure` trusts. */
  readonly caFile: string;
  readonly passwordFile: string;
  /** Of the sensor `opcua`. */
  readonly pki: string;
  readonly old: Certificates;
  readonly renewed: Certificates;
  readonly front: TlsFront;
  /** Behind the front, and the other one. */
  readonly secure: HubStandIn;
  readonly plain: HubStandIn;
  readonly proxies: readonly ModbusProxy[];
  readonly status: () => Promise<EdgeStatus>;
  readonly configuration: () => Promise<ConfigurationStatus>;
}

async function openShop(context: TestContext): Promise<Shop> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-files-'));
  const certificates = async (name: string): Promise<Certificates> => {
    await mkdir(path.join(folder, name));
    return makeCertificates(path.join(folder, name));
  };
  const [old, renewed] = [await certificates('old'), await certificates('renewed')];
  const [secure, plain] = [new HubStandIn(), new HubStandIn()];
  await Promise.all([secure.open(), plain.open()]);
  const front = new TlsFront(secure, old);
  const outside = { host: '127.0.0.1', port: 0, machines: UNITS.length, clock: systemClock, log: silentLogger };
  const machines = await startModbusMachines(outside);
  const opcua = new OpcuaTestServer({
    port: await freePort(),
    pki: path.join(folder, 'server'),
    policies: ['Basic256Sha256'],
    anonymous: false,
  });
  await opcua.start();
  const proxies = UNITS.map(() => new ModbusProxy(machines.port));
  const ports = await Promise.all(proxies.map((proxy) => proxy.open()));
  const [caFile, passwordFile, pki] = [`${folder}/ca.pem`, `${folder}/password`, `${folder}/pki`];
  await copyFile(old.caFile, caFile);
  await writeFile(passwordFile, 'of two years ago\n');
  const file = path.join(folder, 'edge.yaml');
  const modbus = UNITS.map((unit, index) => {
    const registers = [{ extra: 'parts', address: 4, type: 'uint32' }];
    return { name: `unit-${unit}`, type: 'modbus', host: '127.0.0.1', port: ports[index], unit_id: unit, registers };
  });
  const nodes = [{ node: 'Objects/Machines/CNC-001/Temperature', signal: 'temperature' }];
  const login = { user: 'operator', password_file: passwordFile, pki_folder: pki };
  const yaml = {
    agent: { machine_id: 'GW' },
    sensors: [...modbus, { name: 'opcua', type: 'opcua', url: opcua.url, ...login, nodes }],
    sinks: [
      { name: 'plain', type: 'hub', url: `http://127.0.0.1:${plain.port}` },
      { name: 'secure', type: 'hub', url: `https://127.0.0.1:${await front.open()}`, tls_ca_file: caFile },
    ],
    buffering: { folder: path.join(folder, 'log') },
    status: { port: 0 },
  };
  await writeFile(file, stringify(yaml));
  const edge = new Command(['edge', '--config', file]);
  context.after(async () => {
    await edge.end('SIGKILL');
    for (const one of [front, ...proxies]) one.close();
    await Promise.all([secure.close(), plain.close(), machines.close(), opcua.kill()]);
    await rm(folder, { recursive: true, force: true });
  });
  const url = await waitUntil('the edge to run', () => /http:\/\/[\d.:]+\/status/.exec(edge.said)?.[0]);
  const status = async (): Promise<EdgeStatus> => JSON.parse(await (await fetch(url)).text());
  const configuration = async (): Promise<ConfigurationStatus> => {
    const found = (await status()).configuration;
    assert.ok(found !== undefined);
    return found;
  };
  return { edge, file, caFile, passwordFile, pki, old, renewed, front, secure, plain, proxies, status, configuration };
}

async function moreAt(hub: HubStandIn, what: string): Promise<void> {
  const count = hub.sequences.length;
  await waitUntil(what, () => hub.sequences.length > count + 5 || undefined);
}

test('a renewed authority and a new password are used, and all others keep their connections', async (context) => {
  const shop = await openShop(context);
  const { edge, file, caFile, passwordFile, pki, old, renewed, front, secure, plain, proxies, status, configuration } =
    shop;
  await moreAt(secure, 'batches over TLS');
  const opcua = async (): Promise<SourceStatus | undefined> =>
    (await status()).sources.find(({ name }) => name === 'opcua');
  const refuses = async (why: RegExp): Promise<true | undefined> =>
    why.test((await opcua())?.last_error ?? '') || undefined;
  await waitUntil('a server that is not trusted', () => refuses(/not trusted/));
  const before = await status();
  const connections = (): number[] => proxies.map((proxy) => proxy.connections);
  const atFirst = connections();

  // The hub has another certificate, of an authority that is not known yet.
  front.renew(renewed);
  const isLost = async (): Promise<true | undefined> =>
    (await status()).sinks.some(({ name, state }) => name === 'secure' && state === 'failing') || undefined;
  await waitUntil('the sink not to believe it', isLost);
  await copyFile(renewed.caFile, `${caFile}.new`);
  await rename(`${caFile}.new`, caFile);
  await moreAt(secure, 'batches under the renewed certificate');

  // And back, by a signal, and with it the password of another server. What a person trusts is no change of the configuration.
  for (const certificate of await rejectedCertificates(pki)) await trust(pki, certificate);
  front.renew(old);
  await copyFile(old.caFile, caFile);
  await writeFile(passwordFile, 'of last year\n');
  process.kill(edge.pid, 'SIGHUP');
  await waitUntil('the server not to let in', () => refuses(/does not let in user operator/));
  await moreAt(secure, 'batches under the old certificate');
  await writeFile(passwordFile, 'secret\n');
  process.kill(edge.pid, 'SIGHUP');
  await waitUntil('the server to let in', async () => (await opcua())?.state === 'ok' || undefined);

  // Without the file nothing is changed, until it is there again; then neither, as it is what it was.
  const { loaded_at } = await configuration();
  await rename(caFile, `${caFile}.aside`);
  process.kill(edge.pid, 'SIGHUP');
  const refused = await waitUntil('the refusal', async () => (await configuration()).refused ?? undefined);
  const [error = '', ...others] = refused.errors;
  assert.deepEqual(others, []);
  assert.ok(error.startsWith(`${file}:`), error);
  assert.match(error, /:\d+: sinks\[1\]\.tls_ca_file: cannot be read: ENOENT/);
  await moreAt(secure, 'the old one to go on');
  await rename(`${caFile}.aside`, caFile);
  await waitUntil('the file again', async () => (await configuration()).refused === null || undefined);
  assert.notEqual((await configuration()).loaded_at, loaded_at);
  await moreAt(secure, 'the sink as it was');
  const startedOf = (kind: 'sources' | 'sinks'): string[] =>
    [...edge.said.matchAll(new RegExp(`"${kind}_started":(\\[[^\\]]*\\])`, 'g'))].flatMap(([, names = '']) =>
      JSON.parse(names),
    );
  assert.deepEqual(startedOf('sources'), ['opcua', 'opcua']);
  assert.deepEqual(startedOf('sinks'), ['secure', 'secure']);

  const after = await status();
  assert.deepEqual(connections(), atFirst, 'no new connection of any other');
  for (const unit of UNITS) {
    const [was, is] = [before, after].map(({ sources }) => sources.find(({ name }) => name === `unit-${unit}`));
    assert.deepEqual([is?.state, is?.reconnects], ['ok', 0]);
    assert.ok(is!.readings > was!.readings, 'it counts on');
  }
  assert.equal(after.log.epoch, before.log.epoch);
  assert.equal(await edge.end('SIGTERM'), 0, edge.said);
  assert.equal(edge.said.match(/the configuration is refused/g)?.length, 1, 'told once');
  assert.doesNotMatch(edge.said, /of last year|secret/);
  for (const hub of [plain, secure]) {
    const sequences = new Set(hub.sequences);
    assert.deepEqual(
      [...sequences].toSorted((a, b) => a - b),
      Array.from({ length: sequences.size }, (_, index) => index + 1),
    );
    assert.deepEqual(hub.gaps, []);
  }
});
