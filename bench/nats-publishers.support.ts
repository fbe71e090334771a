/** The publishers of the benchmarks with JetStream: a program of its own, see `startPublishers` in nats.support.ts. */
import { once } from 'node:events';
import { zstdCompressSync } from 'node:zlib';
import { systemClock } from '../src/base/clock.ts';
import { connectNats } from '../src/base/nats.ts';
import { natsConnectionOf } from '../src/base/nats-config.ts';
import { startNatsPublisher } from '../src/load/nats-publisher.ts';
import { encodeFrame } from '../src/model/frame.ts';
import { EDGE_SUBJECT_PREFIX, natsMessageId, subjectToken, ZSTD_ENCODING } from '../src/model/nats-wire.ts';
import { readings, say } from './ingest.support.ts';
import { PUBLISHERS } from './nats.support.ts';

await publish(process.argv[2] ?? '', Number(process.argv[3]), Number(process.argv[4]));

/** Builds all messages, says `ready`, waits for a line, publishes, says `published`. */
async function publish(url: string, rows: number, readingsPerMessage: number): Promise<void> {
  // As an edge does by default; a message of one reading would not become smaller.
  const isCompressed = readingsPerMessage > 1;
  const messages = Array.from({ length: PUBLISHERS }, (): { id: string; payload: Uint8Array }[] => []);
  let frames: Uint8Array[] = [];
  let count = 0;
  let row = 0;
  for (const reading of readings(rows)) {
    row += 1;
    frames.push(encodeFrame(reading));
    if (frames.length < readingsPerMessage && row < rows) continue;
    const own = messages[count % PUBLISHERS] ?? [];
    const id = natsMessageId({ gatewayId: `bench-${count % PUBLISHERS}`, epoch: 'bench', sequence: own.length + 1 });
    const payload = Buffer.concat(frames);
    own.push({ id, payload: isCompressed ? zstdCompressSync(payload) : payload });
    frames = [];
    count += 1;
  }
  const signal = new AbortController().signal;
  const publishers = await Promise.all(
    messages.map(async (own, index) => {
      const connection = await connectNats(natsConnectionOf({ url }), { name: `bench ${index}`, random: Math.random });
      const encoding = isCompressed ? ZSTD_ENCODING : undefined;
      const common = { connection, clock: systemClock, random: Math.random };
      const publisher = startNatsPublisher({ ...common, ...(encoding && { encoding }) });
      return async (): Promise<void> => {
        const subject = `${EDGE_SUBJECT_PREFIX}.${subjectToken(`bench-${index}`)}`;
        for (const { id, payload } of own) {
          if (!publisher.hasRoom) await publisher.room(signal);
          publisher.publish(subject, payload, id);
        }
        await publisher.settled(signal);
      };
    }),
  );
  say('ready');
  await once(process.stdin, 'data');
  await Promise.all(publishers.map((run) => run()));
  say('published');
  await once(process.stdin, 'end');
  process.exit();
}
