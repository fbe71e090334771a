/** Reads what a caller sent. Every refusal is `bad_request` with a sentence: what was found, and what is allowed. */
import { MillwrightError } from '../../base/errors.ts';
import { NAME_LENGTH_MAX } from '../../model/reading.ts';
import { EDGE_STATES, type EdgeStatus } from '../../model/status.ts';
import { microsOf, parseTimestamp, type Timestamp, timestampOf } from '../../model/time.ts';
import type { MachineFields, TimeWindow } from '../store/reader.ts';

export type Query = { readonly [name: string]: string | string[] | undefined };

/** The one value of a query parameter; undefined when it is absent or empty. */
export function parameter(query: Query, name: string): string | undefined {
  const value = query[name];
  if (Array.isArray(value)) throw bad(`${name} is given ${value.length} times; once is allowed`);
  return value === '' ? undefined : value;
}

export function timeParameter(query: Query, name: string): Timestamp | undefined {
  const text = parameter(query, name);
  if (text === undefined) return undefined;
  // A plus that was not escaped in the address has become a blank.
  const time = parseTimestamp(text.replace(/ (\d\d:?\d\d)$/, '+$1'));
  if (time !== undefined) return time;
  throw bad(
    `${name} is an RFC 3339 time with a zone, like 2026-01-01T08:00:00Z or 2026-01-01T09:00:00.5+01:00; found ${quote(text)}`,
  );
}

