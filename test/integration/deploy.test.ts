/**
 * What deploy/ holds for users, as far as it can be checked without a Docker engine: the Compose files are read here as Compose
 * reads them, and what they would run in containers is run as processes, with their configurations as they stand.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { startTestServer } from '../support/hub-database.ts';
import { natsServerProgram, startNats } from '../support/nats-server.ts';
import { CLI, Command, freePort, waitUntil } from '../support/system.ts';

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));
const SINGLE = ['compose.yaml'];
const CLUSTER = ['compose.yaml', 'compose.cluster.yaml'];
const GRAFANA = ['compose.yaml', 'compose.grafana.yaml'];
const LEAF = ['compose.leaf.yaml'];
const VALUES: Readonly<Record<string, string>> = {
  DATABASE_PASSWORD: 'database-secret',
  NATS_HUB_PASSWORD: 'hub-secret',
  NATS_EDGE_PASSWORD: 'edge-secret',
  NATS_LEAF_PASSWORD: 'leaf-secret',
  NATS_CLUSTER_PASSWORD: 'route-secret',
  GRAFANA_PASSWORD: 'grafana-secret',
  GRAFANA_DATABASE_PASSWORD: 'reader-secret',
  INFLUX_PASSWORD: 'influx-secret',
  INFLUX_TOKEN: 'influx-token',
  NATS_DOMAIN: 'site-1',
  NATS_CENTRE: '["nats-leaf://leaf:leaf-secret@127.0.0.1:1"]',
};

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes: readonly string[];
  readonly healthcheck: { readonly test: readonly string[] };
  readonly restart: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** The files laid over each other, with their variables filled in. */
async function composeOf(files: readonly string[]): Promise<Compose> {
  const services: Record<string, Service> = {};
  const volumes: Record<string, unknown> = {};
  for (const file of files) {
    const text = await readFile(path.join(DEPLOY, file), 'utf8');
    const compose = filled(parse(text, { merge: true })) as Compose;
    for (const [name, service] of Object.entries(compose.services)) {
      const environment = { ...services[name]?.environment, ...service.environment };
      services[name] = { ...services[name], ...service, environment };
    }
    Object.assign(volumes, compose.volumes);
  }
  return { services, volumes };
}

/** `${NAME:?what to do}` and `${NAME:-default}` in every text. */
function filled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(filled);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner)]));
  if (typeof value !== 'string') return value;
  return value.replaceAll(/\$\{(\w+):([?-])([^}]*)\}/g, (_, name: string, kind: string, rest: string) =>
    kind === '-' ? rest : (VALUES[name] ?? assert.fail(`nothing is given for ${name}`)),
  );
}

