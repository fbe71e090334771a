/** What one machine says, through a real agent over HTTP. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasCode, messageOf } from '../../base/errors.ts';
import type { MachineEvent, Reading } from '../../model/reading.ts';
import { readFromOf, READ_FROM_KEY } from '../../model/read-from.ts';
import type { AgentDevice, AgentItem, AgentOptions, MtconnectAgent, Saying } from '../../sim/mtconnect-agent.ts';
import { Bench, openAgent } from './driver.test-support.ts';

function deviceNamed(name: string): AgentDevice {
  const item = (id: string, type: string, more: Partial<AgentItem> = {}): AgentItem => ({
    id: `${name}_${id}`,
    name: id,
    category: 'EVENT',
    type,
    component: ['Controller', 'controller'],
    ...more,
  });
  const linear = (axis: string): AgentItem =>
    item(`${axis}abs`, 'POSITION', {
      category: 'SAMPLE',
      subType: 'ACTUAL',
      units: 'MILLIMETER',
      component: ['Linear', axis],
    });
  return {
    name,
    uuid: `uuid-${name}`,
    items: [
      item('avail', 'AVAILABILITY'),
      item('exec', 'EXECUTION'),
      item('mode', 'CONTROLLER_MODE'),
      item('estop', 'EMERGENCY_STOP'),
      item('prog', 'PROGRAM'),
      item('msg', 'MESSAGE'),
      linear('X'),
      linear('Y'),
      item('Srpm', 'ROTARY_VELOCITY', {
        category: 'SAMPLE',
        subType: 'ACTUAL',
        units: 'REVOLUTION/MINUTE',
        component: ['Rotary', 'C'],
      }),
      item('Fact', 'PATH_FEEDRATE', { category: 'SAMPLE', subType: 'ACTUAL', units: 'MILLIMETER/SECOND' }),
      item('Fcmd', 'PATH_FEEDRATE', { category: 'SAMPLE', subType: 'PROGRAMMED', units: 'MILLIMETER/SECOND' }),
      item('sys', 'SYSTEM', { category: 'CONDITION' }),
      item('asset', 'ASSET_CHANGED'),
    ],
  };
}

interface Machine {
  readonly agent: MtconnectAgent;
  readonly bench: Bench;
  readonly url: string;
  /** Says it one second later than what was said before. */
  readonly say: (item: string, text: string, more?: Partial<Saying>) => void;
  readonly condition: (level: 'Normal' | 'Warning' | 'Fault', nativeCode?: string) => void;
}

async function machine(context: TestContext, config: object = {}, options?: Partial<AgentOptions>): Promise<Machine> {
  const { agent, url } = await openAgent([deviceNamed('M1')], options);
  const bench = await Bench.make(url);
  context.after(async () => {
    await bench.stop();
    await agent.close();
  });
  let second = 0;
  const say = (item: string, text: string, more: Partial<Saying> = {}): void => {
    second += 1;
    const timestamp = new Date(Date.UTC(2026, 0, 1, 8, 0, second)).toISOString();
    agent.observe({ device: 'M1', item: `M1_${item}`, timestamp, text, ...more });
  };
  const condition = (level: 'Normal' | 'Warning' | 'Fault', nativeCode?: string): void => {
    say('sys', nativeCode === undefined ? '' : `trouble ${nativeCode}`, {
      condition: { level, ...(nativeCode !== undefined && { nativeCode }) },
    });
  };
  bench.start(config);
  await bench.until(() => bench.connections === 1);
  return { agent, bench, url, say, condition };
}

function values(readings: readonly Reading[], field: string): unknown[] {
  return readings.flatMap((reading) => {
    const own = Object.entries(reading).find(([name]) => name === field);
    return reading.kind === undefined && own !== undefined ? [own[1]] : [];
  });
}

function ofType(bench: Bench, type: MachineEvent['event_type']): MachineEvent[] {
  return bench.events.filter(({ event_type }) => event_type === type);
}

