/**
 * Simulated machines that are read over Modbus TCP: unit 1 is the first, unit 2 the second, and so on. Holding registers
 * (function 3), numbers of two registers with the more significant first:
 *
 *     0  state: 0 offline, 1 idle, 2 running, 3 hold, 4 alarm, 5 setup     10  feed rate, mm/min (float32)
 *     1  number of the alarm; 0: none                                      12  X, mm (float32)
 *     2  program line (int32)                                              14  Y, mm (float32)
 *     4  parts finished (uint32)                                           16  Z, mm (float32)
 *     6  spindle speed, rpm (float32)                                      18  temperature, °C (float32)
 *     8  spindle load, % (float32)                                         20  total power, kW (float32)
 *
 * That is the profile CNC of the driver `modbus`. Another function is answered with exception 1, another register with 2,
 * another unit not at all.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { MachineState } from '../model/signals.ts';
import { machineAt, type MachineValues } from './machine.ts';

export interface ModbusMachinesOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly machines: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ModbusMachines {
  readonly port: number;
  close(): Promise<void>;
}

const STATE_NUMBERS: Readonly<Record<MachineState, number>> = {
  offline: 0,
  idle: 1,
  running: 2,
  hold: 3,
  alarm: 4,
  setup: 5,
};
const REGISTERS = 22;
/** MBAP header with the unit, function, address and count. */
const REQUEST_BYTES = 12;
const READ_HOLDING_REGISTERS = 3;
const REGISTERS_OF_A_REQUEST_MAX = 125;
/** How far into its cycle each machine is before the next one. */
const PHASE_SECONDS = 17;

/** @throws port_unavailable */
export async function startModbusMachines(options: ModbusMachinesOptions): Promise<ModbusMachines> {
  const { host, port, machines, clock, log } = options;
  const startedMs = clock.monotonicMs();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    let rest: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= REQUEST_BYTES) {
        const seconds = (clock.monotonicMs() - startedMs) / 1000;
        const answer = answerTo(rest.subarray(0, REQUEST_BYTES), machines, seconds);
        if (answer === undefined) return void socket.destroy();
        socket.write(answer);
        rest = rest.subarray(REQUEST_BYTES);
      }
    });
  });
  const listening = await listen(server, host, port);
  log.info('the machines can be read', { host, port: listening, units: `1 to ${machines}`, profile: 'CNC' });
  return {
    port: listening,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Undefined for what is no request to read; nothing for a unit that is not there. */
function answerTo(request: Buffer, machines: number, seconds: number): Buffer | undefined {
  if (request.readUInt16BE(2) !== 0 || request.readUInt16BE(4) !== REQUEST_BYTES - 6) return undefined;
  const unit = request.readUInt8(6);
  const code = request.readUInt8(7);
  const [address, count] = [request.readUInt16BE(8), request.readUInt16BE(10)];
  if (unit < 1 || unit > machines) return Buffer.alloc(0);
  const exception = (number: number): Buffer => withHeader(request, Buffer.from([code | 0x80, number]));
  if (code !== READ_HOLDING_REGISTERS) return exception(1);
  if (count < 1 || count > REGISTERS_OF_A_REQUEST_MAX) return exception(3);
  if (address + count > REGISTERS) return exception(2);
  const values = machineAt({ seed: unit, phaseSeconds: (unit - 1) * PHASE_SECONDS }, seconds);
  const data = registersOf(values).subarray(address * 2, (address + count) * 2);
  return withHeader(request, Buffer.concat([Buffer.from([code, data.length]), data]));
}

function withHeader(request: Buffer, pdu: Buffer): Buffer {
  const header = Buffer.from(request.subarray(0, 7));
  header.writeUInt16BE(pdu.length + 1, 4);
  return Buffer.concat([header, pdu]);
}

function registersOf(values: MachineValues): Buffer {
  const registers = Buffer.alloc(REGISTERS * 2);
  const putFloat = (register: number, value: number): void => void registers.writeFloatBE(value, register * 2);
  registers.writeUInt16BE(STATE_NUMBERS[values.state], 0);
  registers.writeUInt16BE(Number(values.alarm?.code ?? 0), 2);
  registers.writeInt32BE(values.programLine, 4);
  registers.writeUInt32BE(values.partCount, 8);
  putFloat(6, values.spindleSpeedRpm);
  putFloat(8, values.spindleLoadPercent);
  putFloat(10, values.feedRateMmPerMin);
  putFloat(12, values.xMm);
  putFloat(14, values.yMm);
  putFloat(16, values.zMm);
  putFloat(18, values.temperatureC);
  putFloat(20, values.powerKw);
  return registers;
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new MillwrightError('port_unavailable', `cannot listen on ${host}:${port}`, { cause })),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
