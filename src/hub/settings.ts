/** The hub's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { LogLevel } from '../base/logger.ts';
import type { NatsConnectionSettings } from '../base/nats.ts';

export interface DatabaseSettings {
  readonly host: string;
  readonly port: number;
  readonly dbname: string;
  readonly user: string;
  readonly password: string;
  /** Connections for reading; writing has its own. */
  readonly readConnectionsMax: number;
  /** Copies of the database from which history is read, in the order in which they are preferred. */
  readonly readReplicas?: readonly ReplicaSettings[];
}

export interface ReplicaSettings {
  readonly host: string;
  readonly port: number;
  readonly dbname: string;
  readonly user: string;
  readonly password: string;
}

export interface StoreSettings {
  /** With TimescaleDB: the length of a chunk. */
  readonly chunkIntervalMs: number;
  /** With TimescaleDB's community edition: chunks older than this are compressed. */
  readonly compressAfterMs: number;
  readonly retention: RetentionSettings;
}

/** For tests and for what needs no database: everything as it is when nothing is configured. */
export const DEFAULT_STORE: StoreSettings = {
  chunkIntervalMs: 86_400_000,
  compressAfterMs: 7 * 86_400_000,
  retention: { rawMs: null, eventsMs: null, measurementsMs: null, rollupMinutesMs: null, rollupHoursMs: null },
};

/** How long rows are kept, by their own time; null: for ever. */
export interface RetentionSettings {
  /** Samples. */
  readonly rawMs: number | null;
  readonly eventsMs: number | null;
  readonly measurementsMs: number | null;
  readonly rollupMinutesMs: number | null;
  readonly rollupHoursMs: number | null;
}

/**
 * JetStream's: with `async` a server that crashes loses what it has acknowledged in the last moments. Edges that wait for
 * the hub (`confirm: stored`, which is the default) lose nothing by that; publishers that trust the stream do.
 */
export const PERSIST_MODES = ['default', 'async'] as const;

export interface NatsSettings {
  readonly connection: NatsConnectionSettings;
  readonly streamName: string;
  readonly consumerName: string;
  /** For the stream, where the hub creates it. */
  readonly subjects: readonly string[];
  readonly streamBytesMax: number;
  readonly replicas: number;
  readonly persistMode: (typeof PERSIST_MODES)[number];
  /** For the consumer, where the hub creates it. */
  readonly ackWaitMs: number;
}

export interface HubSettings {
  readonly server: { readonly host: string; readonly port: number };
  readonly database: DatabaseSettings;
  readonly store: StoreSettings;
  /** Null: readings come by HTTP only. */
  readonly nats: NatsSettings | null;
  /** IANA name of the plant's time zone, for the pages. */
  readonly timeZone: string;
  readonly logLevel: LogLevel;
  /** Where `npm run build` or `npm start` has put the pages; null serves the API only. */
  readonly pagesFolder: string | null;
}
