/**
 * Pins by libgpiod's tools (decision 026): `gpioget` reads levels, `gpiomon` runs as long as they are watched.
 *
 * The kernel gives a line to one holder: while `gpiomon` has it, `gpioget` cannot read it. And a `gpiomon` that outlived the
 * edge would keep it: `setpriv --pdeathsig` has the kernel end it together with the edge, even by `kill -9`.
 */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { MillwrightError } from '../../base/errors.ts';
import type { Bias } from './options.ts';
import type { EdgeTaker, OpenPins, Pins, PinSettings, Watch } from './port.ts';
import {
  agoMs,
  getArguments,
  infoArguments,
  type LineInfo,
  monitorArguments,
  parseChips,
  parseEdge,
  parseLevels,
  parseLines,
  parseVersion,
  type ToolRequest,
  type ToolVersion,
  violation,
} from './tool-texts.ts';

/** Longest run of a tool that reads once. */
export const TOOL_MS_MAX = 5_000;
/** Longest wait until `gpiomon` has its lines. */
export const WATCH_START_MS_MAX = 5_000;
/** A `gpiomon` that does not end when asked to is ended so long after. */
const STOP_MS_MAX = 1_000;
const CHECK_MS = 10;
const OUTPUT_BYTES_MAX = 256 * 1024;
const LINE_CHARS_MAX = 256;
const STDERR_CHARS_MAX = 300;

type Child = ChildProcessByStdio<null, Readable, Readable>;

export const openGpioTools: OpenPins = async (settings, signal) => {
  const version = parseVersion(await run(settings, 'gpiomon', ['--version'], signal));
  const chip = await chipOf(settings, signal);
  const offsets = offsetsOf(settings, chip, await linesOf(settings, { version, chip, signal }));
  const biases = [...new Set(settings.lines.map(({ bias }) => bias))];
  const groups = biases.map((bias) => groupOf(settings, { chip, bias, offsets }));
  return new ToolPins({ settings, version, groups });
};

/** Lines of one chip with one bias: what one process can hold. */
interface Group {
  readonly request: ToolRequest;
  /** Place in the settings, of each offset of the request. */
  readonly indexes: readonly number[];
}

function groupOf(
  { lines }: PinSettings,
  { chip, bias, offsets }: { chip: string; bias: Bias; offsets: readonly number[] },
): Group {
  const indexes = lines.flatMap((line, index) => (line.bias === bias ? [index] : []));
  return { request: { chip, bias, offsets: indexes.map((index) => offsets[index]!) }, indexes };
}

class ToolPins implements Pins {
  readonly #settings: PinSettings;
  readonly #version: ToolVersion;
  readonly #groups: readonly Group[];

  constructor(parts: { settings: PinSettings; version: ToolVersion; groups: readonly Group[] }) {
    this.#settings = parts.settings;
    this.#version = parts.version;
    this.#groups = parts.groups;
  }

