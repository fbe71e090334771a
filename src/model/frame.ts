/**
 * Frames: the wire format of readings.
 *
 *     frame    = length(4, big-endian, unsigned) json(length bytes of UTF-8)
 *     message  = frame+                          one reading in each
 *
 * A message that begins with `{` is one bare JSON object, with `[` an array of them, from any publisher; as a length
 * those bytes would mean more than 1.5 GB, so the two cannot be confused.
 *
 * A length that does not fit, or of 0 (a file's hole), ends a message: nothing after it can be found. All else is told
 * frame by frame.
 */
import { decodeReading, jsonText, type Reading } from './reading.ts';

/** Bytes of the length before each frame. */
export const FRAME_HEADER_BYTES = 4;
/** Longest JSON text in one frame. */
export const FRAME_BYTES_MAX: number = 1024 * 1024;

/** How deep JSON text may nest at all: handling a value of a million levels takes the runtime many seconds. */
const NESTING_MAX = 250_000;

/** A part of a message that could not be understood. `offset` is in bytes from the message's start. */
export interface FrameFault {
  readonly offset: number;
  readonly reason: string;
  readonly bytes: Uint8Array;
}

export interface DecodedMessage {
  readonly readings: Reading[];
  readonly faults: FrameFault[];
}

const encoder = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** One frame of any JSON text. @throws RangeError when it is longer than {@link FRAME_BYTES_MAX} */
export function encodeFrame(value: unknown): Uint8Array {
  const json = encoder.encode(JSON.stringify(value));
  if (json.length > FRAME_BYTES_MAX)
    throw new RangeError(`a reading of ${json.length} bytes exceeds ${FRAME_BYTES_MAX}`);
  const frame = new Uint8Array(FRAME_HEADER_BYTES + json.length);
  new DataView(frame.buffer).setUint32(0, json.length);
  frame.set(json, FRAME_HEADER_BYTES);
  return frame;
}

/** Decodes a message of frames, or of bare JSON. Never throws. */
export function decodeMessage(message: Uint8Array): DecodedMessage {
  const first = message[0];
  if (first === 0x7b || first === 0x5b) return decodeBareJson(message);
  const readings: Reading[] = [];
  const faults: FrameFault[] = [];
  if (message.length === 0) faults.push({ offset: 0, reason: 'the message is empty', bytes: message });
  const buffer = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  let offset = 0;
  while (offset < message.length) {
    const end = frameEnd(message, offset);
    if (typeof end === 'string') {
      faults.push({ offset, reason: end, bytes: message.subarray(offset) });
      break;
    }
    const start = offset + FRAME_HEADER_BYTES;
    const json = utf8Text(buffer, start, end);
    const reason = json === undefined ? 'is not valid UTF-8' : decodeInto(readings, json);
    if (reason !== undefined) faults.push({ offset, reason, bytes: message.subarray(start, end) });
    offset = end;
  }
  return { readings, faults };
}

/** Each frame with its length, as a view of the message; ends where the message cannot be divided further. */
export function* framesOf(message: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < message.length; ) {
    const end = frameEnd(message, offset);
    if (typeof end === 'string') return;
    yield message.subarray(offset, end);
    offset = end;
  }
}

/** The offset after the frame at `offset`, or the sentence that says why there is none. */
export function frameEnd(message: Uint8Array, offset: number): number | string {
  const left = message.length - offset;
  if (left < FRAME_HEADER_BYTES) return `cut short: ${left} of the ${FRAME_HEADER_BYTES} bytes of a frame's length`;
  const length =
    ((message[offset]! << 24) | (message[offset + 1]! << 16) | (message[offset + 2]! << 8) | message[offset + 3]!) >>>
    0;
  if (length === 0) return "a frame's length of 0 bytes";
  if (length > FRAME_BYTES_MAX) return `a frame's length of ${length} bytes exceeds the limit of ${FRAME_BYTES_MAX}`;
  if (length > left - FRAME_HEADER_BYTES) {
    return `cut short: a frame of ${length} bytes, ${left - FRAME_HEADER_BYTES} of them there`;
  }
  return offset + FRAME_HEADER_BYTES + length;
}

function decodeBareJson(message: Uint8Array): DecodedMessage {
  const readings: Reading[] = [];
  const whole = (reason: string): DecodedMessage => ({ readings, faults: [{ offset: 0, reason, bytes: message }] });
  const json = utf8Text(Buffer.from(message), 0, message.length);
  if (json === undefined) return whole('is not valid UTF-8');
  if (nestsTooDeep(json)) return whole(TOO_DEEP);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    return whole(invalidJson(error));
  }
  const faults: FrameFault[] = [];
  for (const [index, item] of (Array.isArray(value) ? value : [value]).entries()) {
    const decoded = decodeReading(item);
    if ('reading' in decoded) readings.push(decoded.reading);
    else {
      const reason = faultText(decoded.fault, Array.isArray(value) ? `[${index}]` : '');
      const own = Array.isArray(value) ? jsonText(item) : undefined;
      faults.push({ offset: 0, reason, bytes: own === undefined ? message : encoder.encode(own) });
    }
  }
  return { readings, faults };
}

function decodeInto(readings: Reading[], json: string): string | undefined {
  if (nestsTooDeep(json)) return TOO_DEEP;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    return invalidJson(error);
  }
  const decoded = decodeReading(value);
  if ('fault' in decoded) return faultText(decoded.fault, '');
  readings.push(decoded.reading);
  return undefined;
}

function faultText(fault: { path: string; reason: string }, place: string): string {
  const path = [place, fault.path].filter((part) => part !== '').join('.');
  return path === '' ? fault.reason : `${path} ${fault.reason}`;
}

const TOO_DEEP = `nests deeper than ${NESTING_MAX} levels`;

function nestsTooDeep(json: string): boolean {
  if (json.length <= NESTING_MAX) return false;
  let depth = 0;
  let inString = false;
  for (let index = 0; index < json.length; index += 1) {
    switch (json.charCodeAt(index)) {
      case 0x22: // "
        inString = !inString;
        break;
      case 0x5c: // \\
        if (inString) index += 1;
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (!inString && (depth += 1) > NESTING_MAX) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        if (!inString) depth -= 1;
        break;
    }
  }
  return false;
}

/** A parser's message quotes what it found: a reason must be text that can be stored. */
function invalidJson(error: unknown): string {
  const text = (error as Error).message.replaceAll('\0', '\ufffd').toWellFormed();
  return `is not valid JSON: ${text}`;
}

/** Strict UTF-8; undefined where it is not. The quick way marks bad bytes with U+FFFD, and only then is it looked at twice. */
function utf8Text(buffer: Buffer, start: number, end: number): string | undefined {
  const text = buffer.toString('utf8', start, end);
  if (!text.includes('\ufffd')) return text;
  try {
    return strictUtf8.decode(buffer.subarray(start, end));
  } catch {
    return undefined;
  }
}
