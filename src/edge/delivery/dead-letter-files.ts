/** Reads the dead letters of an edge, whether or not it runs: for `millwright dead-letters list | export`. */
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { FileHandle, Files } from '../../base/files.ts';
import { isSystemError } from '../../base/node-files.ts';
import { BATCH_BYTES_MAX } from '../../model/batch.ts';
import { decodeMessage } from '../../model/frame.ts';
import { type DeadLetterLine, deadLetterNames, deadLettersFolder, NEW_LINE } from './dead-letters.ts';

const READ_BYTES: number = 1024 * 1024;
/** The longest payload in base64, and as much again for the rest. */
const LINE_BYTES_MAX: number = 2 * BATCH_BYTES_MAX;
/** Of a table's column. */
const REASON_LENGTH_MAX = 100;

export interface DeadLetter {
  readonly sink: string;
  readonly line: DeadLetterLine;
}

/** The sinks that have dead letters, in the order of their names. @throws not_found for a folder that has none */
export async function sinksWithDeadLetters(files: Files, logFolder: string, only?: string): Promise<string[]> {
  const names = await files.list(deadLettersFolder(logFolder));
  const sinks = new Set<string>();
  for (const name of names) {
    if (name.endsWith('.ndjson')) sinks.add(decodeURIComponent(name.slice(0, name.indexOf('.'))));
  }
  const wanted = [...sinks].filter((sink) => only === undefined || sink === only).sort();
  if (wanted.length > 0) return wanted;
  const whose = only === undefined ? '' : ` of a sink named ${JSON.stringify(only)}`;
  throw new MillwrightError('not_found', `there are no dead letters${whose} in ${logFolder}`);
}

/** Every dead letter of the sink, oldest first. */
export async function* deadLetters(files: Files, logFolder: string, sink: string): AsyncGenerator<DeadLetter> {
  const { replay, refused, old, current } = deadLetterNames(sink);
  for (const name of [refused, replay, old, current]) {
    for await (const line of linesOf(files, `${deadLettersFolder(logFolder)}/${name}`)) yield { sink, line };
  }
}

/**
 * The whole lines of a file that may be written to meanwhile; none where it does not exist.
 * @throws storage_failed for a line that is no dead letter
 */
export async function* linesOf(files: Files, path: string): AsyncGenerator<DeadLetterLine> {
  let handle: FileHandle;
  try {
    handle = await files.open(path, 'read');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    throw error;
  }
  try {
    let rest = Buffer.alloc(0);
    for (let offset = 0; ; ) {
      const chunk = Buffer.alloc(READ_BYTES);
      const got = await handle.read(chunk, offset);
      if (got === 0) return;
      offset += got;
      rest = Buffer.concat([rest, chunk.subarray(0, got)]);
      for (let end = rest.indexOf(NEW_LINE); end >= 0; end = rest.indexOf(NEW_LINE)) {
        yield parseLine(rest.subarray(0, end), path);
        rest = rest.subarray(end + 1);
      }
      if (rest.length > LINE_BYTES_MAX) throw noDeadLetter(path, 'a line is too long');
    }
  } finally {
    await handle.close();
  }
}

function parseLine(bytes: Buffer, path: string): DeadLetterLine {
  try {
    const line: DeadLetterLine = JSON.parse(bytes.toString('utf8'));
    const { gateway_id, epoch, sequence, index = 0, readings, payload_base64, time, reason } = line;
    const texts = [gateway_id, epoch, payload_base64, time, reason];
    if (texts.every((text) => typeof text === 'string') && [sequence, index, readings].every(Number.isSafeInteger))
      return line;
  } catch (error) {
    throw noDeadLetter(path, messageOf(error));
  }
  throw noDeadLetter(path, 'a field is missing');
}

function noDeadLetter(path: string, why: string): MillwrightError {
  return new MillwrightError(
    'storage_failed',
    `${path} holds a line that is no dead letter (${why}); repair or move it`,
  );
}

/** One line of a table. */
export function describeDeadLetter({ sink, line }: DeadLetter): string {
  const { time, sequence, readings, reason } = line;
  const [first = ''] = reason.slice(0, REASON_LENGTH_MAX).split('\n');
  return `${time}  ${sink.padEnd(12)}  ${String(sequence).padStart(10)}  ${String(readings).padStart(8)}  ${first}\n`;
}

export const DEAD_LETTERS_TITLE: string = `${'time'.padEnd(27)}  ${'sink'.padEnd(12)}  ${'sequence'.padStart(10)}  ${'readings'.padStart(8)}  reason\n`;

/** Every reading of the batch as a line of JSON, with the reason; what is no reading comes as its bytes. */
export function* exportedLines({ sink, line }: DeadLetter): Generator<string> {
  const { time, reason, gateway_id, epoch, sequence, index, payload_base64 } = line;
  const about = { time, sink, reason, gateway_id, epoch, sequence, index };
  const { readings, faults } = decodeMessage(Buffer.from(payload_base64, 'base64'));
  for (const reading of readings) yield `${JSON.stringify({ ...about, reading })}\n`;
  for (const { reason: fault, bytes } of faults) {
    yield `${JSON.stringify({ ...about, fault, bytes_base64: Buffer.from(bytes).toString('base64') })}\n`;
  }
}
