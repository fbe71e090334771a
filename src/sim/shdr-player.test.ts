import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { hasCode } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import { ManualClock } from '../base/manual-clock.test-support.ts';
import { CLIENT_BACKLOG_BYTES_MAX, playShdr, type ShdrPlayer, type ShdrPlayerOptions } from './shdr-player.ts';

const folder = mkdtempSync(join(tmpdir(), 'millwright-player-'));
after(() => rmSync(folder, { recursive: true }));

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function play(lines: string, options: Partial<ShdrPlayerOptions> = {}): Promise<ShdrPlayer> {
  const file = join(folder, `${Math.random()}.shdr`);
  writeFileSync(file, lines);
  const defaults = { host: '127.0.0.1', port: 0, loop: false, hold: true, rebase: false, gapMsMax: null } as const;
  const player = await playShdr(
    { file, speed: 'max', start: 'shared', clock: systemClock, log: silentLogger, ...defaults, ...options },
    new AbortController().signal,
  );
  cleanups.push(() => player.close());
  return player;
}

/** A client that keeps all it hears. */
class Client {
  heard = '';
  readonly socket: Socket;

  constructor(player: ShdrPlayer) {
    this.socket = connect(player.port, player.host);
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => {
      this.heard += chunk.toString();
    });
    cleanups.push(() => this.socket.destroy());
  }

  async hears(what: string | RegExp): Promise<void> {
    const heard = (): boolean => (typeof what === 'string' ? this.heard === what : what.test(this.heard));
    while (!heard()) await new Promise((resolve) => setImmediate(resolve));
  }
}

const ROWS = [
  '2025-12-30T07:00:00Z|a|0\n',
  '2026-01-01T07:00:00.5000000Z|a|1\n',
  '2025-12-31T00:00:00Z|@ASSET@|x|--multiline--A\n',
  'no stamp\n',
  '2026-01-01T07:00:10.5Z|a|2\n',
  '2026-01-01T07:01:40.5Z|a|3',
];

test('plays at the pace of the stamps; what is older goes out at once', async () => {
  const clock = new ManualClock('2026-06-01T00:00:00Z');
  const player = await play(ROWS.join(''), { speed: 10, clock });
  const client = new Client(player);
  await client.hears(ROWS.slice(0, 4).join(''));
  await clock.step(999);
  assert.equal(player.progress().lines, 5);
  assert.equal(client.heard, ROWS.slice(0, 4).join(''));
  await clock.step(1);
  await client.hears(ROWS.slice(0, 5).join(''));
  const late = new Client(player);
  await once(late.socket, 'connect');
  while (player.progress().clients < 2) await new Promise((resolve) => setImmediate(resolve));
  await clock.step(8_999);
  assert.equal(client.heard, ROWS.slice(0, 5).join(''));
  await clock.step(1);
  await client.hears(`${ROWS.join('')}\n`);
  await late.hears(`${ROWS[5]}\n`);
  await player.finished;
});

test('shortens long pauses when asked', async () => {
  const clock = new ManualClock('2026-06-01T00:00:00Z');
  const client = new Client(await play(ROWS.join(''), { speed: 1, clock, gapMsMax: 5_000 }));
  await client.hears(ROWS.slice(0, 4).join(''));
  await clock.step(5_000);
  await client.hears(ROWS.slice(0, 5).join(''));
  await clock.step(5_000);
  await client.hears(`${ROWS.join('')}\n`);
});

test('gives every client the whole file, and answers pings', async () => {
  const player = await play(ROWS.join(''), { start: 'each' });
  for (let round = 0; round < 2; round += 1) {
    const client = new Client(player);
    await client.hears(`${ROWS.join('')}\n`);
    client.heard = '';
    client.socket.write('* PI');
    client.socket.write('NG\r\n* NONSENSE\n* PING\n');
    await client.hears('* PONG 10000\n* PONG 10000\n');
  }
});

test('shifts all stamps by one constant, so that the first after the old ones is now', async () => {
  const clock = new ManualClock('2026-06-01T00:00:00Z');
  const client = new Client(await play(ROWS.slice(0, 5).join(''), { rebase: true, clock }));
  await client.hears(
    '2026-05-29T23:59:59.500000Z|a|0\n2026-06-01T00:00:00.000000Z|a|1\n' +
      '2026-05-30T16:59:59.500000Z|@ASSET@|x|--multiline--A\nno stamp\n2026-06-01T00:00:10.000000Z|a|2\n',
  );
});

test('begins again, or closes at the end', async () => {
  const looping = new Client(await play('2026-01-01T07:00:00Z|a|1\n', { loop: true }));
  await looping.hears(/(.*\|a\|1\n){3}/);
  const ending = new Client(await play('2026-01-01T07:00:00Z|a|1\n', { hold: false }));
  await once(ending.socket, 'end');
  assert.equal(ending.heard, '2026-01-01T07:00:00Z|a|1\n');
});

test('drops a client that does not read, at a pace', async () => {
  const row = `2026-01-01T07:00:00Z|a|${'x'.repeat(100_000)}\n`;
  const rows = Math.ceil((CLIENT_BACKLOG_BYTES_MAX * 5) / row.length);
  const player = await play(`${row.repeat(rows)}2026-01-01T07:00:01Z|end|1\n`, { speed: 1 });
  const deaf = connect(player.port, player.host);
  deaf.on('error', () => {});
  deaf.pause();
  cleanups.push(() => deaf.destroy());
  await player.finished;
  assert.equal(player.progress().clients, 0);
});

test('waits for a slow client at max, and for nobody who has gone', async () => {
  const row = `2026-01-01T07:00:00Z|a|${'x'.repeat(100_000)}\n`;
  const player = await play(row.repeat(400));
  const deaf = connect(player.port, player.host);
  deaf.on('error', () => {});
  deaf.pause();
  await once(deaf, 'connect');
  while (player.progress().lines === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(player.progress().lines < 400);
  deaf.destroy();
  await player.finished;
  assert.equal(player.progress().lines, 400);
});

test('says what it cannot do', async () => {
  await assert.rejects(
    play('', { file: join(folder, 'missing.shdr') }),
    (error) => hasCode(error, 'storage_failed') && error.message.includes('missing.shdr'),
  );
  const other = createServer();
  await once(other.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => other.close());
  const address = other.address();
  assert.ok(typeof address === 'object' && address !== null);
  await assert.rejects(play('', { port: address.port }), (error) => hasCode(error, 'port_unavailable'));
});
