/** `millwright publish` and `millwright load`: what the command line does with a running system. */
import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import { systemClock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { EXIT_FAILED, exitCodeOf, runProcess } from '../base/process.ts';
import { seededRandom } from '../base/random.ts';
import { VERSION } from '../base/version.ts';
import { DEAD_LETTERS_LISTED_MAX } from '../load/checker.ts';
import { type LoadReport, runLoad } from '../load/load.ts';
import { publishReading, readingBytes } from '../load/one-reading.ts';
import { BATCH_MAX, type LoadSettings, MACHINES_MAX, PUBLISHERS_MAX, READINGS_OF_A_MACHINE_MAX } from '../load/plan.ts';
import { ProgressLine } from '../load/progress.ts';
import { describeReport, isAsPublished, reportPage } from '../load/report.ts';
import { type ConnectionOptions, hubOf, targetOf, toldAddress } from '../load/target.ts';
import { SIGNAL_NAMES } from '../model/signals.ts';

/** The reading arrived, and is or will be in the dead letters. */
export const EXIT_REFUSED = 3;

export interface PublishOptions extends ConnectionOptions {
  readonly json?: string;
  readonly machine?: string;
  readonly timestamp?: string;
  readonly id?: string;
  readonly subject: string;
  /** Signals, under their names in camel case. */
  readonly [option: string]: string | undefined;
}

export async function publish(options: PublishOptions): Promise<void> {
  const { json, machine, timestamp, id, subject } = options;
  try {
    const signals = Object.fromEntries(
      SIGNAL_NAMES.flatMap((name) => {
        const value = options[camelCase(name)];
        return value === undefined ? [] : [[name, value]];
      }),
    );
    const isInput = json === undefined && Object.keys(signals).length === 0;
    const text = isInput ? await input() : json;
    const bytes = readingBytes({ ...given({ json: text, machine, timestamp }), signals }, systemClock);
    const parts = { subject, id, clock: systemClock, random: Math.random };
    const published = await publishReading(targetOf(options), bytes, parts);
    process.stdout.write(`${published.text}\n`);
    if (published.isRefused) process.exitCode = EXIT_REFUSED;
  } catch (error) {
    if (!(error instanceof MillwrightError)) throw error;
    process.stderr.write(`not published: ${messageOf(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

/** @throws config_invalid when there is none */
async function input(): Promise<string> {
  const text = process.stdin.isTTY ? '' : await textOf(process.stdin);
  if (text.trim() !== '') return text;
  throw invalid('give a reading: --machine NAME with --temperature and so on, or --json, or on the standard input');
}

export interface LoadOptions extends ConnectionOptions {
  readonly hub?: string;
  readonly hubToken?: string;
  readonly machines?: number;
  readonly publishers: number;
  readonly rate: number | 'max';
  readonly count?: number;
  /** In milliseconds. */
  readonly duration?: number;
  readonly batch: number;
  readonly malformed: number;
  readonly run?: string;
  readonly seed?: number;
  readonly check: boolean;
  /** In milliseconds. */
  readonly patience: number;
  readonly report?: string;
  readonly json: boolean;
}

export async function load(options: LoadOptions): Promise<void> {
  const settings = settingsOf(options);
  const target = targetOf(options);
  const hub = options.check ? hubOf(hubOptions(options), '--hub') : null;
  const where = {
    target: toldAddress(target),
    hub: hub === null ? null : toldAddress({ kind: 'http', hub }),
    version: VERSION,
  };
  const logger = processLogger('info', true);
  let report: LoadReport | undefined;
  await runProcess(logger, async (stop) => {
    process.stderr.write(`run ${settings.run}, seed ${settings.seed}: publishing to ${where.target}\n`);
    const { isTTY: isTerminal, columns } = process.stderr;
    const write = (text: string): void => void process.stderr.write(text);
    const line = new ProgressLine({ isTerminal, columns: isTerminal ? columns : Number.POSITIVE_INFINITY, write });
    const parts = {
      clock: systemClock,
      random: seededRandom(settings.seed),
      onProgress: (progress: Parameters<ProgressLine['show']>[0]) => line.show(progress),
    };
    const order = { settings, target, hub, patienceMs: options.patience };
    report = await runLoad(order, parts, stop).finally(() => line.end());
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : describeReport(report, where));
    if (options.report !== undefined) await writeFile(options.report, reportPage(report, where));
  });
  if (report !== undefined && !isAsPublished(report)) process.exitCode ||= EXIT_FAILED;
}

const COUNT_STANDARD = 1_000;
/** Plain ASCII without a dot or a wildcard, so that it fits a subject, an address and a frame as it is. */
const RUN_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

function settingsOf(options: LoadOptions): LoadSettings {
  const { publishers, rate, count, duration, batch, malformed } = options;
  if (count !== undefined && duration !== undefined) throw invalid('give --count or --duration, not both');
  const run =
    options.run ??
    `LOAD-${randomInt(36 ** 5)
      .toString(36)
      .padStart(5, '0')}`;
  if (!RUN_NAME.test(run)) throw invalid(`--run: found "${run}"; allowed: up to 64 letters, digits, - and _`);
  if (malformed > DEAD_LETTERS_LISTED_MAX) {
    throw invalid(
      `--malformed: found ${malformed}; at most ${DEAD_LETTERS_LISTED_MAX}, as a hub lists no more dead letters`,
    );
  }
  for (const [option, value, max] of [
    ['--count', count, READINGS_OF_A_MACHINE_MAX],
    ['--machines', options.machines, MACHINES_MAX],
    ['--publishers', publishers, PUBLISHERS_MAX],
    ['--batch', batch, BATCH_MAX],
  ] as const) {
    if ((value ?? 0) > max) throw invalid(`${option}: found ${value}; at most ${max}`);
  }
  return {
    run,
    seed: options.seed ?? randomInt(2 ** 31),
    machines: options.machines ?? publishers,
    publishers,
    batch,
    rate: rate === 'max' ? null : rate,
    extent: duration === undefined ? { count: count ?? COUNT_STANDARD } : { durationMs: duration },
    malformed,
  };
}

/** With `--url` of a hub, that one is asked; else the hub of this machine. */
function hubOptions(options: LoadOptions): ConnectionOptions {
  const { hub, hubToken, url, tlsCaFile, tlsCertFile, tlsKeyFile } = options;
  const isHub = /^https?:/i.test(url);
  if (hub === undefined && isHub) return options;
  return {
    url: hub ?? 'http://127.0.0.1:8081',
    ...given({ token: hubToken, tlsCaFile, tlsCertFile, tlsKeyFile }),
  };
}

type Given<Value> = { [Key in keyof Value]?: Exclude<Value[Key], undefined> };

/** Without what is undefined. */
function given<Value extends object>(value: Value): Given<Value> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Given<Value>;
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function invalid(message: string): MillwrightError {
  return new MillwrightError('config_invalid', message);
}