/** Both ends optional; refuses a window that ends before it starts. */
export function timeRange(query: Query): { start?: Timestamp; end?: Timestamp } {
  const start = timeParameter(query, 'start_time');
  const end = timeParameter(query, 'end_time');
  if (start !== undefined && end !== undefined && microsOf(start) > microsOf(end)) {
    throw bad(`start_time (${start}) is after end_time (${end})`);
  }
  return { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
}

/** The window asked for; what is absent is filled with now and so many seconds before the end. */
export function timeWindow(query: Query, nowMicros: number, lengthSeconds: number): TimeWindow & { openEnd: boolean } {
  const range = timeRange(query);
  const openEnd = range.end === undefined || microsOf(range.end) >= nowMicros;
  const end = range.end ?? timestampOf(Math.max(nowMicros, range.start === undefined ? 0 : microsOf(range.start)));
  return { start: range.start ?? timestampOf(microsOf(end) - lengthSeconds * 1e6), end, openEnd };
}

export function countParameter(
  query: Query,
  name: string,
  { standard, max }: { standard: number; max: number },
): number {
  return optionalCount(query, name, max) ?? standard;
}

/** undefined when it is absent or empty. */
export function optionalCount(query: Query, name: string, max: number): number | undefined {
  const text = parameter(query, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw bad(`${name} is a whole number from 1 to ${max}; found ${quote(text)}`);
}

/** One of a few words; undefined when it is absent or empty. */
export function choiceParameter<Word extends string>(
  query: Query,
  name: string,
  words: readonly Word[],
): Word | undefined {
  const text = parameter(query, name);
  const word = words.find((one) => one === text);
  if (text !== undefined && word === undefined)
    throw bad(`${name} is one of ${words.join(', ')}; found ${quote(text)}`);
  return word;
}

export function namesParameter(query: Query, name: string, max: number): string[] {
  const names = [...new Set((parameter(query, name) ?? '').split(',').filter((part) => part !== ''))];
  if (names.length === 0) throw bad(`${name} names at least one signal, like ${name}=temperature,spindle_speed`);
  if (names.length > max) throw bad(`${name} names at most ${max} signals; found ${names.length}`);
  return names.map((one) => checkedName(one, name));
}

/** The name of a part, a characteristic and the like; undefined when it is absent or empty. */
export function nameParameter(query: Query, name: string): string | undefined {
  const text = parameter(query, name);
  return text === undefined ? undefined : checkedName(text, name);
}

export function requiredName(query: Query, name: string): string {
  const text = nameParameter(query, name);
  if (text === undefined) throw bad(`${name} is required`);
  return text;
}

/** A machine's or gateway's name in the address. */
export function checkedName(text: string, place: string): string {
  if (text !== '' && text.length <= NAME_LENGTH_MAX && !text.includes('\0') && text.isWellFormed()) return text;
  throw bad(`${place} is text of 1 to ${NAME_LENGTH_MAX} characters; found ${quote(text)}`);
}

const MACHINE_KEYS = ['id', 'name', 'location', 'controller_type', 'max_spindle_speed_rpm', 'axis_count'];

export function parseMachine(body: unknown): MachineFields {
  const fields = objectOf(body, 'a machine');
  for (const key of Object.keys(fields)) {
    if (!MACHINE_KEYS.includes(key))
      throw bad(`${quote(key)} is not a key of a machine; known are ${MACHINE_KEYS.join(', ')}`);
  }
  const id = nameField(fields, 'id');
  if (id === null) throw bad('id is required: the machine_id that its readings carry');
  const speed = fields['max_spindle_speed_rpm'] ?? null;
  if (speed !== null && !(typeof speed === 'number' && Number.isFinite(speed) && speed >= 0)) {
    throw bad(`max_spindle_speed_rpm is a number from 0, or null; found ${quote(speed)}`);
  }
  const axes = fields['axis_count'] ?? null;
  if (axes !== null && !(typeof axes === 'number' && Number.isInteger(axes) && axes >= 0 && axes <= 100)) {
    throw bad(`axis_count is a whole number from 0 to 100, or null; found ${quote(axes)}`);
  }
  return {
    id,
    name: nameField(fields, 'name') ?? id,
    location: nameField(fields, 'location'),
    controller_type: nameField(fields, 'controller_type'),
    max_spindle_speed_rpm: speed,
    axis_count: axes,
  };
}

/** Checks what the hub itself works with; the rest of an edge's own words is passed on as it is. */
export function parseEdgeStatus(body: unknown, gatewayId: string): EdgeStatus {
  const status = objectOf(withoutUnstorable(body), 'a status');
  if (status['gateway_id'] !== gatewayId) {
    throw bad(`gateway_id is the gateway of the address, ${quote(gatewayId)}; found ${quote(status['gateway_id'])}`);
  }
  const sentAt = typeof status['sent_at'] === 'string' ? parseTimestamp(status['sent_at']) : undefined;
  if (sentAt === undefined) throw bad(`sent_at is an RFC 3339 time; found ${quote(status['sent_at'])}`);
  if (!EDGE_STATES.some((state) => state === status['state'])) {
    throw bad(`state is one of ${EDGE_STATES.join(', ')}; found ${quote(status['state'])}`);
  }
  objectOf(status['log'], 'log');
  for (const sink of listOf(status['sinks'], 'sinks')) objectOf(sink, 'each of sinks');
  for (const item of listOf(status['sources'], 'sources')) {
    const source = objectOf(item, 'each of sources');
    if (typeof source['machine_id'] !== 'string') throw bad('each of sources has a machine_id');
    const contact = source['last_contact'] ?? null;
    if (contact !== null && (typeof contact !== 'string' || parseTimestamp(contact) !== contact)) {
      throw bad(`last_contact is a time in UTC, or null; found ${quote(contact)}`);
    }
  }
  return { ...status, sent_at: sentAt } as EdgeStatus & typeof status;
}

function nameField(fields: { readonly [key: string]: unknown }, key: string): string | null {
  const value = fields[key] ?? null;
  if (value === null) return null;
  if (typeof value !== 'string') throw bad(`${key} is text; found ${quote(value)}`);
  return checkedName(value, key);
}

function objectOf(value: unknown, what: string): { [key: string]: unknown } {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw bad(`${what} is a JSON object; found ${quote(value)}`);
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw bad(`${what} is a JSON array; found ${quote(value)}`);
}

/** An edge quotes what peers said, and PostgreSQL keeps neither U+0000 nor half a surrogate pair. */
function withoutUnstorable(body: unknown): unknown {
  return JSON.parse(
    JSON.stringify(body ?? null, (_, value: unknown) => {
      return typeof value === 'string' ? value.replaceAll('\0', '').toWellFormed() : value;
    }),
  );
}

function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function bad(message: string): MillwrightError {
  return new MillwrightError('bad_request', message);
}
