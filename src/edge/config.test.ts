import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEdgeConfig } from './config.ts';
import { EDGE_NODE_FLAGS, edgeNodeFlags } from './flags.ts';

/** Of a NATS connection for which only servers are configured. */
const CONNECTION = {
  user: null,
  password: null,
  token: null,
  nkeySeedFile: null,
  credsFile: null,
  tlsCaFile: null,
  tlsCertFile: null,
  tlsKeyFile: null,
};

function read(sink: string): ReturnType<typeof readEdgeConfig> {
  const text = `agent: { machine_id: CNC-1 }\nsinks:\n  - { type: hub, url: "http://hub:8081"${sink} }\n`;
  return readEdgeConfig({ file: 'edge.yaml', text, environment: {} });
}

test('a sink begins at the oldest batch and drains as fast as it goes, unless it is told otherwise', async () => {
  const cases: [string, unknown, number | null][] = [
    ['', 'oldest', null],
    [', from: now', 'now', null],
    [', from: 1200, max_rate: 500', 1200, 500],
  ];
  for (const [keys, from, maxRate] of cases) {
    const { settings } = await read(keys);
    assert.deepEqual([settings.sinks[0]?.from, settings.sinks[0]?.maxRate], [from, maxRate]);
  }
  const wrong: [string, RegExp][] = [
    [', from: yesterday', /edge\.yaml:3: sinks\[0\]\.from: found "yesterday"; allowed: oldest, now, or a sequence/],
    [', from: 0', /from: found 0/],
    [', max_rate: 0', /max_rate: found 0; allowed: a whole number from 1/],
  ];
  for (const [keys, message] of wrong) await assert.rejects(read(keys), { code: 'config_invalid', message });
});

test('how long a sensor may be quiet is its own, and left to its kind unless it is told', async () => {
  const settingsFor = async (keys: string): Promise<number | undefined> => {
    const text = `agent: { machine_id: A }\nsensors:\n  - { name: s, type: simulator${keys} }\n`;
    const { settings } = await readEdgeConfig({ file: 'edge.yaml', text, environment: {} });
    return settings.sensors[0]?.silentAfterMs;
  };
  assert.equal(await settingsFor(''), undefined);
  assert.equal(await settingsFor(', silent_after: 8h'), 28_800_000);
  const tooShort = { code: 'config_invalid', message: /edge\.yaml:3: sensors\[0\]\.silent_after: found "10ms"/ };
  await assert.rejects(settingsFor(', silent_after: 10ms'), tooShort);
});

test('an edge that serves has the compilers, and the memory that they take; others have neither', async () => {
  const { settings: lean } = await read('');
  assert.equal(lean.control.memoryBytesMax, 256 * 2 ** 20);
  assert.deepEqual(edgeNodeFlags(lean), EDGE_NODE_FLAGS);
  assert.ok(EDGE_NODE_FLAGS.includes('--no-opt'));
  const { settings: serving } = await read(' }\n  - { type: opcua_server');
  assert.equal(serving.control.memoryBytesMax, 512 * 2 ** 20);
  assert.ok(!edgeNodeFlags(serving).some((flag) => ['--no-opt', '--no-maglev'].includes(flag)));
  assert.ok(edgeNodeFlags(serving).includes('--expose-gc'));
});

const NATS = { ...CONNECTION, servers: ['nats://one:4222', 'tls://two'] };

