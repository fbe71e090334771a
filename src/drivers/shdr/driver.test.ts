import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { WARNING_INTERVAL_MS } from '../../base/fault-counter.ts';
import { hasCode, messageOf } from '../../base/errors.ts';
import { createLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { Gateway as TestGateway } from '../../ports/driver.test-support.ts';
import type { Reading } from '../../model/reading.ts';
import { schema } from './config.ts';
import { create } from './driver.ts';
import type { ShdrOptions } from './options.ts';

const START = '2026-01-01T08:00:00.000000Z';
const OPTIONS = {
  host: '127.0.0.1',
  map: { Srpm: 'spindle_speed', temp: 'temperature' },
  state: { execution: 'exec', availability: 'avail' },
  extra: ['tool'],
};

/** An adapter whose lines a test says by hand. */
class Adapter {
  readonly #server: Server = createServer((socket) => this.#take(socket));
  readonly #heard: string[] = [];
  readonly #sockets: Socket[] = [];

  async listen(): Promise<number> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    const address = this.#server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  #take(socket: Socket): void {
    this.#sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.#heard.push(...chunk.toString().trim().split('\n')));
  }

  get heard(): readonly string[] {
    return this.#heard;
  }

  get connections(): number {
    return this.#sockets.length;
  }

  get newest(): Socket {
    const socket = this.#sockets.at(-1);
    assert.ok(socket !== undefined);
    return socket;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

/** With a log that warnings alone go to, and room as the test has it. */
class Gateway extends TestGateway {
  readonly logged: { message: string; since_last_warning: number; total: number; example: string }[] = [];
  override readonly log = createLogger({
    level: 'warn',
    pretty: false,
    write: (line) => void this.logged.push(JSON.parse(line)),
    now: () => '',
  });
  /** While set, the gateway has no room, and the driver is to wait for it. */
  roomWait: Promise<void> | undefined;

  constructor(clock: Clock) {
    super({ clock, intervalMs: 100 });
  }

  override room(): Promise<void> | undefined {
    return this.roomWait;
  }
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function start(clock: Clock = new ManualClock(START)): Promise<{
  adapter: Adapter;
  gateway: Gateway;
  options: ShdrOptions;
}> {
  const adapter = new Adapter();
  cleanups.push(() => adapter.close());
  const port = await adapter.listen();
  return { adapter, gateway: new Gateway(clock), options: schema.parse({ ...OPTIONS, port }) };
}

test('pings on connecting, then as often as the adapter asks, and gives it up after twice that silence', async () => {
  const clock = new ManualClock(START);
  const { adapter, gateway, options } = await start(clock);
  const run = create(options).run(gateway, new AbortController().signal);
  const failure = assert.rejects(run, (error) => {
    assert.ok(hasCode(error, 'connection_failed'));
    assert.match(error.message, /127\.0\.0\.1:\d+ was silent for 4000 ms/);
    return true;
  });
  await until(() => adapter.heard.length === 1);
  assert.deepEqual(adapter.heard, ['* PING']);
  assert.equal(gateway.connections, 1);
  adapter.newest.write('* PONG 2000\n');
  await until(() => gateway.nextWithinMs === 2_000);
  await clock.step(2_000);
  await until(() => adapter.heard.length === 2);
  // A line is a sign of life as good as an answer.
  adapter.newest.write('|Srpm|1\n');
  await until(() => gateway.readings.length === 1);
  await clock.step(3_999);
  await until(() => adapter.heard.length === 3);
  assert.equal(gateway.readings.length, 1);
  await clock.step(1);
  await failure;
});

test('an adapter without heartbeat may be silent for as long as it likes', async () => {
  const clock = new ManualClock(START);
  const { adapter, gateway, options } = await start(clock);
  const stop = new AbortController();
  const run = create(options).run(gateway, stop.signal);
  await until(() => adapter.heard.length === 1);
  await clock.step(86_400_000);
  adapter.newest.write('2026-01-02T07:00:00Z|Srpm|5\n');
  await until(() => gateway.readings.length === 1);
  assert.deepEqual(adapter.heard, ['* PING']);
  stop.abort();
  await run;
});

test('lines cut anywhere into packets are read whole', async () => {
  const { adapter, gateway, options } = await start(systemClock);
  const stop = new AbortController();
  const run = create(options).run(gateway, stop.signal);
  await until(() => adapter.connections === 1);
  adapter.newest.setNoDelay(true);
  for (const byte of Buffer.from('2026-01-02T07:00:00Z|tool|Fräser Ø 8\r\n* PONG\n')) {
    await new Promise<void>((resolve) => adapter.newest.write(Buffer.of(byte), () => resolve()));
  }
  await until(() => gateway.nextWithinMs !== undefined);
  assert.deepEqual(gateway.readings, [{ machine_id: 'M-1', timestamp: '2026-01-02T07:00:00Z', tool: 'Fräser Ø 8' }]);
  stop.abort();
  await run;
});

test('an abort ends the run at once and says nothing of the machine', async () => {
  const { adapter, gateway, options } = await start();
  const stop = new AbortController();
  const run = create(options).run(gateway, stop.signal);
  await until(() => adapter.connections === 1);
  adapter.newest.write('2026-01-02T07:00:00Z|Srpm|5|exec|ACTIVE\n');
  await until(() => gateway.readings.length === 2);
  const closed = once(adapter.newest, 'close');
  stop.abort();
  await run;
  await closed;
  assert.equal(gateway.readings.length, 2);
  await create(options).run(gateway, AbortSignal.abort());
  assert.equal(adapter.connections, 1);
});

test('a lost connection makes everything unknown, and a repeated state is news again', async () => {
  const clock = new ManualClock(START);
  const { adapter, gateway, options } = await start(clock);
  const driver = create(options);
  const state =
    '2026-01-01T07:00:00Z|avail|AVAILABLE|Srpm|5|temp|UNAVAILABLE|tool|T1\n' +
    '2026-01-01T07:00:00Z|exec|ACTIVE\n' +
    '2026-01-01T07:00:00Z|servo|NORMAL||||\n';
  const connect = async (lines: string): Promise<Reading[]> => {
    const before = adapter.connections;
    const from = gateway.readings.length;
    const run = driver.run(gateway, new AbortController().signal);
    await until(() => adapter.connections === before + 1);
    adapter.newest.end(lines);
    await assert.rejects(run, (error) => hasCode(error, 'connection_failed') && error.message.endsWith('connection'));
    return gateway.readings.slice(from);
  };
  const at = (timestamp: string, rest: object): object => ({ machine_id: 'M-1', timestamp, ...rest });
  const event = (timestamp: string, type: string, rest: object): object =>
    at(timestamp, { kind: 'event', event_type: type, ...rest });
  const loss = (timestamp: string): object[] => [
    at(timestamp, { spindle_speed: null, tool: null, machine_state: 'offline' }),
    event(timestamp, 'state', { state: 'offline', previous_state: 'running', text: 'connection lost' }),
    event(timestamp, 'condition', { item: 'servo', level: 'unavailable', text: 'connection lost' }),
  ];

  const stamp = '2026-01-01T07:00:00Z';
  assert.deepEqual(await connect(state + state), [
    at(stamp, { spindle_speed: 5, temperature: null, tool: 'T1' }),
    at(stamp, { machine_state: 'running' }),
    event(stamp, 'state', { state: 'running', text: 'execution ACTIVE' }),
    event(stamp, 'condition', { item: 'servo', level: 'normal' }),
    ...loss(START),
  ]);
  // A connection on which nothing is said has nothing to lose.
  assert.deepEqual(await connect(''), []);
  await clock.step(1_000);
  const later = '2026-01-01T08:00:01.000000Z';
  assert.deepEqual(await connect(`${state}2026-01-01T07:00:00Z|Srpm|6\n${state.replace('|Srpm|5', '')}`), [
    at(later, { spindle_speed: 5, tool: 'T1' }),
    at(later, { machine_state: 'running' }),
    event(later, 'state', { state: 'running', previous_state: 'offline', text: 'execution ACTIVE' }),
    event(later, 'condition', { item: 'servo', level: 'normal' }),
    at(stamp, { spindle_speed: 6 }),
    ...loss(later),
  ]);
});

test('says who does not answer', async () => {
  const { adapter, gateway, options } = await start();
  adapter.close();
  await assert.rejects(create(options).run(gateway, new AbortController().signal), (error) => {
    assert.ok(hasCode(error, 'connection_failed'));
    assert.match(messageOf(error), /^cannot connect to 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
    return true;
  });
  assert.deepEqual(gateway.readings, []);
  assert.equal(gateway.connections, 0);
});

test('does not wait for ever for a connection', async () => {
  // No time is left before the first packet is out.
  const { gateway, options } = await start({ ...systemClock, sleep: () => Promise.resolve() });
  await assert.rejects(create(options).run(gateway, new AbortController().signal), (error) => {
    return hasCode(error, 'connection_failed') && /no answer within 10000 ms/.test(error.message);
  });
});

test('counts bad lines, and warns of them once a minute with an example', async () => {
  const clock = new ManualClock(START);
  const { adapter, gateway, options } = await start(clock);
  const stop = new AbortController();
  const run = create(options).run(gateway, stop.signal);
  await until(() => adapter.connections === 1);
  adapter.newest.write(`hello\nworld\n|Srpm|fast\n|Srpm|1\n`);
  await until(() => gateway.readings.length === 1);
  assert.equal(gateway.logged.length, 1);
  assert.equal(gateway.logged[0]?.example, 'hello');
  assert.deepEqual(
    [...gateway.problems],
    [
      ['a line without a pipe', 'for example "hello"'],
      ['item Srpm is not a number', 'for example "fast"'],
    ],
  );
  await clock.step(WARNING_INTERVAL_MS);
  adapter.newest.write('again\n|Srpm|2\n');
  await until(() => gateway.readings.length === 2);
  assert.equal(gateway.logged.length, 2);
  assert.deepEqual([...gateway.problems.keys()], ['a line without a pipe'], 'what has not come again is over');
  assert.equal(gateway.logged[1]?.since_last_warning, 3);
  assert.equal(gateway.logged[1]?.total, 4);
  stop.abort();
  await run;
});

test('makes the adapter wait while the gateway has no room, and does not take that for silence', async () => {
  const clock = new ManualClock(START);
  const { adapter, gateway, options } = await start(clock);
  const stop = new AbortController();
  const run = create(options).run(gateway, stop.signal);
  await until(() => adapter.heard.length === 1);
  adapter.newest.write('* PONG 2000\n');
  await until(() => gateway.nextWithinMs !== undefined);
  const { promise, resolve: makeRoom } = Promise.withResolvers<void>();
  gateway.roomWait = promise;
  adapter.newest.write('2026-01-02T07:00:00Z|Srpm|0\n');
  await until(() => gateway.readings.length === 1);
  const lines = Array.from({ length: 5_000 }, (_, index) => `2026-01-02T07:00:01Z|Srpm|${index + 1}\n`);
  const sent = new Promise((resolve) => adapter.newest.write(lines.join(''), resolve));
  await clock.step(10_000);
  assert.equal(gateway.readings.length, 1);
  gateway.roomWait = undefined;
  makeRoom();
  await until(() => gateway.readings.length === 5_001);
  await sent;
  stop.abort();
  await run;
});
