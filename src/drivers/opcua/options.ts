/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { Policy } from '../../base/opcua-policies.ts';

/** One key of a sample, and the part of a node's value that fills it. */
export interface FieldSettings {
  /** A standard signal, or a name in `extra`. */
  readonly name: string;
  readonly type: 'number' | 'integer' | 'text' | 'auto';
  /** Element of an array; null: the value as a whole. */
  readonly index: number | null;
  /** Names of fields within a structure, and indexes within its arrays; empty: the structure as a whole. */
  readonly path: readonly string[];
  /** value · scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Machine state by value, as text; null: the value itself is wanted. */
  readonly states: { readonly [value: string]: string } | null;
}

/** A variable of the server, and what it fills. */
export interface NodeSettings {
  /** Node id or path, as a person wrote it. */
  readonly node: string;
  readonly samplingIntervalMs: number;
  readonly fields: readonly FieldSettings[];
}

/** Who logs in. The files are read at each connection. */
export type Identity =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'password_file'; readonly user: string; readonly file: string }
  | { readonly kind: 'certificate'; readonly certificateFile: string; readonly keyFile: string };

export interface SecuritySettings {
  /** `strongest`: the first of ours that the server offers; never none at all. */
  readonly policy: Policy | 'None' | 'strongest';
  readonly mode: 'SignAndEncrypt' | 'Sign';
}

export interface OpcuaOptions {
  readonly url: string;
  readonly security: SecuritySettings;
  readonly identity: Identity;
  /** null: of the driver's own, which all sensors share. */
  readonly pkiFolder: string | null;
  readonly publishingIntervalMs: number;
  /** Values of one node that the server keeps between two of its messages. */
  readonly queueSize: number;
  /** After which the server closes a session of which it hears nothing. */
  readonly sessionTimeoutMs: number;
  /** Longest wait for an answer. */
  readonly timeoutMs: number;
  /** By how much the server's clock may differ from the gateway's before its times are not used. */
  readonly clockDifferenceMsMax: number;
  readonly nodes: readonly NodeSettings[];
}
