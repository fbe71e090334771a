/** A TCP connection to a device or a gateway. */
import { MillwrightError } from '../../base/errors.ts';
import type { BytePort, PortEvents } from './port.ts';

/** A read takes at most so many bytes: the buffer is the connection's for its whole life. */
const READ_BYTES = 4 * 1024;
/** After so much silence TCP probes the peer. */
const KEEP_ALIVE_DELAY_MS = 30_000;

export interface TcpPlace {
  readonly host: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
}

export function openTcpPort(
  { host, port, connectTimeoutMs }: TcpPlace,
  events: PortEvents,
  signal: AbortSignal,
): Promise<BytePort> {
  const net = process.getBuiltinModule('node:net');
  const peer = `${host}:${port}`;
  return new Promise((resolve, reject) => {
    let isConnected = false;
    let isClosed = false;
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array): boolean => {
        if (!isClosed) events.data(Buffer.from(buffer.buffer, buffer.byteOffset, bytes));
        return true;
      },
    };
    const socket = net.connect({ host, port, onread, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS });
    socket.setNoDelay(true);
    const fail = (what: string, cause?: Error): void => {
      if (isClosed) return;
      isClosed = true;
      socket.destroy();
      const error = new MillwrightError('connection_failed', what, cause === undefined ? {} : { cause });
      if (isConnected) events.closed(error);
      else reject(error);
    };
    const timer = setTimeout(
      () => fail(`cannot connect to ${peer}: no answer within ${connectTimeoutMs} ms`),
      connectTimeoutMs,
    );
    const giveUp = (): void => fail(`connecting to ${peer} was given up`);
    signal.addEventListener('abort', giveUp);
    if (signal.aborted) giveUp();
    socket.on('connect', () => {
      signal.removeEventListener('abort', giveUp);
      isConnected = true;
      clearTimeout(timer);
      resolve({
        write: (bytes) => void socket.write(bytes),
        close: async () => {
          isClosed = true;
          socket.destroy();
        },
      });
    });
    socket.on('error', (error) =>
      fail(isConnected ? `the connection to ${peer} broke` : `cannot connect to ${peer}`, error),
    );
    socket.on('close', () => {
      clearTimeout(timer);
      fail(`${peer} closed the connection`);
    });
  });
}
