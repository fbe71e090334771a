/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { TlsFiles } from '../../base/http-config.ts';
import type { StateRole } from '../../model/mtconnect/state.ts';
import type { FieldSettings } from '../../model/mtconnect/values.ts';

export interface MtconnectOptions {
  readonly url: string;
  readonly token: string | null;
  readonly tls: TlsFiles;
  /** Name or uuid; null: the only one. */
  readonly device: string | null;
  /** By a data item's id or name; null: by the items' types. */
  readonly map: { readonly [item: string]: readonly FieldSettings[] } | null;
  /** Further items, under their own names. */
  readonly extra: 'all' | readonly string[];
  /** null: the first item of the role's type. */
  readonly state: { readonly [role in StateRole]: string | null };
  /** null: the first item of type PROGRAM. */
  readonly program: string | null;
  readonly conditions: 'all' | readonly string[];
  /** Between two documents of a stream that has something to say. */
  readonly intervalMs: number;
  readonly heartbeatMs: number;
  /** Observations in a document at most. */
  readonly count: number;
  /** Where a source begins that has never read. */
  readonly begin: 'current' | 'oldest';
  /** Of a request, but for a stream, whose heartbeat tells. */
  readonly timeoutMs: number;
}