test('a sink of type nats has the stream, the subjects and the waits that a hub expects, unless it is told otherwise', async () => {
  const read = (keys: string): ReturnType<typeof readEdgeConfig> => {
    const text = `agent: { machine_id: A }\nsinks:\n  - { type: nats, url: "one:4222, tls://two"${keys} }\n`;
    return readEdgeConfig({ file: 'edge.yaml', text, environment: {} });
  };
  const defaults = {
    connection: NATS,
    stream: 'CNC_DATA',
    subjectPrefix: 'CNC_DATA.edge',
    ackTimeoutMs: 30_000,
    compression: 'zstd',
    confirm: 'stored',
    reconnectFirstMs: 250,
  };
  const sink = { name: 'nats', type: 'nats', from: 'oldest', maxRate: null };
  assert.deepEqual((await read('')).settings.sinks, [{ ...sink, options: defaults }]);
  const told = await read(
    ', user: u, password: p, stream: S7, subject_prefix: S7.a, ack_timeout: 5s, compression: none, confirm: published, ' +
      'reconnect_delay: 2s',
  );
  assert.deepEqual(told.settings.sinks[0]?.options, {
    connection: { ...NATS, user: 'u', password: 'p' },
    stream: 'S7',
    subjectPrefix: 'S7.a',
    ackTimeoutMs: 5_000,
    compression: 'none',
    confirm: 'published',
    reconnectFirstMs: 2_000,
  });
  const wrong: [string, RegExp][] = [
    [', stream: a.b', /edge\.yaml:3: sinks\[0\]\.stream: found "a\.b"; allowed: the name of a stream/],
    [', subject_prefix: a.*', /subject_prefix: found "a\.\*"; allowed: tokens divided by dots/],
    [', subject_prefix: a..b', /subject_prefix: found "a\.\.b"/],
    [', subject_prefix: $JS.a', /subject_prefix: found "\$JS\.a"/],
    [', compression: gzip', /compression: found "gzip"; allowed: zstd, none/],
    [', confirm: sent', /confirm: found "sent"; allowed: stored, published/],
    [', ack_timeout: 1ms', /ack_timeout: found "1ms"; allowed: a duration/],
    [', retries: 3', /sinks\[0\]\.retries: there is no such key; allowed: url, user,/],
  ];
  for (const [keys, message] of wrong) await assert.rejects(read(keys), { code: 'config_invalid', message });
});

test('what is no URL of a NATS server is told without the password in it', async () => {
  for (const url of ['http://u:secret@a:4222', 'nats://u:secret@a:4222,', 'nats://u:secret@a:4222,nats://']) {
    const text = `agent: { machine_id: A }\nsinks:\n  - type: nats\n    url: ${url}\n`;
    await assert.rejects(readEdgeConfig({ file: 'edge.yaml', text, environment: {} }), ({ message }: Error) => {
      assert.match(message, /^edge\.yaml:4: sinks\[0\]\.url: found ".*\/\/…@a:4222.*"; allowed: URLs such as nats:/);
      assert.doesNotMatch(message, /secret/);
      return true;
    });
  }
});

test('the own keys of a sink are taken from the environment too, by its name', async () => {
  const text =
    'agent: { machine_id: A }\nsinks:\n  - { type: influx, url: "http://a" }\n  - { type: mes, name: m-e s, url: "http://b" }\n';
  const read = (environment: Record<string, string>): ReturnType<typeof readEdgeConfig> =>
    readEdgeConfig({ file: 'edge.yaml', text, environment });
  const { settings } = await read({
    SINKS_INFLUX_TOKEN: '0123',
    SINKS_M_E_S_URL: 'http://c',
    SINKS_MES_URL: 'http://d',
  });
  const [influx, mes] = settings.sinks.map(({ options }) => options as { url: string; token: string | null });
  assert.deepEqual([influx?.url, influx?.token, mes?.url], ['http://a', '0123', 'http://c']);
  await assert.rejects(read({ SINKS_INFLUX_COMPRESSION: 'zip' }), {
    message: 'environment variable SINKS_INFLUX_COMPRESSION (sinks[0].compression): found "zip"; allowed: gzip, none',
  });
});

