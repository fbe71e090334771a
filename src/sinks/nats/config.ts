/** What a sink of type `nats` may be told, and what the older section `nats` of a file may. */
import { z } from 'zod';
import { choice, duration, scalar, section } from '../../base/config.ts';
import { natsConnectionKeys, natsConnectionOf } from '../../base/nats-config.ts';
import type { NatsConnectionSettings } from '../../base/nats.ts';
import { DATA_STREAM, EDGE_SUBJECT_PREFIX } from '../../model/nats-wire.ts';

type Scalar<Output> = ReturnType<typeof scalar<Output>>;
type WithDefault<Schema extends z.core.SomeType> = z.ZodPrefault<Schema>;

/** To be spread into a section. */
export const natsSinkKeys: typeof natsConnectionKeys & {
  readonly stream: WithDefault<Scalar<string>>;
  readonly subject_prefix: WithDefault<Scalar<string>>;
  readonly ack_timeout: WithDefault<Scalar<number>>;
  readonly compression: WithDefault<z.ZodEnum<{ zstd: 'zstd'; none: 'none' }>>;
  readonly confirm: WithDefault<z.ZodEnum<{ stored: 'stored'; published: 'published' }>>;
  readonly reconnect_delay: WithDefault<Scalar<number>>;
} = {
  ...natsConnectionKeys,
  stream: scalar('the name of a stream: no white space, dot, slash or wildcard', (value) => {
    return /^[^\s.*>/\\]+$/.test(String(value)) ? String(value) : undefined;
  })
    .prefault(DATA_STREAM)
    .describe('JetStream stream that keeps what is delivered; a hub makes it'),
  subject_prefix: scalar('tokens divided by dots, without white space and wildcards', (value) => {
    return /^[^\s.*>$][^\s.*>]*(\.[^\s.*>]+)*$/.test(String(value)) ? String(value) : undefined;
  })
    .prefault(EDGE_SUBJECT_PREFIX)
    .describe('Subject without the name of the gateway; one of the subjects of the stream'),
  ack_timeout: duration({ minMs: 100, maxMs: 600_000 })
    .prefault('30s')
    .describe('How long the stream may take to acknowledge; then the same batches are sent again'),
  compression: choice(['zstd', 'none'])
    .prefault('zstd')
    .describe(
      'Of the batches on their way and in the stream; what the server would find too large is compressed anyway',
    ),
  confirm: choice(['stored', 'published'])
    .prefault('stored')
    .describe(
      'When the edge gives a batch up: stored, when a hub has it in the database; or published, when the stream has it, ' +
        'which may then wait there for hubs, and is lost if somebody deletes the stream meanwhile',
    ),
  reconnect_delay: duration({ minMs: 1, maxMs: 3_600_000 })
    .prefault('250ms')
    .describe('First wait before connecting again; waits grow and vary'),
};

export type NatsSinkKeys = z.output<z.ZodObject<typeof natsSinkKeys>>;

export const schema: z.ZodType<NatsSinkOptions> = section(natsSinkKeys).transform(natsSinkOptionsOf);

export function natsSinkOptionsOf(keys: NatsSinkKeys): NatsSinkOptions {
  return {
    connection: natsConnectionOf(keys),
    stream: keys.stream,
    subjectPrefix: keys.subject_prefix,
    ackTimeoutMs: keys.ack_timeout,
    compression: keys.compression,
    confirm: keys.confirm,
    reconnectFirstMs: keys.reconnect_delay,
  };
}

/** As the schema leaves it. */
export interface NatsSinkOptions {
  readonly connection: NatsConnectionSettings;
  readonly stream: string;
  readonly subjectPrefix: string;
  readonly ackTimeoutMs: number;
  readonly compression: 'zstd' | 'none';
  readonly confirm: 'stored' | 'published';
  /** Wait before the first attempt to connect again. */
  readonly reconnectFirstMs: number;
}
