/**
 * SHDR, the line protocol between an MTConnect adapter and whoever reads it: one line in, typed entries out.
 *
 *     line      = time "|" item ("|" item)*            ended by LF or CRLF; fields are trimmed
 *     time      = RFC 3339 text | "" (the receiver's time) | number (milliseconds, relative mode), then ["@" seconds]
 *     item      = key "|" value                        event, sample, three-space sample ("1 2 3"), data set ("a=1 b=2")
 *               | key "|" level "|" code "|" severity "|" qualifier "|" text           condition
 *               | key "|" code "|" text                                                message
 *               | key "|" count "|" rate "|" "v v v"                                   time series
 *     key       = [device ":"] name
 *     field     = text | '"' text with "\|" '"'        only a quoted field can hold a pipe
 *     command   = "*" name [":"] value                 such as "* PONG 10000"
 *     asset     = time "|@ASSET@|" …                   skipped, with the lines of a "--multiline--TAG" block
 *
 * How many fields an item takes follows from the machine's model, which does not travel on the wire: the configuration
 * says it. For an item that the configuration does not name it is guessed so that the items after it keep their places.
 *
 * Source: MTConnect Institute, "Adapter and SHDR protocol", as the reference agent (cppagent 2.x) reads it.
 * Pure: no socket, no clock.
 */
import { isUnavailable } from '../../model/mtconnect/values.ts';

export type ItemKind = 'value' | 'condition' | 'message' | 'time_series';

export type Entry =
  | { readonly kind: 'value'; readonly key: string; readonly text: string }
  | {
      readonly kind: 'condition';
      readonly key: string;
      /** As the adapter spelt it. */
      readonly level: string;
      readonly nativeCode: string;
      readonly nativeSeverity: string;
      readonly qualifier: string;
      readonly text: string;
    }
  | { readonly kind: 'message'; readonly key: string; readonly nativeCode: string; readonly text: string }
  | {
      readonly kind: 'time_series';
      readonly key: string;
      readonly count: string;
      readonly rate: string;
      readonly text: string;
    };

/** A line's stamp as written; {@link LineTimes} gives it a meaning. */
export interface Stamp {
  readonly text: string;
  /** Of `stamp@seconds`: how long the values were observed. */
  readonly durationSeconds: number | undefined;
}

export type ParsedLine =
  | { readonly type: 'data'; readonly stamp: Stamp; readonly entries: readonly Entry[]; readonly fault?: string }
  | { readonly type: 'command'; readonly name: string; readonly value: string }
  /** A blank line, or a part of an asset. */
  | { readonly type: 'nothing' }
  | { readonly type: 'fault'; readonly reason: string };

export interface ParseRules {
  /** The device whose items are wanted; null takes every device's. */
  readonly device: string | null;
  /** What the configuration says of an item; undefined when it does not name it. */
  kindOf(key: string): ItemKind | undefined;
}

/** A multi-line block that has more lines than this has lost its end: what follows is read again. */
export const MULTILINE_LINES_MAX = 5_000;
/** As {@link MULTILINE_LINES_MAX}, in UTF-16 units. */
export const MULTILINE_CHARS_MAX: number = 4 * 1024 * 1024;

const NOTHING: ParsedLine = { type: 'nothing' };
const MULTILINE_MARK = '--multiline--';
const LEVELS: ReadonlySet<string> = new Set(['NORMAL', 'WARNING', 'FAULT', 'UNAVAILABLE']);
const QUALIFIERS: ReadonlySet<string> = new Set(['', 'HIGH', 'LOW']);

/** Reads the lines of one connection, in order. Never throws. */
export class LineParser {
  readonly #rules: ParseRules;
  /** The line that ends the block under way, and how much of it has passed. */
  #block: { readonly end: string; lines: number; chars: number } | undefined;

  constructor(rules: ParseRules) {
    this.#rules = rules;
  }

  parse(line: string): ParsedLine {
    if (this.#block !== undefined) return this.#passBlock(this.#block, line);
    const pipe = line.indexOf('|');
    if (pipe === -1) return parseWithoutPipe(line);
    if (line.charCodeAt(0) === 0x2a) return parseCommand(line);
    const fields = splitFields(line);
    if ((fields[1] ?? '').includes('@') && isAssetKey(fields[1] ?? '')) {
      this.#openBlock(line);
      return NOTHING;
    }
    if (line.includes(MULTILINE_MARK)) {
      this.#openBlock(line);
      return { type: 'fault', reason: 'a multi-line value that is no asset' };
    }
    return parseData(fields, this.#rules);
  }

  #openBlock(line: string): void {
    const at = line.indexOf(MULTILINE_MARK);
    if (at !== -1) this.#block = { end: line.slice(at).trim(), lines: 0, chars: 0 };
  }

  #passBlock(block: { readonly end: string; lines: number; chars: number }, line: string): ParsedLine {
    if (line.startsWith(MULTILINE_MARK) && line.trim() === block.end) {
      this.#block = undefined;
      return NOTHING;
    }
    block.lines += 1;
    block.chars += line.length;
    if (block.lines <= MULTILINE_LINES_MAX && block.chars <= MULTILINE_CHARS_MAX) return NOTHING;
    this.#block = undefined;
    return { type: 'fault', reason: `a multi-line block did not end with ${block.end}` };
  }
}

function parseWithoutPipe(line: string): ParsedLine {
  const text = line.trim();
  if (text === '') return NOTHING;
  return text.startsWith('*') ? parseCommand(text) : { type: 'fault', reason: 'a line without a pipe' };
}

