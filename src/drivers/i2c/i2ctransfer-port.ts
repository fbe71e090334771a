/**
 * The bus by `i2ctransfer` of Debian's `i2c-tools` (4.3 and 4.4 alike), one process for a transfer (decision 026).
 *
 *     i2ctransfer -y 1 w1@0x48 0x0f r2@0x48        →  0x01 0x17        a line for each message that reads
 *
 * The kernel lets one transfer after the other onto a bus, so processes of several sensors need no order among them.
 */
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { MillwrightError } from '../../base/errors.ts';
import type { I2cPort, Message } from './port.ts';

/** Longest time of a transfer; a bus that is stuck is given up by the kernel after a second mostly. */
export const TRANSFER_MS_MAX = 3_000;
const OUTPUT_BYTES_MAX = 64 * 1024;
const STDERR_CHARS_MAX = 300;
/** Debian has the program where only root looks. */
const FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export class I2ctransferPort implements I2cPort {
  readonly #bus: number;
  readonly #tool: string;

  constructor({ bus, tool }: { readonly bus: number; readonly tool: string }) {
    this.#bus = bus;
    this.#tool = tool;
  }

  async transfer(address: number, messages: readonly Message[], signal: AbortSignal): Promise<readonly Buffer[]> {
    const output = await this.#run(['-y', String(this.#bus), ...describeMessages(address, messages)], signal);
    return parseOutput(output, messages);
  }

  #run(args: readonly string[], signal: AbortSignal): Promise<string> {
    const environment = { ...process.env, LC_ALL: 'C', PATH: [process.env['PATH'] ?? '', ...FOLDERS].join(':') };
    const options = {
      env: environment,
      timeout: TRANSFER_MS_MAX,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES_MAX,
      signal,
    } as const;
    return new Promise((resolve, reject) => {
      execFile(this.#tool, args, options, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        this.#failure(error, stderr).then(reject, reject);
      });
    });
  }

  async #failure(error: Error & { code?: unknown; killed?: boolean }, stderr: string): Promise<MillwrightError> {
    const path = `/dev/i2c-${this.#bus}`;
    if (error.code === 'ENOENT') {
      return new MillwrightError('config_invalid', `there is no program ${this.#tool}: install i2c-tools`);
    }
    const refused = await access(path, constants.R_OK | constants.W_OK).then(
      () => undefined,
      (reason: NodeJS.ErrnoException) => reason.code,
    );
    if (refused === 'EACCES' || refused === 'EPERM') {
      const text = `${path} may not be used: add the user that the edge runs as to the group i2c`;
      return new MillwrightError('config_invalid', text);
    }
    const hint = refused === 'ENOENT' ? `; is I2C switched on, so that there is ${path}?` : '';
    const said = stderr
      .trim()
      .slice(0, STDERR_CHARS_MAX)
      .replace(/^Error: /, '');
    const late = `no answer within ${TRANSFER_MS_MAX} ms`;
    const reason = error.killed === true ? late : said === '' ? error.message.slice(0, STDERR_CHARS_MAX) : said;
    return new MillwrightError('connection_failed', `i2ctransfer: ${reason}${hint}`);
  }
}

/** The program's arguments for them. */
export function describeMessages(address: number, messages: readonly Message[]): string[] {
  return messages.flatMap((message) => {
    if ('read' in message) return [`r${message.read}@${hex(address)}`];
    return [`w${message.write.length}@${hex(address)}`, ...message.write.map(hex)];
  });
}

/** @throws protocol_violation unless it is as many bytes as were asked for */
export function parseOutput(output: string, messages: readonly Message[]): Buffer[] {
  const lengths = messages.flatMap((message) => ('read' in message ? [message.read] : []));
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const buffers = lines.map((line) => {
    const bytes = line.trim().split(/\s+/);
    if (!bytes.every((byte) => /^0x[0-9a-f]{2}$/.test(byte))) throw violation(line);
    return Buffer.from(bytes.map(Number));
  });
  const isWhole = buffers.length === lengths.length && buffers.every(({ length }, index) => length === lengths[index]);
  if (!isWhole) throw violation(output);
  return buffers;
}

function violation(text: string): MillwrightError {
  return new MillwrightError('protocol_violation', `i2ctransfer said ${JSON.stringify(text.slice(0, 80))}`);
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
