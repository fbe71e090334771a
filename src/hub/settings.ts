/** The hub's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { LogLevel } from '../base/logger.ts';

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

export interface HubSettings {
  readonly server: { readonly host: string; readonly port: number };
  readonly database: DatabaseSettings;
  /** IANA name of the plant's time zone, for the pages. */
  readonly timeZone: string;
  readonly logLevel: LogLevel;
  /** Where `npm run build` or `npm start` has put the pages; null serves the API only. */
  readonly pagesFolder: string | null;
}