test('the section nats of older files is a sink named nats', async () => {
  const read = (sinks: string, environment = {}): ReturnType<typeof readEdgeConfig> => {
    const nats = 'nats:\n  url: one:4222,tls://two\n  max_reconnects: 10\n  reconnect_delay: 1s\n';
    return readEdgeConfig({ file: 'edge.yaml', text: `agent: { machine_id: A }\n${nats}${sinks}`, environment });
  };
  const { settings, warnings } = await read('', { NATS_PASSWORD: 'p', NATS_USER: 'u' });
  assert.deepEqual(settings.sinks, [
    {
      name: 'nats',
      type: 'nats',
      from: 'oldest',
      maxRate: null,
      options: {
        connection: { ...NATS, user: 'u', password: 'p' },
        stream: 'CNC_DATA',
        subjectPrefix: 'CNC_DATA.edge',
        ackTimeoutMs: 30_000,
        compression: 'zstd',
        confirm: 'stored',
        reconnectFirstMs: 1_000,
      },
    },
  ]);
  assert.deepEqual(warnings, ['nats.max_reconnects: is not obeyed; an edge tries again for ever, with growing waits']);
  const others = await read(
    'sinks:\n  - { type: hub, url: "http://hub:8081" }\n  - { type: nats, name: b, url: "nats://b" }\n',
  );
  assert.deepEqual(
    others.settings.sinks.map(({ name }) => name),
    ['hub', 'b', 'nats'],
  );
  for (const twin of ['{ type: nats, url: "nats://b" }', '{ type: hub, name: nats, url: "http://hub" }']) {
    await assert.rejects(read(`sinks:\n  - ${twin}\n`), {
      code: 'config_invalid',
      message: /^edge\.yaml:\d: nats: means a sink named "nats", and so does sinks\[0\]; allowed: one of the two, or/,
    });
  }
});

test('a sensor of the air is no sensor of a part', async () => {
  const text = (chip: string) => `
agent: { machine_id: CMM-1 }
sensors:
  - { name: air, type: i2c, chip: ${chip}, names: { temperature_c: part_c } }
  - { name: scale, type: i2c, chip: TMP117, names: { temperature_c: scale_c } }
processors:
  - type: thermal
    part: { material: steel_1020 }
    scale: { material: granite }
    part_temperature: { machine_id: CMM-1, signal: part_c, uncertainty: 0.1 }
    scale_temperature: { machine_id: CMM-1, signal: scale_c, uncertainty: 0.1 }
    cmm: { constant: 1.7 }
`;
  const warningsFor = async (chip: string): Promise<string[]> => {
    const { warnings } = await readEdgeConfig({ file: 'edge.yaml', text: text(chip), environment: {} });
    return warnings.filter((one) => one.startsWith('processors'));
  };
  const fit = 'which measures the air; a TMP117 or MCP9808 is fit for it';
  assert.deepEqual(await warningsFor('BME280'), [`processors[0].part_temperature: is that of a BME280, ${fit}`]);
  assert.deepEqual(await warningsFor('MCP9808'), []);
});

test('what only one sensor can read is refused for a second, with both names', async () => {
  const problems = async (...sensors: readonly string[]): Promise<string> => {
    const text = ['agent: { machine_id: CNC-1 }', 'sensors:', ...sensors.map((keys) => `  - { ${keys} }`)].join('\n');
    return readEdgeConfig({ file: 'edge.yaml', text, environment: {} }).then(
      () => '',
      (error: Error) => error.message,
    );
  };
  const part = 'name: part, type: i2c, chip: TMP117';
  const pump = 'name: pump, type: i2c, chip: INA219, shunt_ohms: 0.1, max_current: 2, address: 0x48';
  assert.equal(
    await problems(part, pump),
    'edge.yaml:4: sensors[1].address: "pump" would read address 0x48 of I2C bus 1, which "part" reads; allowed: one sensor',
  );
  // By default both have the same, and a bus of its own may be a channel of a multiplexer.
  assert.match(await problems(part, `${part}, name: room`.replace('name: part, ', '')), /"room" .* which "part" reads/);
  for (const own of ['address: 0x49', 'bus: 2', 'enabled: false']) {
    assert.equal(await problems(part, `name: other, type: i2c, chip: TMP117, ${own}`), '', own);
  }
  const door = 'name: door, type: gpio, lines: [{ line: 17, input: door_open }]';
  const lamp = (keys: string): string =>
    `name: lamp, type: gpio, ${keys}, lines: [{ line: 4, input: a }, { line: 17, input: b }]`;
  for (const chip of ['gpiochip0', '/dev/gpiochip0', '0']) {
    assert.equal(
      await problems(door, lamp(`chip: ${chip}`)),
      'edge.yaml:4: sensors[1].lines[1].line: "lamp" would read line 17 of gpiochip0, which "door" reads; allowed: one sensor',
    );
  }
  assert.match(await problems(door.replace('17', '017'), lamp('chip: 0')), /would read line 17 of gpiochip0/);
  assert.equal(await problems(door, lamp('chip: gpiochip1')), '');
});