test('without a map the types of the items decide; units become those of the signals', async (context) => {
  const { bench, say, agent } = await machine(context);
  say('avail', 'AVAILABLE');
  say('exec', 'ACTIVE');
  say('mode', 'AUTOMATIC');
  say('prog', 'O1234');
  const timestamp = '2026-01-01T09:00:00.123456789Z';
  say('Xabs', '1.5', { timestamp });
  say('Yabs', '-2', { timestamp });
  say('Fact', '12.5', { timestamp });
  say('Fcmd', '99', { timestamp });
  say('Srpm', '1200');
  say('Srpm', 'UNAVAILABLE');
  say('asset', 'T1');
  say('msg', 'door open', { timestamp: '2026-01-01T10:00:00Z' });
  await bench.until(() => ofType(bench, 'message').length > 0);
  const at = bench.samples.filter((sample) => sample.timestamp === '2026-01-01T09:00:00.123456Z');
  const { [READ_FROM_KEY]: from, ...sample }: { [key: string]: unknown } = at[0] ?? {};
  // One sample, though the document divides them by component.
  assert.deepEqual(
    [at.length, sample],
    [
      1,
      {
        machine_id: 'M-1',
        timestamp: '2026-01-01T09:00:00.123456Z',
        x_pos_mm: 1.5,
        y_pos_mm: -2,
        feed_rate_actual: 750,
      },
    ],
  );
  const first = agent.nextSequence - 8;
  assert.deepEqual(from, { source: 'agent', mark: `${agent.instanceId}/${first}-${first + 2}` });
  assert.deepEqual(values(bench.all, 'spindle_speed'), [null, 1200, null]);
  assert.deepEqual(values(bench.all, 'controller_mode'), [null, 'AUTOMATIC']);
  assert.deepEqual(
    ofType(bench, 'state').map(({ state, text }) => [state, text]),
    [
      ['offline', 'availability UNAVAILABLE'],
      ['running', 'execution ACTIVE'],
    ],
  );
  assert.deepEqual(
    ofType(bench, 'program').map(({ text, item }) => [text, item]),
    [['O1234', 'prog']],
  );
  assert.deepEqual(
    ofType(bench, 'message').map(({ text, item }) => [text, item]),
    [['door open', 'msg']],
  );
  assert.ok(!bench.all.some((reading) => JSON.stringify(reading).includes('asset')));
});

test('names that the device does not have are problems, and what it says wrong too; questions have a latency', async (context) => {
  const { bench, say } = await machine(context, { map: { Srpm: 'spindle_speed', Nothing: { extra: 'nothing' } } });
  assert.deepEqual([...bench.problems], [['Nothing', 'the device M1 has no data item of this name']]);
  // probe and current.
  assert.equal(bench.latencies.length, 2);
  assert.ok(bench.latencies.every((latencyMs) => latencyMs !== null && latencyMs > 0 && latencyMs < 60_000));
  say('Srpm', 'fast');
  await bench.until(() => bench.problems.size === 2);
  assert.equal(bench.problems.get('item Srpm is not a number'), 'for example "fast"');
});

test('a condition with several active codes; NORMAL without a code clears all', async (context) => {
  const { bench, say, condition } = await machine(context);
  say('avail', 'AVAILABLE');
  say('exec', 'READY');
  condition('Fault', '1');
  condition('Warning', '2');
  condition('Fault', '3');
  condition('Normal', '1');
  condition('Normal');
  say('msg', 'end');
  await bench.until(() => ofType(bench, 'message').length > 0);
  const events = ofType(bench, 'condition').filter(({ level }) => level !== 'unavailable');
  assert.deepEqual(
    events.map(({ level, native_code, item, text }) => [level, native_code, item, text]),
    [
      ['fault', '1', 'sys', 'trouble 1'],
      ['warning', '2', 'sys', 'trouble 2'],
      ['fault', '3', 'sys', 'trouble 3'],
      ['normal', '1', 'sys', 'trouble 1'],
      ['normal', undefined, 'sys', undefined],
    ],
  );
  // Fault 3 keeps the alarm when 1 has gone.
  assert.deepEqual(
    ofType(bench, 'state').map(({ state }) => state),
    ['offline', 'idle', 'alarm', 'idle'],
  );
});

test('a code that ended while the buffer ran over is ended', async (context) => {
  const { agent, bench, say, condition } = await machine(context, {}, { bufferSize: 20 });
  say('avail', 'AVAILABLE');
  say('exec', 'READY');
  condition('Fault', '1');
  await bench.until(() => ofType(bench, 'state').at(-1)?.state === 'alarm');
  await bench.stop();
  condition('Warning', '2');
  condition('Normal', '1');
  for (let n = 0; n < 40; n += 1) say('Xabs', String(n));
  bench.start();
  await bench.until(() => values(bench.all, 'x_pos_mm').includes(39));
  assert.deepEqual(
    ofType(bench, 'condition')
      .slice(-2)
      .map(({ level, native_code, text }) => [level, native_code, text]),
    [
      ['normal', '1', 'its end was not seen'],
      ['warning', '2', 'trouble 2'],
    ],
  );
  assert.equal(ofType(bench, 'state').at(-1)?.state, 'idle');
  const [gap] = bench.gaps();
  assert.equal(gap?.details?.['last_sequence'], agent.firstSequence - 1);
});

