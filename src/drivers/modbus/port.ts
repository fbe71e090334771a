/** What carries bytes to the units and back: a TCP connection or a serial line. Opened by `tcp-port.ts`, `serial-port.ts`. */
import type { MillwrightError } from '../../base/errors.ts';

export interface BytePort {
  write(bytes: Buffer): void;
  /** No event comes any more once it is called. */
  close(): Promise<void>;
}

export interface PortEvents {
  /** The memory is used again after the call. */
  data(bytes: Buffer): void;
  /** The port is gone, by itself or by a fault. Once. */
  closed(error: MillwrightError): void;
}

/**
 * Ends soon after the signal is aborted, before it is open; then the port is closed.
 * @throws connection_failed; config_invalid where trying again does not help
 */
export type OpenPort = (events: PortEvents, signal: AbortSignal) => Promise<BytePort>;
