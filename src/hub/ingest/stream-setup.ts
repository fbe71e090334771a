/**
 * The stream and the durable pull consumer: found, or created so that nothing unread is ever given up. What a user has
 * set up otherwise is used as it is, and told.
 */
import type { ConsumerInfo, JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection } from '../../base/nats.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { NatsSettings } from '../settings.ts';

export interface StreamSetup {
  /** When the stream was created, as the server writes it: two streams of one name differ in it. */
  readonly epoch: string;
  readonly consumer: ConsumerInfo;
  /** What was missing and has been created. */
  readonly created: readonly ('stream' | 'consumer')[];
  /** A sentence for each setting, found as it is, by which readings can be lost. */
  readonly warnings: readonly string[];
}

/** An answer of the server; longer than its own trouble with a cluster lasts. */
const REQUEST_MS_MAX = 5_000;
const DUPLICATE_WINDOW_MS = 120_000;
/** Messages that all hubs together hold unacknowledged. */
const ACK_PENDING_MAX = 65_536;

/** @throws connection_failed with a sentence for whoever runs the server */
export async function setUpStream(connection: NatsConnection, settings: NatsSettings): Promise<StreamSetup> {
  try {
    const { jetstreamManager } = await import('@nats-io/jetstream');
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: REQUEST_MS_MAX });
    const created: ('stream' | 'consumer')[] = [];
    const stream = await streamInfo(manager, settings, created);
    const consumer = await consumerInfo(manager, settings, created);
    const unfit = unfitness(consumer);
    if (unfit !== undefined) {
      throw waiting(`the consumer ${settings.consumerName} ${unfit}; delete it, or name another as nats.consumer_name`);
    }
    // Messages of one stream under the name of another would be taken for what that one had under their numbers.
    if ((await manager.streams.info(settings.streamName)).created !== stream.created) {
      throw waiting(`the stream ${settings.streamName} was deleted and created again meanwhile`);
    }
    return {
      epoch: stream.created,
      consumer,
      created,
      warnings: [...streamWarnings(stream), ...consumerWarnings(consumer)],
    };
  } catch (error) {
    if (error instanceof MillwrightError) throw error;
    throw waiting(sentenceOf(error, settings));
  }
}

/** Messages that the consumer has still to deliver, and those it has delivered that nobody has acknowledged. */
export function pendingOf(consumer: ConsumerInfo): number {
  return consumer.num_pending + consumer.num_ack_pending;
}

/** @throws connection_failed when the consumer is gone, or the server does not say */
export async function readConsumer(connection: NatsConnection, settings: NatsSettings): Promise<ConsumerInfo> {
  try {
    const { jetstreamManager } = await import('@nats-io/jetstream');
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: REQUEST_MS_MAX });
    return await manager.consumers.info(settings.streamName, settings.consumerName);
  } catch (error) {
    throw waiting(sentenceOf(error, settings));
  }
}

async function streamInfo(
  manager: JetStreamManager,
  settings: NatsSettings,
  created: ('stream' | 'consumer')[],
): Promise<StreamInfo> {
  const { DiscardPolicy, JetStreamApiCodes, PersistMode, RetentionPolicy, StorageType } = await import(
    '@nats-io/jetstream'
  );
  try {
    return await manager.streams.info(settings.streamName);
  } catch (error) {
    if (codeOf(error) !== JetStreamApiCodes.StreamNotFound) throw error;
  }
  const info = await manager.streams.add({
    name: settings.streamName,
    subjects: [...settings.subjects],
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    storage: StorageType.File,
    num_replicas: settings.replicas,
    max_bytes: settings.streamBytesMax,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    // Servers before 2.12 do not know it.
    ...(settings.persistMode === 'async' && { persist_mode: PersistMode.Async }),
  });
  created.push('stream');
  return info;
}

async function consumerInfo(
  manager: JetStreamManager,
  settings: NatsSettings,
  created: ('stream' | 'consumer')[],
): Promise<ConsumerInfo> {
  const { AckPolicy, DeliverPolicy, JetStreamApiCodes } = await import('@nats-io/jetstream');
  try {
    return await manager.consumers.info(settings.streamName, settings.consumerName);
  } catch (error) {
    if (codeOf(error) !== JetStreamApiCodes.ConsumerNotFound) throw error;
  }
  const info = await manager.consumers.add(settings.streamName, {
    durable_name: settings.consumerName,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(settings.ackWaitMs),
    max_deliver: -1,
    max_ack_pending: ACK_PENDING_MAX,
  });
  created.push('consumer');
  return info;
}

/** Why no hub can work with it; undefined when one can. */
function unfitness({ config }: ConsumerInfo): string | undefined {
  if ((config.deliver_subject ?? '') !== '') return 'is a push consumer, of which hubs cannot share the work';
  if (config.headers_only === true) return 'delivers the headers only (headers_only), and what is read is deleted';
  return undefined;
}

