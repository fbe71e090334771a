/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { FunctionCode } from './pdu.ts';
import type { RegisterType, WordOrder } from './values.ts';

/** One key of a sample, and the registers or the bit that fill it. */
export interface FieldSettings {
  /** A standard signal, or a name in `extra`. */
  readonly name: string;
  readonly function: FunctionCode;
  /** As it goes over the wire, from 0. */
  readonly address: number;
  /** `bit` for coils and discrete inputs, and for one bit of a register. */
  readonly type: RegisterType | 'bit';
  readonly order: WordOrder;
  /** Of a register, from 0 for the least significant; null: no register. */
  readonly bit: number | null;
  /** value · scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Must come out whole. */
  readonly isInteger: boolean;
  /** Machine state by raw value, as text; null: the value itself is wanted. */
  readonly states: { readonly [raw: string]: string } | null;
  /** Time between two reads; null: with every poll. */
  readonly intervalMs: number | null;
}

export interface SerialSettings {
  readonly path: string;
  readonly baudRate: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
}

/** Where the units are: what sensors with equal settings share. */
export type BusSettings =
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** `tcp`: with the header of Modbus TCP; `rtu`: frames of the serial line as they are. */
      readonly framing: 'tcp' | 'rtu';
      readonly connectTimeoutMs: number;
      /** Units that may be asked at the same time. */
      readonly parallel: number;
    }
  | ({ readonly kind: 'serial' } & SerialSettings);

export interface ModbusOptions {
  readonly bus: BusSettings;
  readonly unit: number;
  /** Longest wait for an answer, without the time that it takes on a serial line. */
  readonly timeoutMs: number;
  readonly fields: readonly FieldSettings[];
  /** Registers between two that are wanted, which are read along to save a request. */
  readonly gapMax: number;
  /** Registers that one request may ask for. */
  readonly registersMax: number;
  /** The base of the numbers in the configuration, for messages: 0, or 1 as in many manuals. */
  readonly addressBase: 0 | 1;
}
