/** The way to an MQTT broker: TCP, or TLS over it. */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { MillwrightError } from './errors.ts';
import type { TlsFiles } from './http-config.ts';
import { readNamedFile } from './named-file.ts';

const PORTS: { readonly [protocol: string]: number } = { 'mqtt:': 1883, 'mqtts:': 8883 };

export interface BrokerAddress {
  readonly url: string;
  readonly timeoutMs: number;
  readonly tls: TlsFiles;
}

/** For people, and without a password. */
export function placeOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${protocol}//${hostname}:${port === '' ? PORTS[protocol] : port}`;
}

/** Resolves when it is open, and with TLS agreed on. @throws connection_failed, and what {@link secureContextOf} throws */
export function openSocket(
  { url, timeoutMs, tls }: BrokerAddress,
  place: string,
  signal: AbortSignal,
): Promise<Socket> {
  const { protocol, hostname, port } = new URL(url);
  // Taken without importing them, as elsewhere at the edge.
  const net = process.getBuiltinModule('node:net');
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const target = { host, port: port === '' ? (PORTS[protocol] ?? 0) : Number(port) };
  const isTls = protocol === 'mqtts:';
  const socket = isTls
    ? process.getBuiltinModule('node:tls').connect({
        ...target,
        ...(net.isIP(host) === 0 && { servername: host }),
        secureContext: secureContextOf(tls),
      })
    : net.connect(target);
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    const giveUp = (what: string, cause?: Error): void => {
      end();
      socket.on('error', () => {}).destroy();
      reject(new MillwrightError('connection_failed', what, cause === undefined ? {} : { cause }));
    };
    const failed = (error: Error): void => giveUp(`cannot connect to ${place}`, error);
    const closed = (): void => giveUp(`${place} closed the connection`);
    const abort = (): void => giveUp('it was given up');
    const timer = setTimeout(() => giveUp(`cannot connect to ${place}: no answer within ${timeoutMs} ms`), timeoutMs);
    const opened = (): void => {
      end();
      resolve(socket);
    };
    const end = (): void => {
      clearTimeout(timer);
      socket
        .off('error', failed)
        .off('close', closed)
        .off(isTls ? 'secureConnect' : 'connect', opened);
      signal.removeEventListener('abort', abort);
    };
    socket
      .on('error', failed)
      .on('close', closed)
      .on(isTls ? 'secureConnect' : 'connect', opened);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
  });
}

/** @throws storage_failed; config_invalid for files that hold something else */
function secureContextOf({ caFile, certFile, keyFile }: TlsFiles): SecureContext {
  const files = {
    ...(caFile !== null && { ca: readFile(caFile) }),
    ...(certFile !== null && { cert: readFile(certFile) }),
    ...(keyFile !== null && { key: readFile(keyFile) }),
  };
  try {
    return process.getBuiltinModule('node:tls').createSecureContext(files);
  } catch (cause) {
    const names = [caFile, certFile, keyFile].filter((name) => name !== null).join(', ');
    throw new MillwrightError('config_invalid', `these are no certificates and their key: ${names}`, { cause });
  }
}

function readFile(path: string): Buffer {
  try {
    return readNamedFile(path);
  } catch (cause) {
    throw new MillwrightError('storage_failed', `the file ${path} cannot be read`, { cause });
  }
}
