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
}

export interface NatsSettings {
  readonly connection: NatsConnectionSettings;
  readonly streamName: string;
  readonly consumerName: string;
  /** For the stream, where the hub creates it. */
  readonly subjects: readonly string[];
  readonly streamBytesMax: number;
  readonly replicas: number;
  /** For the consumer, where the hub creates it. */
  readonly ackWaitMs: number;
}

export interface HubSettings {
  readonly server: { readonly host: string; readonly port: number };
  readonly database: DatabaseSettings;
  /** Null: readings come by HTTP only. */
  readonly nats: NatsSettings | null;
  /** IANA name of the plant's time zone, for the pages. */
  readonly timeZone: string;
  readonly logLevel: LogLevel;
  /** Where `npm run build` or `npm start` has put the pages; null serves the API only. */
  readonly pagesFolder: string | null;
}