function streamWarnings({ config }: StreamInfo): string[] {
  const warnings: string[] = [];
  const name = `the stream ${config.name}`;
  if (config.discard === 'old') {
    warnings.push(
      `${name} has the discard policy "old": when it is full, the oldest unread messages are deleted; set "new"`,
    );
  }
  if (config.retention === 'limits') {
    warnings.push(
      `${name} has the retention "limits": it keeps what is stored already until a limit is met; set "workqueue"`,
    );
  }
  if (config.retention === 'interest') {
    warnings.push(
      `${name} has the retention "interest": what comes while it has no consumer is dropped; set "workqueue"`,
    );
  }
  if (config.storage === 'memory') {
    warnings.push(`${name} is kept in memory: a restart of the server loses unread messages; set "file"`);
  }
  if (config.max_age > 0) {
    warnings.push(
      `${name} has a max_age of ${config.max_age / 1e9} s: unread messages that are older are deleted; set 0`,
    );
  }
  if (config.max_msgs_per_subject > 0 && !config.discard_new_per_subject) {
    warnings.push(
      `${name} has a max_msgs_per_subject of ${config.max_msgs_per_subject}: beyond it the oldest unread messages of an edge are ` +
        'deleted; set -1',
    );
  }
  if (config.no_ack) {
    warnings.push(`${name} has no_ack: no publisher learns whether its messages are stored; set false`);
  }
  return warnings;
}

function consumerWarnings({ config, name }: ConsumerInfo): string[] {
  const warnings: string[] = [];
  const consumer = `the consumer ${name}`;
  if (config.ack_policy !== 'explicit') {
    warnings.push(
      `${consumer} has the ack policy "${config.ack_policy}": a hub that stops loses what it was storing; set "explicit"`,
    );
  }
  if (config.max_deliver !== undefined && config.max_deliver > 0) {
    warnings.push(
      `${consumer} has a max_deliver of ${config.max_deliver}: after so many tries a message is never read; set -1`,
    );
  }
  const filters = config.filter_subjects ?? (config.filter_subject ? [config.filter_subject] : []);
  if (filters.length > 0) {
    warnings.push(
      `${consumer} has a filter (${filters.join(', ')}): messages of other subjects are never read; remove it`,
    );
  }
  if (config.deliver_policy !== 'all') {
    warnings.push(
      `${consumer} has the deliver policy "${config.deliver_policy}": what came before it is never read; set "all"`,
    );
  }
  return warnings;
}

/** The error codes of the server's API that a person can do something about (nats-server `server/errors.json`). */
function sentenceOf(error: unknown, settings: NatsSettings): string {
  const { streamName, consumerName } = settings;
  switch (codeOf(error)) {
    case 10039:
      return 'JetStream is not enabled for this account of the NATS server; enable it there';
    case 10076:
      return 'the NATS server has no JetStream; start it with -js, or with a "jetstream" section in its configuration';
    case 10047:
    case 10023:
    case 10028:
      return (
        `the NATS server has not enough storage for the stream ${streamName} of ${settings.streamBytesMax} bytes ` +
        '(nats.stream_max_bytes); give it more (max_file_store, and the limits of the account), or configure less here'
      );
    case 10065:
      return `another stream has subjects of ${settings.subjects.join(', ')} already; name it as nats.stream_name, or delete it`;
    case 10074:
    case 10005:
      return `the NATS servers cannot keep ${settings.replicas} copies of the stream (nats.stream_replicas): ${messageOf(error)}`;
    case 10008:
    case 10009:
      return 'the cluster of NATS servers has no leader at present; most of its servers must run';
    case 10099:
    case 10100:
      return `the stream ${streamName} has another consumer than ${consumerName}, and a work queue has one; delete it, or name it as nats.consumer_name`;
    default:
  }
  if (error instanceof Error && error.name === 'JetStreamNotEnabled') {
    return 'the NATS server has no JetStream, or this account may not use it; start it with -js';
  }
  // The library wraps what the server says about a request.
  const own = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  switch (own instanceof Error ? own.name : '') {
    case 'PermissionViolationError':
      return `NATS does not let this user do what a hub must: ${messageOf(own)}`;
    case 'TimeoutError':
      return 'JetStream does not answer; the server is overloaded, or most of its cluster is down, or this user may not use it';
    default:
      return `JetStream refuses the stream ${streamName} or its consumer ${consumerName}: ${messageOf(error)}`;
  }
}

function codeOf(error: unknown): number | undefined {
  const { code } = error as { code?: unknown };
  return error instanceof Error && typeof code === 'number' ? code : undefined;
}

/** Without the cause, which would be told behind a sentence that says it all. */
function waiting(sentence: string): MillwrightError {
  return new MillwrightError('connection_failed', sentence);
}

function nanos(ms: number): number {
  return ms * 1e6;
}
