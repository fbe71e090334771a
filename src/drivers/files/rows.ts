/** What the formats have in common: a file is a row of findings, each of which is understood or not. */
/** A reading's keys but for the machine's; the driver checks it as the hub would. */
export type Finding = Readonly<Record<string, unknown>>;

export interface Row {
  /** What the row is known by: its text, or where a format has none, its values. */
  readonly text: string;
  /** For people: a line of the file, or which of the results it is. */
  readonly place: string;
  /** Only when they are wanted. @throws NotUnderstood */
  findings(): readonly Finding[];
}

/** A file, or a row of it, makes no sense: the message says why. */
export class NotUnderstood extends Error {
  /** The file may merely not be finished. */
  readonly mayBeUnfinished: boolean;

  constructor(message: string, { mayBeUnfinished = false }: { mayBeUnfinished?: boolean } = {}) {
    super(message);
    this.name = 'NotUnderstood';
    this.mayBeUnfinished = mayBeUnfinished;
  }
}

/** A file that is parsed as a whole. */
export interface ParsedFile {
  /** Tells files apart whose rows are alike; '' where each row has a time of its own. */
  readonly seed: string;
  readonly rows: readonly Row[];
}

/** What a parser is told of the file and the configuration. */
export interface ParseContext {
  /** Name of the file, without its folder. */
  readonly name: string;
  /** When the file was written: the time of what has none. */
  readonly fileTime: string;
  readonly zone: string;
  readonly unit: string;
}

/** A number with a point or a comma; undefined for anything else. */
export function numberIn(text: string): number | undefined {
  const plain = text.trim().replace(',', '.');
  // Each digit can be taken in one way only: else a long run of them that is no number would take for ever.
  return /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(plain) ? Number(plain) : undefined;
}

/** UTF-16 by its mark, UTF-8 where it is, else Latin-1, which older programs write. */
export function decodeText(bytes: Buffer): string {
  if (isUtf16(bytes)) return new TextDecoder(bytes[0] === 0xff ? 'utf-16le' : 'utf-16be').decode(bytes);
  const withoutMark = bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
  const { isUtf8 } = process.getBuiltinModule('node:buffer');
  return isUtf8(withoutMark) ? withoutMark.toString('utf8') : withoutMark.toString('latin1');
}

/** By its byte order mark. */
export function isUtf16(bytes: Buffer): boolean {
  return (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
}

export const BYTE_ORDER_MARK: Buffer = Buffer.from([0xef, 0xbb, 0xbf]);

/** Only those entries that are known. */
export function known<Value>(value: Readonly<Record<string, Value | undefined>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, Value] => entry[1] !== undefined));
}