function parseCommand(line: string): ParsedLine {
  const match = /^\*\s*([^\s:]*)\s*:?\s*(.*)$/s.exec(line.trim());
  return { type: 'command', name: match?.[1] ?? '', value: match?.[2] ?? '' };
}

function isAssetKey(key: string): boolean {
  return /^(?:[^:@]*:)?@[A-Z_]+@$/i.test(key);
}

function parseData(fields: readonly string[], rules: ParseRules): ParsedLine {
  const entries: Entry[] = [];
  let fault: string | undefined;
  let at = 1;
  while (at < fields.length) {
    const written = fields[at]!;
    if (written === '') {
      // A pipe at the end of the line leaves one blank field, which says nothing.
      if (at + 1 < fields.length) fault = 'a value without an item name';
      at += 2;
      continue;
    }
    const colon = written.indexOf(':');
    const key = colon === -1 ? written : written.slice(colon + 1);
    const isWanted = rules.device === null || colon === -1 || written.slice(0, colon) === rules.device;
    const kind = (isWanted ? rules.kindOf(key) : undefined) ?? guessKind(fields, at, rules);
    const width = WIDTHS[kind];
    const left = fields.length - at - 1;
    if (left === 0 || (left < width && kind !== 'condition' && !isUnavailable(fields[at + 1] ?? ''))) {
      fault = `item ${key} without its value`;
      break;
    }
    if (isWanted) entries.push(entryOf(kind, key, fields, at + 1));
    at += 1 + width;
  }
  const stamp = parseStamp(fields[0] ?? '');
  return fault === undefined ? { type: 'data', stamp, entries } : { type: 'data', stamp, entries, fault };
}

/** Fields after the key. A condition may leave out its last ones, and what is unavailable all but the first. */
const WIDTHS: Record<ItemKind, number> = { value: 1, condition: 5, message: 2, time_series: 3 };

function entryOf(kind: ItemKind, key: string, fields: readonly string[], at: number): Entry {
  const field = (index: number): string => fields[at + index] ?? '';
  switch (kind) {
    case 'value':
      return { kind, key, text: field(0) };
    case 'condition':
      return {
        kind,
        key,
        level: field(0),
        nativeCode: field(1),
        nativeSeverity: field(2),
        qualifier: field(3),
        text: field(4),
      };
    case 'message':
      return { kind, key, nativeCode: field(0), text: field(1) };
    case 'time_series':
      return { kind, key, count: field(0), rate: field(1), text: field(2) };
  }
}

/**
 * The kind of an item that is not configured.
 *
 * A condition and a time series take an even number of fields with their key, so taking one for pairs shifts nothing; a
 * message shifts, and is told by the odd number of fields left and a configured item that stands where it would end.
 * `a|UNAVAILABLE|b|1|c|2` is three pairs: what follows the level must look like the rest of a condition too.
 */
function guessKind(fields: readonly string[], at: number, rules: ParseRules): ItemKind {
  const after = fields.length - at - 2;
  const level = (fields[at + 1] ?? '').toUpperCase();
  if (after >= 4 && LEVELS.has(level)) {
    const [code, severity, qualifier, text] = fields.slice(at + 2, at + 6);
    if (code === '' && severity === '' && qualifier === '' && text === '') return 'condition';
    if (after === 4 && level !== 'UNAVAILABLE' && QUALIFIERS.has((qualifier ?? '').toUpperCase())) return 'condition';
  }
  const isOdd = (fields.length - at) % 2 === 1;
  return isOdd && !isNamed(fields[at + 2], rules) && isNamed(fields[at + 3], rules) ? 'message' : 'value';
}

function isNamed(written: string | undefined, rules: ParseRules): boolean {
  return written !== undefined && rules.kindOf(written.slice(written.indexOf(':') + 1)) !== undefined;
}

function parseStamp(field: string): Stamp {
  const mark = field.indexOf('@');
  if (mark === -1) return { text: field, durationSeconds: undefined };
  const seconds = Number(field.slice(mark + 1));
  const isDuration = field.length > mark + 1 && Number.isFinite(seconds) && seconds >= 0;
  return { text: field.slice(0, mark).trim(), durationSeconds: isDuration ? seconds : undefined };
}

function splitFields(line: string): string[] {
  const fields = line.includes('"') ? splitQuoted(line) : line.split('|');
  for (let index = 0; index < fields.length; index += 1) fields[index] = fields[index]!.trim();
  return fields;
}

function splitQuoted(line: string): string[] {
  const fields: string[] = [];
  let at = 0;
  while (at <= line.length) {
    const pipe = line.indexOf('|', at);
    const plainEnd = pipe === -1 ? line.length : pipe;
    const quoted = /^\s*"/.test(line.slice(at, plainEnd)) ? quotedField(line, at) : undefined;
    fields.push(quoted?.text ?? line.slice(at, plainEnd));
    at = (quoted?.end ?? plainEnd) + 1;
  }
  return fields;
}

/** A field in quotes from `start`; undefined when its quote does not end before a bare pipe: then it is plain text. */
function quotedField(line: string, start: number): { text: string; end: number } | undefined {
  let text = '';
  let at = line.indexOf('"', start) + 1;
  for (; at < line.length && line[at] !== '|'; at += 1) {
    if (line[at] === '\\') {
      at += 1;
      text += line[at] ?? '';
      continue;
    }
    if (line[at] === '"') {
      let end = at + 1;
      while (line[end] === ' ' || line[end] === '\t') end += 1;
      if (end >= line.length || line[end] === '|') return { text, end };
    }
    text += line[at];
  }
  return undefined;
}