for (const files of [SINGLE, CLUSTER, GRAFANA, LEAF]) {
  test(`${files.join(' and ')}: versions are pinned, what is mounted is there, and all is watched`, async () => {
    const { services, volumes } = await composeOf(files);
    for (const [name, service] of Object.entries(services)) {
      if (service.build === undefined) assert.match(service.image, /^[\w/]+:\d+\.\d+\.\d+(?:-\w+)?$/, name);
      else assert.ok(existsSync(path.join(DEPLOY, service.build.context, service.build.dockerfile)), name);
      assert.ok(service.healthcheck.test.length > 1, name);
      assert.equal(service.restart, 'unless-stopped', name);
      for (const volume of service.volumes) {
        const [source = ''] = volume.split(':');
        assert.ok(
          source.startsWith('.') ? existsSync(path.join(DEPLOY, source)) : source in volumes,
          `${name}: ${source}`,
        );
      }
      // By default nothing is reached from other machines.
      for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    }
  });

  test(`${files.join(' and ')}: no password stands in a file, and .env.example names each variable`, async () => {
    const example = await readFile(path.join(DEPLOY, '.env.example'), 'utf8');
    const named = new Set([...example.matchAll(/^#?(\w+)=/gm)].map(([, name]) => name));
    for (const [line] of example.matchAll(/^\w*(?:PASSWORD|TOKEN)=.*$/gm)) assert.match(line, /=$/);
    for (const file of files) {
      const text = await readFile(path.join(DEPLOY, file), 'utf8');
      for (const [, name] of text.matchAll(/\$\{(\w+)/g)) assert.ok(named.has(name), `${file}: ${name}`);
      for (const [line] of text.matchAll(/\w*(?:PASSWORD|TOKEN): .*$/gm))
        assert.match(line, /: \$\{\w+(?:PASSWORD|TOKEN):\?/);
    }
  });

  test(`${files.join(' and ')}: each NATS server takes its configuration with that environment alone`, async () => {
    const { services } = await composeOf(files);
    const program = await natsServerProgram();
    const servers = Object.values(services).filter(({ image }) => image.startsWith('nats:'));
    assert.equal(servers.length, files === CLUSTER ? 3 : 1);
    for (const { command, environment } of servers) {
      const config = path.join(DEPLOY, 'nats', path.basename(command.at(-1) ?? ''));
      const { stderr } = await promisify(execFile)(program, ['-t', '--config', config], { env: environment });
      assert.match(stderr, /is valid/);
    }
  });

  test(`${files.join(' and ')}: hub and edge read their configurations`, async () => {
    const { services } = await composeOf(files);
    for (const { command, environment, build } of Object.values(services)) {
      if (build === undefined) continue;
      const config = path.join(DEPLOY, path.basename(command.at(-1) ?? ''));
      const env = { ...process.env, ...environment };
      const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'check', config], { env });
      assert.match(stdout, new RegExp(`valid configuration of an? ${command[0]}`));
    }
  });

  if (hasCompose()) {
    test(`${files.join(' and ')}: Compose itself reads them`, async () => {
      const args = [
        'compose',
        ...files.flatMap((file) => ['--file', path.join(DEPLOY, file)]),
        '--profile',
        'edge',
        'config',
      ];
      await promisify(execFile)('docker', args, { env: { ...process.env, ...VALUES } });
    });
  }
}

/** The client needs no engine for it; few machines that run the tests have it. */
function hasCompose(): boolean {
  return spawnSync('docker', ['compose', 'version']).status === 0;
}

test('the image runs as a user without rights', async () => {
  const dockerfile = await readFile(path.join(DEPLOY, 'Dockerfile'), 'utf8');
  for (const [, image = ''] of dockerfile.matchAll(/^FROM (\S+)/gm)) assert.match(image, /^node:\d+\.\d+\.\d+-[\w-]+$/);
  assert.match(dockerfile.slice(dockerfile.lastIndexOf('\nFROM')), /^USER node$/m);
});

test('NATS, hub and edge of compose.yaml carry readings to the database, and their health checks say so', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-deploy-'));
  const nats = await startNats();
  const database = await (await startTestServer()).emptyDatabase();
  const [hubPort, edgePort] = await Promise.all([freePort(), freePort()]);
  const hub = new Command(['hub', '--config', path.join(DEPLOY, 'hub.yaml')], {
    DATABASE_HOST: database.host,
    DATABASE_PORT: String(database.port),
    DATABASE_DBNAME: database.dbname,
    DATABASE_USER: database.user,
    DATABASE_PASSWORD: database.password,
    NATS_URL: nats.address,
    NATS_PASSWORD: 'hub-secret',
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: String(hubPort),
  });
  const edge = new Command(['edge', '--config', path.join(DEPLOY, 'edge.yaml')], {
    NATS_URL: nats.address,
    NATS_PASSWORD: 'edge-secret',
    BUFFERING_FOLDER: folder,
    STATUS_PORT: String(edgePort),
  });
  after(async () => {
    await Promise.all([hub.end('SIGKILL'), edge.end('SIGKILL'), nats.stop()]);
    await rm(folder, { recursive: true, force: true });
  });
  await waitUntil('readings of the edge at the hub', async () => {
    if (!hub.running || !edge.running) throw new Error(hub.said + edge.said);
    const answer = await fetch(`http://127.0.0.1:${hubPort}/api/v1/machines/CNC-001/data`);
    return answer.ok && ((await answer.json()) as unknown[]).length > 0 ? true : undefined;
  });

  const { services } = await composeOf(SINGLE);
  const { hub: hubService, edge: edgeService, nats: natsService } = services;
  assert.equal(await healthOf(hubService, { from: '8081', to: hubPort }), 0);
  assert.equal(await healthOf(edgeService, { from: '8082', to: edgePort }), 0);
  assert.equal(await healthOf(hubService, { from: '8081', to: await freePort() }), 1);
  const asked = natsService?.healthcheck.test.at(-1) ?? '';
  const monitoring = new URL(asked.replace('8222', new URL(nats.monitoringUrl).port));
  assert.equal((await fetch(monitoring)).status, 200);
});

/** The exit code of the service's health check, with another port than that in the container. */
async function healthOf(service: Service | undefined, { from, to }: { from: string; to: number }): Promise<number> {
  const [kind, , ...args] = service?.healthcheck.test ?? [];
  assert.equal(kind, 'CMD');
  const changed = args.map((argument) => argument.replace(`:${from}/`, `:${to}/`));
  assert.notDeepEqual(changed, args);
  const { status } = await promisify(execFile)(process.execPath, changed).then(
    () => ({ status: 0 }),
    (error: { code: number }) => ({ status: error.code }),
  );
  return status;
}