  async levels(signal: AbortSignal): Promise<readonly boolean[]> {
    const levels: boolean[] = [];
    for (const { request, indexes } of this.#groups) {
      const output = await run(this.#settings, 'gpioget', getArguments(this.#version, request), signal);
      const read = parseLevels(output, indexes.length);
      for (const [place, index] of indexes.entries()) levels[index] = read[place]!;
    }
    return levels;
  }

  async watch(taker: EdgeTaker, signal: AbortSignal): Promise<Watch> {
    let isOver = false;
    const monitors: Monitor[] = [];
    const stop = async (): Promise<void> => {
      await Promise.all(monitors.map((monitor) => monitor.stop()));
      isOver = true;
    };
    const ended = (error: MillwrightError): void => {
      if (isOver) return;
      isOver = true;
      taker.ended(error);
    };
    try {
      for (const group of this.#groups) {
        const parts = { settings: this.#settings, version: this.#version, group };
        monitors.push(new Monitor(parts, { edge: (edge) => taker.edge(edge), ended }));
      }
      await Promise.all(monitors.map((monitor) => monitor.started(signal)));
    } catch (error) {
      isOver = true;
      await stop();
      throw error;
    }
    return { stop };
  }
}

/** One `gpiomon`, from its start to its end. */
class Monitor {
  readonly #settings: PinSettings;
  readonly #version: ToolVersion;
  readonly #group: Group;
  readonly #taker: EdgeTaker;
  readonly #child: Child;
  readonly #closed: Promise<void>;
  readonly #banner = Promise.withResolvers<void>();
  #rest = '';
  #stderr = '';
  #isStopping = false;
  #failure: MillwrightError | undefined;

  constructor(parts: { settings: PinSettings; version: ToolVersion; group: Group }, taker: EdgeTaker) {
    this.#settings = parts.settings;
    this.#version = parts.version;
    this.#group = parts.group;
    this.#taker = taker;
    const { settings, version, group } = parts;
    const args = ['--pdeathsig', 'KILL', toolPath(settings, 'gpiomon'), ...monitorArguments(version, group.request)];
    const child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment() });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = `${this.#stderr}${text}`.slice(0, STDERR_CHARS_MAX);
    });
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    child.on('error', (cause) => {
      this.#fail(cannotStart('setpriv', cause));
      closed.resolve();
    });
    child.on('close', (code, signal) => {
      const how = code === null ? `was ended by ${signal}` : `ended with ${code}`;
      const said = this.#stderr.trim();
      this.#fail(new MillwrightError('connection_failed', said === '' ? `gpiomon ${how}` : said));
      closed.resolve();
    });
  }

  /** Resolves when it has its lines. @throws when it ends before, or takes too long */
  async started(signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + WATCH_START_MS_MAX;
    let isWatching = false;
    void this.#banner.promise.then(() => (isWatching = true));
    while (!isWatching && !signal.aborted) {
      if (this.#failure !== undefined) throw this.#failure;
      if (performance.now() > untilMs) {
        throw new MillwrightError('connection_failed', `gpiomon has no lines after ${WATCH_START_MS_MAX} ms`);
      }
      // 1.6 does not say when it watches: that its lines are taken does.
      if (this.#version === 1) isWatching = await this.#hasLines(signal);
      if (!isWatching) await Promise.race([this.#banner.promise, this.#closed, wait(CHECK_MS)]);
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#child.kill('SIGKILL');
      // What it has started itself may hold them open, and is not waited for.
      this.#child.stdout.destroy();
      this.#child.stderr.destroy();
    }, STOP_MS_MAX);
    await this.#closed;
    clearTimeout(timer);
  }

  async #hasLines(signal: AbortSignal): Promise<boolean> {
    const { chip, offsets } = this.#group.request;
    const lines = await linesOf(this.#settings, { version: this.#version, chip, signal });
    const taken = new Set(lines.filter(({ consumer }) => consumer !== null).map(({ offset }) => offset));
    return offsets.every((offset) => taken.has(offset));
  }

  #take(text: string): void {
    if (this.#failure !== undefined) return;
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    try {
      for (const line of lines) this.#line(line);
      if (this.#rest.length > LINE_CHARS_MAX) throw violation('gpiomon', this.#rest);
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      this.#fail(error);
      this.#child.kill('SIGTERM');
    }
  }

  #line(line: string): void {
    if (this.#version === 2 && line.startsWith('Monitoring ')) return this.#banner.resolve();
    const edge = parseEdge(this.#version, line);
    const index = this.#group.indexes[this.#group.request.offsets.indexOf(edge.offset)];
    if (index === undefined) throw violation('gpiomon', line);
    // Node's own clock is CLOCK_MONOTONIC, as the kernel's for edges is.
    const clocks = { monotonicMs: Number(process.hrtime.bigint()) / 1e6, wallMs: Date.now() };
    this.#taker.edge({ index, isHigh: edge.isHigh, agoMs: agoMs(edge.seconds, clocks) });
  }

  #fail(error: MillwrightError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    if (!this.#isStopping) this.#taker.ended(error);
  }
}

/** The chip as the tools take it: of a label, the chip that has it. */
async function chipOf(settings: PinSettings, signal: AbortSignal): Promise<string> {
  const { chip } = settings;
  if (/^(\d+|gpiochip\d+|\/.*)$/.test(chip)) return chip;
  const chips = parseChips(await run(settings, 'gpiodetect', [], signal));
  const [found, ...more] = chips.filter(({ label }) => label === chip);
  const known = chips.map(({ name, label }) => `${name} [${label}]`).join(', ');
  if (found === undefined) {
    throw new MillwrightError(
      'config_invalid',
      `there is no GPIO chip ${chip}; there are: ${known === '' ? 'none' : known}`,
    );
  }
  if (more.length > 0) {
    throw new MillwrightError('config_invalid', `several GPIO chips are called ${chip}; write one's name: ${known}`);
  }
  return found.name;
}

async function linesOf(
  settings: PinSettings,
  { version, chip, signal }: { version: ToolVersion; chip: string; signal: AbortSignal },
): Promise<LineInfo[]> {
  return parseLines(await run(settings, 'gpioinfo', infoArguments(version, chip), signal));
}

/** @throws config_invalid for a line that there is not; connection_failed for one that somebody else has */
function offsetsOf({ lines }: PinSettings, chip: string, known: readonly LineInfo[]): number[] {
  const offsets = lines.map(({ line }) => {
    const found = known.find(({ offset, name }) => (/^\d+$/.test(line) ? offset === Number(line) : name === line));
    if (found === undefined) {
      throw new MillwrightError('config_invalid', `there is no line ${line} on ${chip}, which has ${known.length}`);
    }
    if (found.consumer !== null) {
      throw new MillwrightError('connection_failed', `line ${line} of ${chip} is in use by ${found.consumer}`);
    }
    return found.offset;
  });
  const twice = offsets.findIndex((offset, index) => offsets.indexOf(offset) < index);
  if (twice >= 0) throw new MillwrightError('config_invalid', `line ${lines[twice]?.line} of ${chip} is named twice`);
  return offsets;
}

/** Runs a tool to its end. @returns what it printed */
function run(settings: PinSettings, tool: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const options = {
    env: environment(),
    timeout: TOOL_MS_MAX,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
    signal,
  } as const;
  return new Promise((resolve, reject) => {
    execFile(toolPath(settings, tool), args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      failureOf(error, { tool, stderr, chip: settings.chip }).then(reject, reject);
    });
  });
}

async function failureOf(
  error: Error & { code?: unknown; killed?: boolean },
  { tool, stderr, chip }: { tool: string; stderr: string; chip: string },
): Promise<MillwrightError> {
  if (error.code === 'ENOENT') return cannotStart(tool, error);
  const device = chip.startsWith('/') ? chip : /^\d+$/.test(chip) ? `/dev/gpiochip${chip}` : `/dev/${chip}`;
  const refused = await access(device, constants.R_OK | constants.W_OK).then(
    () => undefined,
    (reason: NodeJS.ErrnoException) => reason.code,
  );
  if (refused === 'EACCES' || refused === 'EPERM') {
    const text = `${device} may not be used: add the user that the edge runs as to the group gpio`;
    return new MillwrightError('config_invalid', text);
  }
  const said = stderr.trim().slice(0, STDERR_CHARS_MAX);
  const late = `${tool} did not end within ${TOOL_MS_MAX} ms`;
  return new MillwrightError('connection_failed', error.killed === true ? late : said === '' ? error.message : said);
}

function cannotStart(tool: string, cause: Error & { code?: unknown }): MillwrightError {
  const from = tool === 'setpriv' ? 'util-linux' : 'gpiod';
  if (cause.code !== 'ENOENT') return new MillwrightError('connection_failed', `${tool} cannot be started`, { cause });
  return new MillwrightError('config_invalid', `there is no program ${tool}: install ${from}`);
}

function toolPath({ tools }: PinSettings, tool: string): string {
  return tools === null ? tool : path.join(tools, tool);
}

/** In English, whatever the machine speaks. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C' };
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
