/**
 * How requests and answers stand on a connection. Pure: bytes in, frames out.
 *
 *     Modbus TCP  transaction (2)  protocol, 0 (2)  length of what follows (2)  unit (1)  PDU
 *     RTU         unit (1)  PDU  CRC-16 (2, little-endian)
 *
 * (MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; MODBUS over Serial Line V1.02, 2.5.1)
 */
import { MillwrightError } from '../../base/errors.ts';
import { answerBytes, EXCEPTION_FLAG, type ReadRequest } from './pdu.ts';

const HEADER_BYTES = 7;
/** Of a PDU: what a serial line carries, and so TCP too. */
const PDU_BYTES_MAX = 253;
const CRC_BYTES = 2;
/** Of a frame on a line: an exception, and an answer without its data. */
const EXCEPTION_BYTES = 5;
const ANSWER_BYTES = 5;

/** One answer of Modbus TCP. */
export interface TcpFrame {
  readonly transaction: number;
  readonly unit: number;
  readonly pdu: Buffer;
}

export function encodeTcp(transaction: number, unit: number, pdu: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + pdu.length);
  frame.writeUInt16BE(transaction, 0);
  frame.writeUInt16BE(0, 2);
  frame.writeUInt16BE(pdu.length + 1, 4);
  frame.writeUInt8(unit, 6);
  pdu.copy(frame, HEADER_BYTES);
  return frame;
}

/** Cuts what arrives into frames, however it is divided into chunks. */
export class TcpFrames {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws protocol_violation for what is no Modbus TCP: no later byte of the connection can then be understood */
  push(chunk: Buffer): TcpFrame[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: TcpFrame[] = [];
    while (bytes.length >= HEADER_BYTES) {
      const length = bytes.readUInt16BE(4);
      if (bytes.readUInt16BE(2) !== 0 || length < 3 || length > PDU_BYTES_MAX + 1) {
        throw new MillwrightError('protocol_violation', 'what is answered is no Modbus TCP');
      }
      const end = HEADER_BYTES - 1 + length;
      if (bytes.length < end) break;
      frames.push({
        transaction: bytes.readUInt16BE(0),
        unit: bytes.readUInt8(6),
        pdu: Buffer.from(bytes.subarray(HEADER_BYTES, end)),
      });
      bytes = bytes.subarray(end);
    }
    // The chunk's memory is used again.
    this.#rest = Buffer.from(bytes);
    return frames;
  }
}

export function encodeRtu(unit: number, pdu: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(1 + pdu.length + CRC_BYTES);
  frame.writeUInt8(unit, 0);
  pdu.copy(frame, 1);
  frame.writeUInt16LE(crc16(frame.subarray(0, -CRC_BYTES)), frame.length - CRC_BYTES);
  return frame;
}

/** Bytes on the line for a request and its good answer. */
export function rtuBytes(request: ReadRequest): number {
  return 8 + 5 + answerBytes(request);
}

/**
 * Finds the answer to one request in what arrives on a serial line. Whatever else stands there is passed over: noise,
 * the echo of an adapter, answers of other units or of another length.
 */
export class RtuAnswer {
  readonly #unit: number;
  readonly #request: ReadRequest;
  /** From the first byte on with which the answer may still begin. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(unit: number, request: ReadRequest) {
    this.#unit = unit;
    this.#request = request;
  }

  /** The PDU, once it is there whole and its checksum fits. */
  push(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.#rest, chunk]);
    let open = bytes.length;
    for (let start = bytes.indexOf(this.#unit); start !== -1; start = bytes.indexOf(this.#unit, start + 1)) {
      const length = this.#lengthAt(bytes, start);
      const end = start + length;
      if (end > bytes.length) open = Math.min(open, start);
      if (length === 0 || end > bytes.length) continue;
      const crcAt = end - CRC_BYTES;
      if (crc16(bytes.subarray(start, crcAt)) !== bytes.readUInt16LE(crcAt)) continue;
      return Buffer.from(bytes.subarray(start + 1, crcAt));
    }
    this.#rest = bytes.subarray(open);
    return undefined;
  }

  /** Of the frame that begins there, as far as it is to be seen; 0 where none does that is awaited. */
  #lengthAt(line: Buffer, start: number): number {
    const code = line[start + 1];
    const bytes = answerBytes(this.#request);
    if (code === (this.#request.function | EXCEPTION_FLAG)) return EXCEPTION_BYTES;
    const isAwaited = (code ?? this.#request.function) === this.#request.function;
    return isAwaited && (line[start + 2] ?? bytes) === bytes ? ANSWER_BYTES + bytes : 0;
  }
}

/** CRC-16 of MODBUS over Serial Line V1.02, appendix B: polynomial 0xA001, reflected, begun with 0xFFFF. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (let index = 0; index < bytes.length; index += 1) {
    crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ (bytes[index] ?? 0)) & 0xff] ?? 0);
  }
  return crc;
}

const CRC_TABLE: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  return crc;
});
