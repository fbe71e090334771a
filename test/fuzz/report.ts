/** What came of it, as text for a terminal and as a page: `docs/fuzzing.md`. */
import os from 'node:os';
import { type FuzzResult, GROWTH_BYTES_MAX, growthOf, HANG_MS } from './engine.ts';
import { STUCK_MS } from './watchdog.ts';

/** Of a failing input, as it is shown. */
const SHOWN_BYTES_MAX = 2_000;
/** Kinds of refusals that the page names for each codec. */
const REASONS_SHOWN = 12;

export interface CodecReport {
  readonly name: string;
  readonly about: string;
  /** Undefined: its process ended before it was through. */
  readonly result: FuzzResult | undefined;
}

/** @param replay the command that repeats an input, with `#` for its number */
export function textReport({ name, result }: CodecReport, replay: string): string {
  if (result === undefined) return `${name}: ENDED BEFORE IT WAS THROUGH\n`;
  const { inputs, accepted, tookMs, slowestMs, memoryBytes, failures } = result;
  const figures = [
    `${inputs} inputs, ${accepted} accepted`,
    [...result.codes].map(([code, count]) => `${code} ${count}`).join(', '),
    `${(tookMs / 1000).toFixed(1)} s, slowest ${slowestMs.toFixed(1)} ms`,
    `memory ${memoryBytes.map(megabytes).join(' → ')} MB`,
  ];
  const lines = [`${name}: ${figures.join('; ')}`];
  for (const { input, what, stack, bytes } of failures) {
    lines.push(`  FOUND ${what}`, `    ${replay.replace('#', String(input))}`);
    lines.push(`    shortest: ${JSON.stringify(bytes.toString('latin1')).slice(0, SHOWN_BYTES_MAX)}`, stack);
  }
  return `${lines.join('\n')}\n`;
}

export function markdownReport(
  reports: readonly CodecReport[],
  { inputs, seed, isWhole }: { readonly inputs: number; readonly seed: number; readonly isWhole: boolean },
): string {
  return `# Fuzzing

Every codec that reads what others wrote is fed ${thousands(inputs)} inputs: bytes of chance, inputs made by the rules of its
format, and real ones that were changed: bits flipped, parts cut, doubled, exchanged, two inputs spliced, numbers made
huge, negative or none, storms of delimiters, long runs, deep nesting, what is no UTF-8. What streams is read in one piece
and in pieces, and must give the same. An input is read, or refused with a coded error or by the codec's own word for a
fault. A finding is all else: another error, a reading that the hub would refuse or that no frame holds, an input that
takes more than ${HANG_MS} ms of the processor (after ${STUCK_MS / 1000} s its process is ended), and memory that grows by more than
${GROWTH_BYTES_MAX / 1024 / 1024} MiB from the first quarter to the end, after garbage collection.

    npm run fuzz -- --inputs ${inputs} --seed ${seed}

Each input follows from the seed and its number: \`npm run fuzz -- CODEC --seed ${seed} --at NUMBER\` repeats one. A failing
input is made as short as it can be, and printed with the line that repeats it. \`npm test\` feeds each codec some thousand
inputs: always the same, and others with a seed that is printed.

${isWhole ? 'Nothing was found.' : '**There are findings.**'} (What was found on the way here is mended, with tests.)

| codec | inputs | mean length, bytes | accepted whole | µs an input | slowest, ms | memory, MB: start, quarters, end | growth, KiB |
|---|---:|---:|---:|---:|---:|---|---:|
${reports.map(row).join('\n')}

"Accepted whole": nothing of the input was refused. An input of several lines, rows or frames counts as refused when one
of them is. The slowest input is so slow by its length, or because the machine did something else.

## What was read, and what was refused

${reports.map(section).join('\n')}
Node ${process.versions.node}, ${os.type()} ${os.arch()}, ${os.availableParallelism()} cores, shared with other work.
`;
}

function row({ name, result }: CodecReport): string {
  if (result === undefined) return `| \`${name}\` | ended before it was through | | | | | | |`;
  const { inputs, bytes, accepted, tookMs, slowestMs, memoryBytes } = result;
  const cells = [
    thousands(inputs),
    Math.round(bytes / inputs),
    thousands(accepted),
    Math.round((tookMs * 1000) / inputs),
    slowestMs.toFixed(0),
    memoryBytes.map(megabytes).join(', '),
    Math.round(growthOf(memoryBytes) / 1024),
  ];
  return `| \`${name}\` | ${cells.join(' | ')} |`;
}

function section({ name, about, result }: CodecReport): string {
  if (result === undefined) return '';
  const codes = [...result.codes].map(([code, count]) => `\`${code}\` ${thousands(count)}`);
  const reasons = [...result.reasons].sort(([, a], [, b]) => b - a).slice(0, REASONS_SHOWN);
  const listed = reasons.map(([reason, count]) => `- ${thousands(count)}: ${escaped(reason)}`);
  const none = 'Nothing is refused: what does not fit is passed over.';
  return `### \`${name}\`

${about.slice(0, 1).toUpperCase()}${about.slice(1)}.

Refused: ${codes.length === 0 ? none : `${codes.join(', ')}. The most frequent of ${result.reasons.size} kinds:`}

${listed.join('\n')}
`;
}

function escaped(text: string): string {
  return text.replaceAll(/[<>|*_`[\]]/g, '\\$&');
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function thousands(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}