test('a lost connection: offline, what was missed, and the state again', async (context) => {
  const { agent, bench, say } = await machine(context);
  say('avail', 'AVAILABLE');
  say('exec', 'ACTIVE');
  await bench.until(() => ofType(bench, 'state').at(-1)?.state === 'running');
  agent.cut();
  for (let n = 0; n < 10; n += 1) say('Xabs', String(n));
  await bench.until(() => bench.connections === 2 && ofType(bench, 'state').at(-1)?.text === 'connected again');
  assert.deepEqual(values(bench.all, 'x_pos_mm'), [null, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(
    ofType(bench, 'state')
      .slice(-2)
      .map(({ state, previous_state }) => [state, previous_state]),
    [
      ['offline', 'running'],
      ['running', 'offline'],
    ],
  );
  assert.ok(hasCode(bench.errors[0], 'connection_failed'), String(bench.errors[0]));
});

test('an agent that has nothing new is alive; one that is silent is given up', async (context) => {
  const { bench, agent, url } = await machine(context, { heartbeat: '100ms' });
  const signs = bench.signs;
  await bench.until(() => bench.signs > signs + 3);
  assert.deepEqual(bench.errors, []);
  await bench.stop();
  // The same documents, and then nothing at all.
  const texts = new Map<string, string>();
  for (const name of ['probe', 'current']) texts.set(`/${name}`, await textOf(`${url}/${name}`));
  const silent = await serve(context, (path, response) => {
    const text = texts.get(path);
    if (text !== undefined) return void response.end(text);
    response.writeHead(200, { 'content-type': 'multipart/mixed; boundary="x"' });
    response.write('--x\r\nContent-type: text/xml\r\n');
  });
  const other = await Bench.make(silent);
  context.after(() => other.stop());
  other.start({ heartbeat: '100ms' });
  await other.until(() => other.errors.length > 0);
  assert.equal(messageOf(other.errors[0]), `${silent} was silent for 200 ms`);
  assert.ok(agent.connections >= 0);
});

test('several devices: one is named, and only its observations are taken', async (context) => {
  const { agent, url } = await openAgent([deviceNamed('M1'), deviceNamed('M 2')]);
  const bench = await Bench.make(url);
  context.after(async () => {
    await bench.stop();
    await agent.close();
  });
  const say = (device: string, text: string): void =>
    void agent.observe({ device, item: `${device}_Xabs`, timestamp: '2026-01-01T08:00:00Z', text });
  say('M1', '1');
  bench.start({ device: 'M 2' });
  say('M 2', '2');
  await bench.until(() => values(bench.all, 'x_pos_mm').includes(2));
  say('M1', '3');
  say('M 2', '4');
  await bench.until(() => values(bench.all, 'x_pos_mm').includes(4));
  assert.deepEqual(
    values(bench.all, 'x_pos_mm').filter((value) => value !== null),
    [2, 4],
  );
  await bench.stop();
  bench.start({ device: 'M9' });
  await bench.until(() => bench.errors.length > 0);
  assert.equal(messageOf(bench.errors.at(-1)), `${url} has no device M9; it has M1, M 2`);
  await bench.stop();
  bench.start();
  await bench.until(() => messageOf(bench.errors.at(-1)).includes('several'));
  assert.equal(messageOf(bench.errors.at(-1)), `${url} has several devices: name one of them as "device": M1, M 2`);
});

test('a refusal is told in plain words, and what is no agent too', async (context) => {
  const refusing = await serve(context, (_path, response) => {
    response.writeHead(404);
    const error = '<Error errorCode="NO_DEVICE">Could not find the device</Error>';
    response.end(`<MTConnectError><Header instanceId="1"/><Errors>${error}</Errors></MTConnectError>`);
  });
  const page = await serve(context, (_path, response) => response.writeHead(404).end('<html><br>Not found'));
  for (const [url, expected] of [
    [
      refusing,
      `${refusing}/probe: the agent refuses: it has no such device; \`millwright probe mtconnect URL\` lists those that it ` +
        'has (NO_DEVICE, "Could not find the device")',
    ],
    [page, `${page}/probe answered 404: is there an MTConnect agent at this address?`],
  ] as const) {
    const bench = await Bench.make(url);
    bench.start();
    await bench.until(() => bench.errors.length > 0);
    await bench.stop();
    assert.ok(messageOf(bench.errors[0]).startsWith(expected), messageOf(bench.errors[0]));
  }
});

test('a position that is damaged is told, and what the log has is not read again', async (context) => {
  const { bench, say } = await machine(context, { begin: 'oldest' });
  say('Xabs', '1');
  await bench.until(() => values(bench.all, 'x_pos_mm').includes(1));
  await bench.stop();
  const file = path.join(bench.folder, 'state', 'position');
  await writeFile(file, (await readFile(file, 'utf8')).replace('next', 'nexd'));
  say('Xabs', '2');
  bench.start({ begin: 'oldest' });
  await bench.until(() => values(bench.all, 'x_pos_mm').includes(2));
  assert.deepEqual(values(bench.all, 'x_pos_mm'), [null, 1, 2]);
  assert.deepEqual(
    bench.gaps().map(({ details }) => details?.['reason']),
    ['position_lost'],
  );
});

test('until the position is written the log keeps what came', async (context) => {
  const { bench, say } = await machine(context);
  await bench.until(() => bench.held === null);
  say('Xabs', '1');
  await bench.until(() => values(bench.all, 'x_pos_mm').includes(1));
  assert.equal(typeof bench.held, 'number');
  for (const reading of bench.all) assert.equal(readFromOf(reading)?.source, 'agent');
});

async function serve(
  context: TestContext,
  answer: (path: string, response: import('node:http').ServerResponse) => void,
): Promise<string> {
  const server: Server = createServer((request, response) => answer(request.url?.split('?')[0] ?? '', response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `http://127.0.0.1:${address.port}`;
}

async function textOf(url: string): Promise<string> {
  return (await fetch(url)).text();
}
