/**
 * `npm run fuzz -- [CODEC ...] [--inputs N] [--seed S] [--jobs N] [--report FILE]`, or with `--at NUMBER` only that input;
 * exit code 1 when there was a finding. Each codec is fed in a process of its own, so that its memory is its own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Codec } from './codec.ts';
import { feed, fuzz, type FuzzResult, inputOf } from './engine.ts';
import { CODECS } from './registry.ts';
import { type CodecReport, markdownReport, textReport } from './report.ts';
import { startWatchdog } from './watchdog.ts';

const PROGRESS_MS = 1_000;

const { values, positionals } = given();
const names = positionals.length > 0 ? positionals : Object.keys(CODECS);
const [inputs, seed, jobs] = [Number(values.inputs), Number(values.seed), Number(values.jobs)];
const areKnown = names.every((name) => Object.hasOwn(CODECS, name));
if (!areKnown || !(inputs > 0) || !Number.isSafeInteger(seed) || !(jobs > 0)) refuse();

if (values.child) await runHere(names[0] ?? '');
else if (values.at !== undefined) await runOne(names[0] ?? '', Number(values.at));
else await runAll();

function given() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        inputs: { type: 'string', default: '1000000' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        jobs: { type: 'string', default: '2' },
        at: { type: 'string' },
        report: { type: 'string' },
        child: { type: 'boolean', default: false },
      },
    });
  } catch {
    return refuse();
  }
}

function refuse(): never {
  const usage = '[CODEC ...] [--inputs N] [--seed WHOLE-NUMBER] [--jobs N] [--at NUMBER] [--report FILE]';
  process.stderr.write(`usage: npm run fuzz -- ${usage}\nthere is ${Object.keys(CODECS).join(', ')}\n`);
  process.exit(2);
}

/** In a process of its own: tells its parent how far it is, and the result. */
async function runHere(name: string): Promise<void> {
  const codec = await codecNamed(name);
  const watchdog = startWatchdog(replayLine(name, '#'));
  let toldMs = 0;
  const progress = (done: number): void => {
    if (performance.now() - toldMs < PROGRESS_MS) return;
    toldMs = performance.now();
    process.send?.({ done });
  };
  const result = await fuzz({ codec, inputs, seed, progress, begins: (input) => watchdog.begins(input) });
  await watchdog.close();
  process.send?.({ result });
}

/** One input, with all that is to be seen of it. */
async function runOne(name: string, number: number): Promise<void> {
  const codec = await codecNamed(name);
  const { bytes, random } = inputOf(codec, seed, number);
  process.stdout.write(`${JSON.stringify(bytes.toString('latin1'))}\n`);
  const failure = await feed(codec, bytes, random);
  process.stdout.write(
    failure === undefined ? 'it is read, or refused with a code\n' : `${failure.what}\n${failure.stack}\n`,
  );
  process.exitCode = failure === undefined ? 0 : 1;
}

async function runAll(): Promise<void> {
  process.stdout.write(`seed ${seed}\n`);
  const reports: CodecReport[] = [];
  const left = [...names];
  const done = new Map<string, number>();
  const runNext = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const report = await runChild(name, (count) => {
        done.set(name ?? '', count);
        showProgress(done);
      });
      done.delete(name);
      reports.push(report);
      showProgress(new Map());
      process.stdout.write(textReport(report, replayLine(name, '#')));
    }
  };
  await Promise.all(Array.from({ length: jobs }, runNext));
  reports.sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
  const isWhole = reports.every(({ result }) => result !== undefined && result.failures.length === 0);
  process.exitCode = isWhole ? 0 : 1;
  process.stdout.write(isWhole ? 'nothing was found\n' : 'THERE ARE FINDINGS\n');
  if (values.report !== undefined) writeFileSync(values.report, markdownReport(reports, { inputs, seed, isWhole }));
}

async function runChild(name: string, progress: (done: number) => void): Promise<CodecReport> {
  const { about } = await codecNamed(name);
  const args = ['--child', name, '--inputs', String(inputs), '--seed', String(seed)];
  // Maps do not survive JSON.
  const child: ChildProcess = fork(import.meta.filename, args, { serialization: 'advanced' });
  const stop = (): void => void child.kill();
  process.once('exit', stop);
  let result: FuzzResult | undefined;
  child.on('message', (message: { done?: number; result?: FuzzResult }) => {
    if (message.done !== undefined) progress(message.done);
    result ??= message.result;
  });
  await once(child, 'exit');
  process.removeListener('exit', stop);
  return { name, about, result };
}

function showProgress(done: ReadonlyMap<string, number>): void {
  if (!process.stdout.isTTY) return;
  const parts = [...done].map(([name, count]) => `${name} ${Math.floor((100 * count) / inputs)} %`);
  process.stdout.write(`\r\x1b[K${parts.join(', ')}`);
}

async function codecNamed(name: string): Promise<Codec> {
  const load = CODECS[name];
  if (load === undefined) throw new Error(`there is no codec ${name}`);
  return (await load()).codec;
}

function replayLine(name: string, input: string): string {
  return `npm run fuzz -- ${name} --seed ${seed} --at ${input}`;
}
