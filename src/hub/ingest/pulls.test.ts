import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { systemClock } from '../../base/clock.ts';
import { Pulls } from './pulls.ts';

type Callback = (error: Error | null, message: Msg) => void;

test('what comes after the consumer was deleted is not taken: it may be of a new stream of the same name', async () => {
  const callbacks: Callback[] = [];
  const inboxes: string[] = [];
  const connection = {
    subscribe: (subject: string, { callback }: { callback: Callback }) => {
      callbacks.push(callback);
      return { getSubject: () => subject, drain: () => Promise.resolve() };
    },
    publish: (_: string, __: string, { reply }: { reply: string }) => inboxes.push(reply),
  } as unknown as NatsConnection;
  const received: string[] = [];
  const pulls = new Pulls({
    connection,
    stream: 'S',
    consumer: { name: 'C' } as ConstructorParameters<typeof Pulls>[0]['consumer'],
    room: () => ({ messages: 30_000, bytes: 2 ** 25, isEmpty: true }),
    received: ({ subject }) => void received.push(subject),
    clock: systemClock,
  });
  pulls.open(() => `inbox${inboxes.length}`);
  const come = (message: Partial<Msg>): void => callbacks[0]?.(null, { data: Buffer.alloc(1), ...message } as Msg);
  come({ subject: 'S.one' });
  come({ subject: inboxes[0] ?? '', headers: headers(409, 'Consumer Deleted') });
  come({ subject: 'S.two' });
  assert.equal(await pulls.ended, 'the consumer was deleted');
  await pulls.close();
  assert.deepEqual(received, ['S.one']);
});
