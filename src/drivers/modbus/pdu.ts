/**
 * Modbus requests that read, and what is answered to them. Pure: bytes in, values out.
 *
 * Layout of MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.4 and 7; all numbers big-endian:
 *
 *     request    function (1)  address (2)  count (2)
 *     answer     function (1)  bytes (1)  data; bits begin with the least significant of the first byte
 *     exception  function + 0x80 (1)  code (1)
 */
import { MillwrightError } from '../../base/errors.ts';

export const FUNCTION_CODES = [1, 2, 3, 4] as const;
export type FunctionCode = (typeof FUNCTION_CODES)[number];

/** What one request may ask for. */
export const REGISTERS_MAX = 125;
export const BITS_MAX = 2000;
export const ADDRESS_MAX = 0xffff;

/** In the function code of an answer. */
export const EXCEPTION_FLAG = 0x80;

/** One request. */
export interface ReadRequest {
  readonly function: FunctionCode;
  readonly address: number;
  /** Registers, or bits for functions 1 and 2. */
  readonly count: number;
}

const FUNCTION_NAMES: Readonly<Record<FunctionCode, { readonly one: string; readonly many: string }>> = {
  1: { one: 'coil', many: 'coils' },
  2: { one: 'discrete input', many: 'discrete inputs' },
  3: { one: 'holding register', many: 'holding registers' },
  4: { one: 'input register', many: 'input registers' },
};

/** What the codes of exceptions mean, and to a person who has to do something about it. */
const EXCEPTIONS: { readonly [code: number]: string } = {
  1: 'illegal function: the device does not know this kind of register; try another function',
  2: 'illegal data address: the device has no such register; is it numbered from 0 or from 1?',
  3: 'illegal data value: the device does not take that many registers in one request; see max_registers',
  4: 'device failure: the device failed while it read',
  5: 'acknowledge: the device needs longer',
  6: 'device busy',
  7: 'negative acknowledge',
  8: 'memory parity error in the device',
  10: 'gateway path unavailable: the gateway has no way to this unit; see its settings',
  11: 'gateway target did not respond: the unit behind the gateway is off, or has another unit id',
};

export function isBits(code: FunctionCode): boolean {
  return code <= 2;
}

/** `holding registers 100 to 107`, numbered as the configuration does. */
export function describe({ function: code, address, count }: ReadRequest, base: 0 | 1 = 0): string {
  const { one, many } = FUNCTION_NAMES[code];
  const first = address + base;
  return count === 1 ? `${one} ${first}` : `${many} ${first} to ${first + count - 1}`;
}

/** A unit that answers that it will not or cannot. */
export class ModbusException extends MillwrightError {
  readonly exception: number;

  constructor(exception: number) {
    super(
      'protocol_violation',
      `exception ${exception}, ${EXCEPTIONS[exception] ?? 'which the standard does not have'}`,
    );
    this.exception = exception;
  }
}

/** Bytes of data in a good answer. */
export function answerBytes({ function: code, count }: ReadRequest): number {
  return isBits(code) ? Math.ceil(count / 8) : count * 2;
}

export function encodeRequest({ function: code, address, count }: ReadRequest): Buffer {
  const pdu = Buffer.allocUnsafe(5);
  pdu.writeUInt8(code, 0);
  pdu.writeUInt16BE(address, 1);
  pdu.writeUInt16BE(count, 3);
  return pdu;
}

/**
 * The data of an answer.
 * @throws ModbusException; protocol_violation for what is no answer to that request
 */
export function decodeAnswer(request: ReadRequest, pdu: Buffer): Buffer {
  const code = pdu[0];
  if (code === (request.function | EXCEPTION_FLAG) && pdu.length === 2) throw new ModbusException(pdu[1] ?? 0);
  const bytes = answerBytes(request);
  if (code !== request.function || pdu[1] !== bytes || pdu.length !== bytes + 2) {
    const text = `function ${code} with ${Math.max(0, pdu.length - 2)} bytes was answered to function ${request.function}`;
    throw new MillwrightError('protocol_violation', `${text}, to which ${bytes} bytes belong`);
  }
  return pdu.subarray(2);
}
