import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { systemClock } from '../base/clock.ts';
import { MtconnectAgent } from './mtconnect-agent.ts';

test('a question that makes no sense is refused, and the agent goes on', async (context) => {
  const agent = new MtconnectAgent({
    devices: [{ name: 'M1', uuid: 'u', items: [] }],
    bufferSize: 10,
    instanceId: 1,
    version: '2.0',
    multipart: 'mixed',
    isBoundaryQuoted: false,
    clock: systemClock,
  });
  const port = await agent.listen('127.0.0.1', 0);
  context.after(() => agent.close());
  for (const [address, code] of [
    ['//', 'INVALID_URI'],
    ['http://[x/', 'INVALID_URI'],
    ['/%zz/current', 'INVALID_URI'],
    ['/other/current', 'NO_DEVICE'],
    ['/nothing', 'INVALID_URI'],
    ['/sample?from=x', 'OUT_OF_RANGE'],
    ['/sample?from=99', 'OUT_OF_RANGE'],
    ['/sample?count=-1', 'QUERY_ERROR'],
    ['/sample?interval=x', 'QUERY_ERROR'],
    ['/sample?interval=0&heartbeat=0', 'QUERY_ERROR'],
  ] as const) {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`GET ${address} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n`);
    assert.match(await text(socket), new RegExp(`errorCode="${code}"`), address);
  }
});
