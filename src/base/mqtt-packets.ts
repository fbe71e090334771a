/**
 * A broker's bytes to MQTT packets, in whatever pieces they come. Pure.
 *
 * A packet is read when it is whole, and by the library; here is how long it is (MQTT 5, 2.1.4), that it is not too long,
 * and that it has what it must have: the library passes on packets that are cut short.
 */
import type { Packet } from 'mqtt-packet';
import { MillwrightError, messageOf } from './errors.ts';

/** Longest packet that is taken, without its header. */
export const PACKET_BYTES_MAX: number = 4 * 1024 * 1024;
const LENGTH_BYTES_MAX = 4;
const PUBLISH = 3;
const PUBACK = 4;
const PACKET_IDS = 65_535;

export type PacketLibrary = typeof import('mqtt-packet');

export class PacketReader {
  readonly #parser: ReturnType<PacketLibrary['parser']>;
  readonly #protocolVersion: 4 | 5;
  /** What was received and is no whole packet yet. */
  #pieces: Buffer[] = [];
  #length = 0;
  /** So many bytes there must be before it is worth looking again. */
  #wanted = 1;
  #found: Packet | undefined;
  #fault: Error | undefined;

  constructor(library: PacketLibrary, protocolVersion: 4 | 5) {
    this.#protocolVersion = protocolVersion;
    this.#parser = library.parser({ protocolVersion });
    this.#parser.on('packet', (packet) => (this.#found = packet));
    this.#parser.on('error', (error: Error) => (this.#fault = error));
  }

  /** `take` is called for each packet that is whole now. @throws protocol_violation; the reader is of no use then */
  push(chunk: Buffer, take: (packet: Packet) => void): void {
    this.#length += chunk.length;
    if (this.#length < this.#wanted) {
      this.#pieces.push(Buffer.from(chunk));
      return;
    }
    const bytes = this.#pieces.length === 0 ? chunk : Buffer.concat([...this.#pieces, chunk]);
    let offset = 0;
    let length = packetLength(bytes, offset);
    while (length !== undefined && offset + length <= bytes.length) {
      take(this.#packetIn(bytes.subarray(offset, offset + length)));
      offset += length;
      length = packetLength(bytes, offset);
    }
    // A copy: what is left must not keep the whole.
    const rest = Buffer.from(bytes.subarray(offset));
    this.#pieces = [rest];
    this.#length = rest.length;
    this.#wanted = length ?? rest.length + 1;
  }

  #packetIn(bytes: Buffer): Packet {
    // The library refuses reasons that are not in the table of PUBACK; mosquitto says 149 all the same.
    if (bytes[0] === PUBACK << 4) return pubackIn(bytes);
    this.#found = undefined;
    this.#fault = undefined;
    try {
      this.#parser.parse(bytes);
    } catch (cause) {
      throw violation(messageOf(cause), cause);
    }
    const { found, fault } = this.#taken();
    if (fault !== undefined) throw violation(messageOf(fault), fault);
    if (found === undefined) throw violation('a packet that is cut short');
    const missing = missingIn(found, this.#protocolVersion);
    if (missing !== undefined) throw violation(`${found.cmd} without ${missing}`);
    return found;
  }

  /** What the library has told of the packet. */
  #taken(): { readonly found: Packet | undefined; readonly fault: Error | undefined } {
    return { found: this.#found, fault: this.#fault };
  }
}

export interface Publication {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Of quality 1. */
  readonly messageId?: number;
}

/**
 * MQTT 5, 3.3. Not by the library: it keeps a small buffer for each length that a packet ever had, and each of them holds
 * the memory from which it was cut, 8 KiB or more.
 */
export function publishBytes(publication: Publication, protocolVersion: 4 | 5): Buffer {
  const { topic, payload, qos, retain, messageId = 0 } = publication;
  const topicLength = Buffer.byteLength(topic);
  const length = 2 + topicLength + (qos === 0 ? 0 : 2) + (protocolVersion === 5 ? 1 : 0) + payload.length;
  const bytes = Buffer.allocUnsafe(1 + LENGTH_BYTES_MAX + length);
  let at = bytes.writeUInt8((PUBLISH << 4) | (qos << 1) | (retain ? 1 : 0), 0);
  let rest = length;
  do {
    at = bytes.writeUInt8((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0), at);
    rest >>= 7;
  } while (rest > 0);
  at = bytes.writeUInt16BE(topicLength, at);
  at += bytes.write(topic, at);
  if (qos > 0) at = bytes.writeUInt16BE(messageId, at);
  // No properties.
  if (protocolVersion === 5) at = bytes.writeUInt8(0, at);
  bytes.set(payload, at);
  return bytes.subarray(0, at + payload.length);
}

function pubackIn(bytes: Buffer): Packet {
  const body = bytes.subarray(bytes.findIndex((byte, index) => index > 0 && byte < 0x80) + 1);
  const messageId = body.length < 2 ? 0 : body.readUInt16BE(0);
  if (messageId === 0) throw violation('puback without a packet id');
  return { cmd: 'puback', messageId, reasonCode: body[2] ?? 0 };
}

/** What the packet must have and has not; undefined: nothing. */
function missingIn(packet: Packet, protocolVersion: 4 | 5): string | undefined {
  switch (packet.cmd) {
    case 'connack':
      return typeof (protocolVersion === 5 ? packet.reasonCode : packet.returnCode) === 'number' ? undefined : 'a code';
    case 'publish':
      // An alias instead of the topic would have to be allowed by us.
      if (packet.topic === '') return 'a topic';
      return packet.qos === 0 || isPacketId(packet.messageId) ? undefined : 'a packet id';
    case 'suback':
    case 'unsuback':
    case 'pubrel':
      return isPacketId(packet.messageId) ? undefined : 'a packet id';
    default:
      return undefined;
  }
}

function isPacketId(id: number | undefined): boolean {
  return id !== undefined && id > 0 && id <= PACKET_IDS;
}

/** Of the packet that begins there, with its header; undefined: it is not all there yet. */
function packetLength(bytes: Buffer, offset: number): number | undefined {
  let length = 0;
  for (let index = 1; index <= LENGTH_BYTES_MAX; index += 1) {
    const byte = bytes[offset + index];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** (index - 1);
    if (length > PACKET_BYTES_MAX) break;
    if (byte < 0x80) return index + 1 + length;
  }
  throw violation(`a packet of more than ${PACKET_BYTES_MAX} bytes`);
}

function violation(what: string, cause?: unknown): MillwrightError {
  return new MillwrightError('protocol_violation', `sent ${what}`, cause === undefined ? {} : { cause });
}
