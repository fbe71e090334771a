/**
 * The physics of a simulated machining centre: what it shows at a given instant. Pure: seed and time give the values.
 *
 * A cycle of two minutes repeats: running, idle, alarm, hold, 30 s each. Temperature swings slowly whatever the state;
 * all else follows it: the spindle turns and the tool travels its circle only while running, the spindle winds down in
 * two seconds, and power has a base load.
 */
import { gaussian, seededRandom } from '../base/random.ts';
import type { MachineState } from '../model/signals.ts';

export interface SimulatedMachineOptions {
  /** Of the noise: the same seed and time give the same values. */
  readonly seed: number;
  /** How far into its cycle the machine is at time zero, in seconds. */
  readonly phaseSeconds: number;
}

export interface MachineValues {
  readonly temperatureC: number;
  readonly spindleSpeedRpm: number;
  readonly xMm: number;
  readonly yMm: number;
  readonly zMm: number;
  readonly feedRateMmPerMin: number;
  readonly spindleLoadPercent: number;
  readonly state: MachineState;
  readonly programLine: number;
  readonly powerKw: number;
  readonly program: string;
  /** Parts finished since time zero of a machine of phase zero. */
  readonly partCount: number;
  /** The alarm that is active, in the state `alarm`; null otherwise. */
  readonly alarm: MachineAlarm | null;
}

export interface MachineAlarm {
  readonly code: string;
  readonly text: string;
}

/** The states in their order, each {@link STATE_SECONDS} long. */
export const STATE_CYCLE: readonly MachineState[] = ['running', 'idle', 'alarm', 'hold'];
export const STATE_SECONDS = 30;
export const CYCLE_SECONDS: number = STATE_CYCLE.length * STATE_SECONDS;

const ALARMS: readonly MachineAlarm[] = [
  { code: '1010', text: 'Coolant level low' },
  { code: '2034', text: 'Door interlock open' },
  { code: '4101', text: 'X axis servo overload' },
];
const PROGRAMS = ['O1001', 'O1002', 'O2040'] as const;

const CIRCLE_RADIUS_MM = 50;
/** Turns of the tool path in a second of running: 0.05 makes a feed rate near 940 mm/min. */
const CIRCLE_HZ = 0.05;
const PLUNGE_MM = 5;
const PLUNGE_HZ = 0.1;
const WIND_DOWN_SECONDS = 2;
const PROGRAM_LINES_PER_SECOND = 4;
const BASE_LOAD_KW = 0.8;

/** What the machine shows `seconds` after time zero, each value rounded to its sensor's resolution. */
export function machineAt(options: SimulatedMachineOptions, seconds: number): MachineValues {
  const time = seconds + options.phaseSeconds;
  const cycle = Math.floor(time / CYCLE_SECONDS);
  const inCycle = time - cycle * CYCLE_SECONDS;
  const state = STATE_CYCLE[Math.floor(inCycle / STATE_SECONDS)] ?? 'running';
  const noise = seededRandom(noiseSeed(options.seed, time));
  const temperatureNoise = gaussian(noise);
  const running = state === 'running';
  const spindle = spindleAt(time, inCycle, gaussian(noise));
  const tool = toolAt(cycle * STATE_SECONDS + Math.min(inCycle, STATE_SECONDS));
  const load = running ? clamp(38 + 12 * wave(0.05, time) + 2 * gaussian(noise), 0, 100) : 0;
  const feed = running ? tool.feedRateMmPerMin + 4 * gaussian(noise) : 0;
  return {
    temperatureC: round(25 + 15 * wave(0.1, time) + 2 * temperatureNoise, 10),
    spindleSpeedRpm: round(spindle, 1),
    xMm: round(tool.xMm, 1000),
    yMm: round(tool.yMm, 1000),
    zMm: round(tool.zMm, 1000),
    feedRateMmPerMin: round(feed, 1),
    spindleLoadPercent: round(load, 10),
    state,
    programLine: Math.floor(Math.min(inCycle, STATE_SECONDS) * PROGRAM_LINES_PER_SECOND) + 1,
    powerKw: round(BASE_LOAD_KW + 0.0004 * spindle + 0.09 * load + 0.03 * Math.abs(gaussian(noise)), 100),
    program: PROGRAMS[modulo(cycle, PROGRAMS.length)] ?? PROGRAMS[0],
    partCount: cycle + (running ? 0 : 1),
    alarm: state === 'alarm' ? (ALARMS[modulo(cycle + options.seed, ALARMS.length)] ?? null) : null,
  };
}

/** Spindle speed in rpm: turning while running, then slowing to a stop. */
function spindleAt(time: number, inCycle: number, noise: number): number {
  const turning = 2500 + 500 * wave(0.05, time) + 100 * noise;
  if (inCycle < STATE_SECONDS) return turning;
  return turning * Math.max(0, 1 - (inCycle - STATE_SECONDS) / WIND_DOWN_SECONDS);
}

/** Where the tool is after that many seconds of running, and how fast it travels there. */
function toolAt(runningSeconds: number): { xMm: number; yMm: number; zMm: number; feedRateMmPerMin: number } {
  const angle = 2 * Math.PI * CIRCLE_HZ * runningSeconds;
  const plungeAngle = 2 * Math.PI * PLUNGE_HZ * runningSeconds;
  const plungeMmPerSecond = 2 * Math.PI * PLUNGE_HZ * PLUNGE_MM * Math.cos(plungeAngle);
  return {
    xMm: 100 + CIRCLE_RADIUS_MM * Math.cos(angle),
    yMm: 100 + CIRCLE_RADIUS_MM * Math.sin(angle),
    zMm: 10 + PLUNGE_MM * Math.sin(plungeAngle),
    feedRateMmPerMin: 60 * Math.hypot(2 * Math.PI * CIRCLE_HZ * CIRCLE_RADIUS_MM, plungeMmPerSecond),
  };
}

/** A number of 32 bits for each seed and microsecond; neighbours have nothing in common (finalizer of MurmurHash3). */
function noiseSeed(seed: number, time: number): number {
  const micros = Math.round(time * 1e6);
  let hash = Math.imul(seed, 0x9e3779b1) ^ micros ^ Math.imul(Math.floor(micros / 2 ** 32), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function wave(hertz: number, time: number): number {
  return Math.sin(2 * Math.PI * hertz * time);
}

/** To a multiple of 1/`parts`, never -0. */
function round(value: number, parts: number): number {
  return Math.round(value * parts) / parts + 0;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
