/** For tests: a way to a server on which messages are lost, or held. */
import { createServer, connect as connectTcp, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { freePort } from '../../../test/support/system.ts';

/** A Publish answer begins with this node id, 829, where messages are not encrypted (OPC 10000-6, 5.2.5, 6.7.2). */
const PUBLISH_RESPONSE = Buffer.from([0x01, 0x00, 0x3d, 0x03]);
const SEQUENCE_NUMBER_AT = 16;
const TYPE_AT = 24;
/** A keep-alive is shorter than a message with a value. */
const KEEP_ALIVE_BYTES_MAX = 110;

/** What the way from the server to the client lets through. */
type Passes = 'all' | 'no-publish' | 'no-values' | 'nothing';

export interface Way {
  readonly url: string;
  passes: Passes;
  /** Connections that stand. */
  connections(): number;
  /** So many answers of the server pass, all after them wait. Resolves when one does. */
  holdAfter(answers: number): Promise<void>;
  /** What waits passes. */
  letGo(): void;
}

/** Messages can be lost in both directions without the connection breaking. */
export async function wayTo(context: TestContext, port: number): Promise<Way> {
  const own = await freePort();
  const sockets = new Set<Socket>();
  let answersLeft = Number.POSITIVE_INFINITY;
  const held: (() => void)[] = [];
  let holds = (): void => {};
  const way: Way = {
    url: `opc.tcp://127.0.0.1:${own}`,
    passes: 'all',
    connections: () => [...sockets].filter(({ destroyed }) => !destroyed).length / 2,
    holdAfter: (answers) => {
      answersLeft = answers;
      return new Promise((resolve) => {
        holds = resolve;
      });
    },
    letGo: () => {
      answersLeft = Number.POSITIVE_INFINITY;
      for (const pass of held.splice(0)) pass();
    },
  };
  const answer = (pass: () => void): void => {
    answersLeft -= 1;
    if (answersLeft >= 0) return pass();
    held.push(pass);
    holds();
  };
  const server = createServer((client) => {
    const target = connectTcp(port, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    // Of a half-open connection neither end hears that the other has gone.
    const endBoth = (): void => {
      if (way.passes === 'nothing') return;
      client.destroy();
      target.destroy();
    };
    client.on('close', endBoth);
    target.on('close', endBoth);
    client.on('data', (data: Buffer) => way.passes !== 'nothing' && target.write(data));
    let rest = Buffer.alloc(0);
    let dropped = 0;
    target.on('data', (data: Buffer) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 8 && rest.length >= rest.readUInt32LE(4)) {
        const message = rest.subarray(0, rest.readUInt32LE(4));
        rest = rest.subarray(message.length);
        if (!isPassed(message, way.passes)) dropped += 1;
        else {
          const passed = renumbered(message, dropped);
          answer(() => client.write(passed));
        }
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve));
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return way;
}

function isPassed(message: Buffer, passes: Passes): boolean {
  if (passes === 'nothing') return false;
  const isPublish = message.subarray(TYPE_AT, TYPE_AT + PUBLISH_RESPONSE.length).equals(PUBLISH_RESPONSE);
  if (passes === 'no-publish') return !isPublish;
  return passes === 'all' || !isPublish || message.length <= KEEP_ALIVE_BYTES_MAX;
}

/** So that the client does not notice by the numbers of messages that some are missing. */
function renumbered(message: Buffer, dropped: number): Buffer {
  if (dropped === 0 || message.toString('latin1', 0, 3) !== 'MSG') return message;
  const copy = Buffer.from(message);
  copy.writeUInt32LE(message.readUInt32LE(SEQUENCE_NUMBER_AT) - dropped, SEQUENCE_NUMBER_AT);
  return copy;
}
