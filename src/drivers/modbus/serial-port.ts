/** A serial line. Its native package is loaded only here, when one is to be opened. */
import { messageOf, MillwrightError } from '../../base/errors.ts';
import type { SerialSettings } from './options.ts';
import type { BytePort, PortEvents } from './port.ts';

const READ_BYTES = 1024;

export async function openSerialPort(settings: SerialSettings, events: PortEvents): Promise<BytePort> {
  const { path } = settings;
  const line = await open(settings);
  keepAwake(line);
  let isClosed = false;
  const fail = (cause: unknown): void => {
    if (isClosed) return;
    isClosed = true;
    void line.close().catch(() => {});
    events.closed(new MillwrightError('connection_failed', `the serial line ${path} broke`, { cause }));
  };
  const read = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    while (!isClosed) {
      const { bytesRead } = await line.read(buffer, 0, READ_BYTES);
      if (!isClosed) events.data(buffer.subarray(0, bytesRead));
    }
  };
  void read().catch(fail);
  return {
    // An adapter that was pulled out is told by this: reading from it does not end.
    write: (bytes) => void line.write(bytes).catch(fail),
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await line.close();
    },
  };
}

/**
 * The package calls back from native code without telling Node that a turn of the event loop has begun, so what its
 * promises lead to would wait for the next thing that happens in the process, perhaps a timeout. An immediate happens at once.
 */
function keepAwake({ poller }: Line): void {
  for (const event of ['readable', 'writable']) poller?.on(event, () => void setImmediate(() => {}));
}

/** The part of `@serialport/bindings-cpp` that is used, on each platform. */
interface Line {
  read(buffer: Buffer, offset: number, length: number): Promise<{ bytesRead: number }>;
  write(buffer: Buffer): Promise<void>;
  close(): Promise<void>;
  /** On Linux and macOS. */
  readonly poller?: { on(event: string, listener: () => void): unknown };
}

async function open({ path, baudRate, parity, stopBits }: SerialSettings): Promise<Line> {
  let binding: { open(options: object): Promise<Line> };
  try {
    const { autoDetect } = await import('@serialport/bindings-cpp');
    binding = autoDetect();
  } catch (cause) {
    throw new MillwrightError('config_invalid', 'there is no serial port support for this platform', { cause });
  }
  try {
    return await binding.open({ path, baudRate, dataBits: 8, parity, stopBits, lock: true });
  } catch (cause) {
    // The package's own words name the path and the reason.
    throw new MillwrightError('connection_failed', `cannot open the serial line ${path}: ${messageOf(cause)}`);
  }
}
