/**
 * What libgpiod's tools are told and what they say: 1.6, as Debian 12 has it, and 2.x, as Debian 13 has it. Pure.
 * Sources: their manuals, and `tools/` of libgpiod v1.6 and v2.2.
 *
 *     1.6  gpiomon -b -F "%o %e %s %n" -B pull-up gpiochip0 17 27       →  17 1 1584 123456789      1 rising, 0 falling
 *     2.x  gpiomon --banner -F "%o %e %S" -b pull-up -c gpiochip0 17 27  →  17 1 1584.123456789     1 rising, 2 falling
 *
 * `%n` of 1.6 has no zeros at its left. Chip and lines of 2.x may be names, here they are offsets in both.
 */
import { MillwrightError } from '../../base/errors.ts';
import type { Bias } from './options.ts';

export type ToolVersion = 1 | 2;

/** @throws config_invalid for a version that is neither */
export function parseVersion(output: string): ToolVersion {
  const found = /\bv(\d+)\.\d+/.exec(output)?.[1];
  if (found === '1') return 1;
  if (found === '2') return 2;
  const said = JSON.stringify(output.slice(0, 80));
  throw new MillwrightError(
    'config_invalid',
    `gpiomon is of a version that is not known: it says ${said}; known are 1 and 2`,
  );
}

export interface ToolRequest {
  readonly chip: string;
  readonly bias: Bias;
  readonly offsets: readonly number[];
}

export function getArguments(version: ToolVersion, { chip, bias, offsets }: ToolRequest): string[] {
  if (version === 1) return [...biasArguments(1, bias), chip, ...offsets.map(String)];
  return ['--numeric', ...biasArguments(2, bias), '-c', chip, ...offsets.map(String)];
}

export function monitorArguments(version: ToolVersion, { chip, bias, offsets }: ToolRequest): string[] {
  if (version === 1) return ['-b', '-F', '%o %e %s %n', ...biasArguments(1, bias), chip, ...offsets.map(String)];
  return ['--banner', '-F', '%o %e %S', ...biasArguments(2, bias), '-c', chip, ...offsets.map(String)];
}

export function infoArguments(version: ToolVersion, chip: string): string[] {
  return version === 1 ? [chip] : ['-c', chip];
}

function biasArguments(version: ToolVersion, bias: Bias): string[] {
  const option = version === 1 ? '-B' : '-b';
  switch (bias) {
    case 'as_is':
      return [];
    case 'pull_up':
      return [option, 'pull-up'];
    case 'pull_down':
      return [option, 'pull-down'];
    case 'disabled':
      return [option, version === 1 ? 'disable' : 'disabled'];
  }
}

export interface ChipInfo {
  readonly name: string;
  readonly label: string;
}

/** Of `gpiodetect`: `gpiochip0 [pinctrl-bcm2711] (58 lines)`. */
export function parseChips(output: string): ChipInfo[] {
  return [...output.matchAll(/^(\S+) \[(.*)\] \(\d+ lines\)$/gm)].map(([, name = '', label = '']) => ({ name, label }));
}

export interface LineInfo {
  readonly offset: number;
  /** null: it has none. */
  readonly name: string | null;
  /** Who has it; null: nobody. */
  readonly consumer: string | null;
}

/**
 * Of `gpioinfo`, a line each:
 *
 *     1.6  line  17:     "GPIO17"    "gpiomon"   input  active-high [used]
 *     2.x  line  17:     "GPIO17"                input consumer="gpiomon"
 */
export function parseLines(output: string): LineInfo[] {
  return [...output.matchAll(/^\s*line\s+(\d+):\s+(?:"([^"]*)"|unnamed)(.*)$/gm)].map(([, offset, name, rest = '']) => {
    return { offset: Number(offset), name: name ?? null, consumer: consumerOf(rest) };
  });
}

function consumerOf(rest: string): string | null {
  const second = /\bconsumer="?([^"]*)"?/.exec(rest)?.[1];
  if (second !== undefined) return second;
  if (!/\[[^\]]*\bused\b[^\]]*\]\s*$/.test(rest)) return null;
  return /^\s+"([^"]*)"/.exec(rest)?.[1] ?? 'the kernel';
}

/** Of `gpioget`: `0 1 1`. @throws protocol_violation unless it is as many levels as were asked for */
export function parseLevels(output: string, count: number): boolean[] {
  const levels = output.trim().split(' ');
  const isWhole = levels.length === count && levels.every((level) => level === '0' || level === '1');
  if (!isWhole) throw violation('gpioget', output);
  return levels.map((level) => level === '1');
}

export interface ParsedEdge {
  readonly offset: number;
  readonly isHigh: boolean;
  /** By the clock of the kernel that it was told with. */
  readonly seconds: number;
}

/** @throws protocol_violation for what is no edge */
export function parseEdge(version: ToolVersion, line: string): ParsedEdge {
  const match = /^(\d{1,9}) ([012]) (\d{1,12})[ .](\d{1,9})$/.exec(line);
  const [, offset = '', type = '', whole = '', fraction = ''] = match ?? [];
  const isHigh = type === '1';
  const isLow = type === (version === 1 ? '0' : '2');
  if (match === null || isHigh === isLow) throw violation('gpiomon', line);
  const nanoseconds = version === 1 ? Number(fraction) : Number(fraction.padEnd(9, '0'));
  return { offset: Number(offset), isHigh, seconds: Number(whole) + nanoseconds / 1e9 };
}

/** By 2001 a machine would have run for 31 years: seconds beyond are since 1970. */
const REALTIME_SECONDS_MIN = 1e9;
/** Edges are told at once; more is another clock than was thought. */
const AGO_MS_MAX = 60_000;

/** How long ago it was. Kernels before 5.7 tell 1.6 the wall clock, others the monotonic one. */
export function agoMs(seconds: number, clocks: { readonly monotonicMs: number; readonly wallMs: number }): number {
  const nowMs = seconds >= REALTIME_SECONDS_MIN ? clocks.wallMs : clocks.monotonicMs;
  const ago = nowMs - seconds * 1000;
  return ago >= 0 && ago <= AGO_MS_MAX ? ago : 0;
}

export function violation(tool: string, text: string): MillwrightError {
  return new MillwrightError('protocol_violation', `${tool} said ${JSON.stringify(text.slice(0, 80))}`);
}
