import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import { type SchemaNode, schemaNode } from '../../base/config.ts';
import { NAMED_FILE_BYTES_MAX } from '../../base/named-file.ts';
import { DRIVERS } from '../../drivers/registry.ts';
import { PROCESSORS } from '../../processors/registry.ts';
import { SINKS } from '../../sinks/registry.ts';
import { type EdgeConfig, edgeSchema, readEdgeConfig } from '../config.ts';
import { isSame } from './changes.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

/** Files in a folder of its own, and a configuration that names them. */
class Shop {
  readonly folder: string;
  readonly #yaml: object;

  constructor(context: TestContext, yaml: (path: (name: string) => string) => object) {
    this.folder = mkdtempSync(join(tmpdir(), 'millwright-digests-'));
    context.after(() => rmSync(this.folder, { recursive: true }));
    this.#yaml = yaml(this.path);
  }

  readonly path = (name: string): string => join(this.folder, name);

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  read(environment: Record<string, string> = {}): Promise<EdgeConfig> {
    return readEdgeConfig({ file: 'edge.yaml', text: stringify(this.#yaml), environment });
  }
}

const broker = { type: 'mqtt', url: 'mqtts://broker', topics: [{ filter: 'a', map: { t: 'temperature' } }] };

test('a slice has changed when the content of a file that it names has, and no other slice', async (context) => {
  const shop = new Shop(context, (path) => ({
    agent: { machine_id: 'A' },
    sensors: [
      { name: 'mill', ...broker, tls_ca_file: path('ca.pem') },
      { name: 'lathe', ...broker, tls_ca_file: path('ca.pem'), tls_key_file: path('own.key') },
      { name: 'saw', ...broker },
    ],
    sinks: [
      { type: 'influx', url: 'https://influx', org: 'o', bucket: 'b', tls_ca_file: path('influx.pem') },
      { type: 'hub', url: 'https://hub' },
    ],
    nats: { url: 'nats://broker', creds_file: path('edge.creds') },
  }));
  for (const name of ['ca.pem', 'influx.pem', 'hub.pem']) shop.write(name, PEM);
  shop.write('own.key', 'secret-1');
  shop.write('edge.creds', '-----BEGIN NATS USER JWT-----\neyJ\n------END NATS USER JWT------\n');
  // As a sink's keys may be given by the environment.
  const environment = { SINKS_HUB_TLS_CA_FILE: shop.path('hub.pem') };
  const changedBy = async (change: () => void): Promise<string[]> => {
    const before = (await shop.read(environment)).settings;
    change();
    const after = (await shop.read(environment)).settings;
    const slices = [...before.sensors, ...before.sinks];
    const isAsBefore = [...after.sensors, ...after.sinks].map((slice, index) => isSame(slice, slices[index]));
    return slices.filter((_, index) => isAsBefore[index] === false).map(({ name }) => name);
  };
  assert.deepEqual((await shop.read(environment)).unusableFiles, []);
  assert.deepEqual(await changedBy(() => shop.write('ca.pem', PEM)), [], 'written again as it was');
  assert.deepEqual(await changedBy(() => shop.write('ca.pem', PEM.replace('MIIB', 'MIIC'))), ['mill', 'lathe']);
  assert.deepEqual(await changedBy(() => shop.write('own.key', 'secret-2')), ['lathe']);
  assert.deepEqual(await changedBy(() => shop.write('influx.pem', PEM + PEM)), ['influx']);
  assert.deepEqual(await changedBy(() => shop.write('hub.pem', PEM + PEM)), ['hub']);
  assert.deepEqual(await changedBy(() => shop.write('edge.creds', 'other')), ['nats']);
  const { settings } = await shop.read(environment);
  const elsewhere = { SINKS_HUB_TLS_CA_FILE: shop.path('none.pem'), NATS_CREDS_FILE: shop.path('ca.pem/creds') };
  assert.deepEqual((await shop.read(elsewhere)).unusableFiles, [
    `environment variable SINKS_HUB_TLS_CA_FILE (sinks[1].tls_ca_file): cannot be read: ENOENT: no such file or directory, open '${elsewhere.SINKS_HUB_TLS_CA_FILE}'`,
    `environment variable NATS_CREDS_FILE (nats.creds_file): cannot be read: ENOTDIR: not a directory, open '${elsewhere.NATS_CREDS_FILE}'`,
  ]);
  assert.equal('files' in settings.sensors[2]!, false);
  assert.doesNotMatch(JSON.stringify(settings), /secret-2|MIIC/);
  // Another process has another key, so that nobody can try out passwords on what stands in the settings.
  const program = `
    import { keyedDigest } from ${JSON.stringify(new URL('../../base/keyed-digest.ts', import.meta.url))};
    process.stdout.write(keyedDigest('secret-2').toString('base64url'));`;
  const another = execFileSync(process.execPath, ['--input-type=module', '-e', program]).toString();
  assert.notEqual(settings.sensors[1]?.files?.[shop.path('own.key')], another);
});

test('what cannot be used is told with file, line and key, and leaves the rest as it is', async (context) => {
  const shop = new Shop(context, (path) => ({
    agent: { machine_id: 'A' },
    sensors: ['gone', 'empty', 'cut-off', 'folder', 'huge', 'pipe', 'good'].map((name) => ({
      name,
      ...broker,
      tls_cert_file: path(name),
    })),
  }));
  shop.write('empty', '');
  shop.write('cut-off', `${PEM}${PEM.slice(0, -20)}`);
  mkdirSync(shop.path('folder'));
  shop.write('huge', '');
  truncateSync(shop.path('huge'), NAMED_FILE_BYTES_MAX + 1);
  execFileSync('mkfifo', [shop.path('pipe')]);
  shop.write('good', PEM);
  const { settings, unusableFiles } = await shop.read();
  assert.deepEqual(unusableFiles, [
    `edge.yaml:11: sensors[0].tls_cert_file: cannot be read: ENOENT: no such file or directory, open '${shop.path('gone')}'`,
    `edge.yaml:16: sensors[1].tls_cert_file: ${shop.path('empty')} is empty`,
    `edge.yaml:21: sensors[2].tls_cert_file: ${shop.path('cut-off')} is cut off: a part of it has no end`,
    `edge.yaml:26: sensors[3].tls_cert_file: cannot be read: ${shop.path('folder')} is no file`,
    `edge.yaml:31: sensors[4].tls_cert_file: cannot be read: ${shop.path('huge')} is larger than ${NAMED_FILE_BYTES_MAX} bytes`,
    `edge.yaml:36: sensors[5].tls_cert_file: cannot be read: ${shop.path('pipe')} is no file`,
  ]);
  assert.equal(settings.sensors.length, 7);
  assert.deepEqual(settings.sensors[0]?.files, { [shop.path('gone')]: null });
  const before = settings.sensors[0];
  shop.write('gone', PEM);
  assert.ok(!isSame((await shop.read()).settings.sensors[0], before), 'what has come since has changed');
});

test('an OPC UA server is the same with the same passwords, and reads their files itself', async (context) => {
  const shop = new Shop(context, (path) => ({
    agent: { machine_id: 'A' },
    sinks: [
      {
        type: 'opcua_server',
        pki_folder: path('pki'),
        users: [
          { name: 'scada', password: 'secret' },
          { name: 'mes', password: 'secret' },
          { name: 'erp', password_file: path('erp') },
        ],
      },
    ],
  }));
  shop.write('erp', 'one');
  const before = (await shop.read()).settings.sinks;
  shop.write('erp', 'another');
  const after = (await shop.read()).settings.sinks;
  assert.deepEqual(after, before);
  const hashes = [...JSON.stringify(after).matchAll(/scrypt:[\w:-]+/g)].map(([hash]) => hash);
  assert.equal(new Set(hashes).size, 2, 'one password of two users gives two hashes');
});

/** Which need none, or whose files are the program's own to write. */
const NO_NAMED_FILES = [
  'edge buffering.warm_buffer.path',
  'edge buffering.cold_buffer.path',
  'opcua pki_folder',
  'opcua_server pki_folder',
  'opcua_server users[].password_file',
];

test('each key of a configuration that takes a path is looked at, or is known to need it not', async () => {
  const paths: string[] = [];
  const look = (of: string, node: SchemaNode | undefined, key: string): void => {
    const isPath = node?.allowed === 'a path' || /_(file|certificate|key)$/.test(key);
    if (isPath && node?.isFile !== true) paths.push(`${of} ${key}`);
    for (const [name, inner] of Object.entries(node?.properties ?? {})) {
      look(of, inner, key === '' ? name : `${key}.${name}`);
    }
    if (node?.items !== undefined) look(of, node.items, `${key}[]`);
  };
  look('edge', schemaNode(edgeSchema), '');
  for (const registry of [DRIVERS, SINKS, PROCESSORS]) {
    for (const [type, entry] of Object.entries(registry)) look(type, schemaNode((await entry.schema()).schema), '');
  }
  assert.deepEqual(paths.toSorted(), NO_NAMED_FILES.toSorted());
});
