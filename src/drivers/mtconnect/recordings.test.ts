/**
 * Recorded days of real machines, served by an agent whose connections are cut, that is restarted, and whose buffer runs
 * over, to a driver that is killed: every observation that the agent still had is stored once, and every lost range is
 * told with the right numbers.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { isSignalKey, type MachineEvent, type Reading } from '../../model/reading.ts';
import { readFromOf } from '../../model/read-from.ts';
import type { AgentDevice, AgentOptions, MtconnectAgent, Saying } from '../../sim/mtconnect-agent.ts';
import { recordedAgent } from '../../sim/recorded-agent.ts';
import { Bench, openAgent } from './driver.test-support.ts';
import { COMMIT_INTERVAL_MS } from './position.ts';

const FOLDER = new URL('../../../test/data/mtconnect/', import.meta.url);
const GFAGIE = 'nist-gfagie01-2016-11-07.shdr';
const OKUMA = 'okuma-multus-u3000.shdr';
const CUTS = 50;
const CRASHES = 8;
/** Observations that are said between two turns of the event loop. */
const STEP = 100;
const OVERRUN_BUFFER = 4_096;

interface Observed extends Saying {
  readonly instance: string;
  readonly sequence: number;
}

/** The agent, and all that it ever observed. */
class Day {
  readonly device: AgentDevice;
  readonly history: Observed[] = [];
  readonly #sayings: readonly Saying[];
  #place = 0;
  #agent: MtconnectAgent | undefined;
  url = '';

  constructor(file: string) {
    const { device, sayings } = recordedAgent(readFileSync(new URL(file, FOLDER), 'utf8'), 'M1');
    this.device = device;
    this.#sayings = sayings;
  }

  async open(context: TestContext, options: Partial<AgentOptions> = {}): Promise<MtconnectAgent> {
    const { agent, url } = await openAgent([this.device], options);
    context.after(() => agent.close());
    this.url = url;
    this.#agent = agent;
    this.#begin();
    return agent;
  }

  restart(instanceId: number): void {
    this.#agent?.restart(instanceId);
    this.#begin();
  }

  get sayings(): number {
    return this.#sayings.length;
  }

  get left(): number {
    return this.#sayings.length - this.#place;
  }

  /** The next so many of the recording. */
  say(count: number): void {
    const agent = this.#agent;
    assert.ok(agent !== undefined);
    for (const saying of this.#sayings.slice(this.#place, this.#place + count)) {
      this.history.push({ ...saying, instance: String(agent.instanceId), sequence: agent.observe(saying) });
    }
    this.#place += count;
  }

  /** What the agent says of itself when it starts: nothing is known. */
  #begin(): void {
    const instance = String(this.#agent?.instanceId);
    for (const [index, { id, category }] of this.device.items.entries()) {
      const condition = category === 'CONDITION' ? { condition: { level: 'Unavailable' } as const } : {};
      const said = { device: this.device.name, item: id, timestamp: '', text: 'UNAVAILABLE', ...condition };
      this.history.push({ ...said, instance, sequence: index + 1 });
    }
  }
}

test('a day, the connection cut 50 times: every observation is stored once', async (context) => {
  const day = new Day(GFAGIE);
  assert.ok(day.sayings > 40_000, String(day.sayings));
  const random = seededRandom(20_161_107);
  const agent = await day.open(context);
  const bench = await Bench.make(day.url);
  bench.start({ extra: 'all', begin: 'oldest' });
  let cuts = 0;
  while (day.left > 0) {
    day.say(STEP);
    await turn();
    if (cuts >= CUTS || random() > (CUTS - cuts) / (day.left / STEP + 1)) continue;
    await bench.until(() => bench.connections > cuts);
    for (let wait = random() * 20; wait > 0; wait -= 1) await turn();
    if (agent.cut() > 0) cuts += 1;
  }
  assert.equal(cuts, CUTS);
  await caughtUp(bench, day);
  await bench.stop();
  assert.ok(bench.errors.length >= CUTS, String(bench.errors.length));
  assert.deepEqual(bench.gaps(), []);
  checkOnce(day, bench, []);
});

for (const seed of [1, 2]) {
  test(`a day, the edge killed at random (seed ${seed}): nothing is lost or doubled`, async (context) => {
    const day = new Day(OKUMA);
    const random = seededRandom(seed);
    await day.open(context, { multipart: 'x-mixed-replace', isBoundaryQuoted: true, version: '1.3' });
    // Time runs by being looked at, and so that the position is written once and more between two crashes.
    let [nowMs, stepMs] = [0, COMMIT_INTERVAL_MS / 2];
    const clock = { ...systemClock, monotonicMs: () => (nowMs += stepMs) };
    const bench = await Bench.make(day.url, clock);
    const config = { extra: 'all', begin: 'oldest', heartbeat: '10m' };
    bench.start({ ...config, count: 97 });
    const every = Math.floor(day.left / STEP / CRASHES);
    let commits = 0;
    for (let step = 1; day.left > 0; step += 1) {
      day.say(STEP);
      await turn();
      if (step % every === Math.floor(every / 2)) {
        await bench.until(() => bench.commits > commits);
        stepMs = 0;
      }
      if (step % every !== 0) continue;
      await bench.until(() => bench.waiting > 50);
      stepMs = COMMIT_INTERVAL_MS / 2;
      for (let wait = random() * 5; wait > 0; wait -= 1) await turn();
      // The log has a beginning of what was emitted, and its end is lost in the crash.
      bench.keep(Math.floor(random() * bench.waiting));
      await bench.crash();
      commits = bench.commits;
      bench.start({ ...config, count: 10 + Math.floor(random() * 500) });
    }
    await caughtUp(bench, day);
    await bench.stop();
    assert.deepEqual(bench.gaps(), []);
    checkOnce(day, bench, []);
  });
}

test('the agent restarted, and its buffer run over: every lost range is told', async (context) => {
  const day = new Day(GFAGIE);
  const random = seededRandom(7);
  const agent = await day.open(context, { bufferSize: OVERRUN_BUFFER });
  const bench = await Bench.make(day.url);
  const config = { extra: 'all', begin: 'oldest' };
  bench.start(config);
  day.say(3_000);
  await caughtUp(bench, day);
  const lost: { first: number; last: number; instance: string }[] = [];
  for (let round = 0; round < 4; round += 1) {
    // While nobody reads, more is observed than the agent keeps.
    if (round % 2 === 0) bench.keep();
    else bench.keep(Math.floor(random() * bench.waiting));
    const instance = String(agent.instanceId);
    await bench.crash();
    const first = newestIn(bench, instance) + 1;
    day.say(OVERRUN_BUFFER + 500 + Math.floor(random() * 1_000));
    lost.push({ first, last: agent.firstSequence - 1, instance });
    bench.start(config);
    await caughtUp(bench, day);
    day.say(200);
    await caughtUp(bench, day);
  }
  assert.deepEqual(
    bench.gaps().map(({ details }) => [details?.['reason'], details?.['instance_id'], ...rangeOf(details)]),
    lost.map(({ instance, first, last }) => ['agent_overrun', instance, first, last, last - first + 1]),
  );
  const wanted = agent.nextSequence;
  bench.keep();
  day.restart(1_700_000_000);
  day.say(1_000);
  await caughtUp(bench, day);
  await bench.stop();
  const restart = bench.gaps().at(-1);
  assert.equal(bench.gaps().length, lost.length + 1);
  const { read_from: _own, start_time: start, end_time: end, ...details } = restart?.details ?? {};
  assert.deepEqual(details, {
    reason: 'agent_restarted',
    previous_instance_id: '1665746507',
    first_sequence: wanted,
    instance_id: '1700000000',
  });
  assert.ok(typeof start === 'string' && typeof end === 'string' && start <= end);
  checkOnce(day, bench, lost);
});

function rangeOf(details: MachineEvent['details']): unknown[] {
  return [details?.['first_sequence'], details?.['last_sequence'], details?.['readings']];
}

/** The newest of the day is there, and so is all before it, for they come in order. */
async function caughtUp(bench: Bench, day: Day): Promise<void> {
  const last = day.history.at(-1);
  assert.ok(last !== undefined);
  await bench.until(() => newestIn(bench, last.instance) >= last.sequence);
}

function newestIn(bench: Bench, instance: string): number {
  let newest = 0;
  for (const reading of bench.all) {
    const [, found, last] = /^(\d+)\/(?:\d+-)?(\d+)(?:\/[cmpsv])?$/.exec(readFromOf(reading)?.mark ?? '') ?? [];
    if (found === instance) newest = Math.max(newest, Number(last));
  }
  return newest;
}

/**
 * Every observation of the day, outside of what is lost, has given its value or its condition once; one that is lost may
 * have, if it still held when the agent was asked.
 */
function checkOnce(day: Day, bench: Bench, lost: readonly { instance: string; first: number; last: number }[]): void {
  const wanted = new Map<string, number>();
  const possible = new Map<string, number>();
  const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
  for (const observed of day.history) {
    const { instance, sequence } = observed;
    const isLost = lost.some(
      (range) => range.instance === instance && range.first <= sequence && sequence <= range.last,
    );
    count(isLost ? possible : wanted, keyOf(observed));
  }
  for (const key of bench.log.flatMap(keysOf)) {
    const left = wanted.get(key) ?? 0;
    if (left > 0) wanted.set(key, left - 1);
    else if ((possible.get(key) ?? 0) > 0) possible.set(key, (possible.get(key) ?? 0) - 1);
    else assert.fail(`stored, and not observed or stored before: ${key}`);
  }
  const missing = [...wanted].filter(([, left]) => left > 0);
  assert.deepEqual(missing.slice(0, 5), [], `${missing.length} are missing`);
}

/** Times of the agent's start are its own. */
function keyOf({ item, timestamp, text, condition }: Observed): string {
  const at = timestamp === '' ? 'start' : sixDecimals(timestamp);
  if (condition !== undefined) {
    const { level, nativeCode = '', nativeSeverity = '', qualifier = '' } = condition;
    const words = text === 'UNAVAILABLE' ? '' : text;
    return [at, item, level.toLowerCase(), nativeCode, nativeSeverity, qualifier, words].join('|');
  }
  const name = FIELDS.get(item) ?? item;
  if (text === 'UNAVAILABLE') return `${at}|${name}|null`;
  const isNumber = !TEXTS.has(name) && /^-?(0|[1-9]\d{0,14})(\.\d{1,15})?$/.test(text);
  return `${at}|${name}|${isNumber ? String(Number(text)) : text}`;
}

/** Where items go that are not kept under their own names. */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ['line', 'active_program_line'],
  ['Fovr', 'path_feedrate_override'],
  ['Sovr', 'rotary_velocity_override'],
  ['mode', 'controller_mode'],
  ['Xposition', 'x_pos_mm'],
  ['Yposition', 'y_pos_mm'],
  ['Zposition', 'z_pos_mm'],
  ['S1speed', 'spindle_speed'],
  ['pmode', 'controller_mode'],
  ['pprogram', 'program'],
  ['pFovr', 'path_feedrate_override'],
  ['p1linenumber', 'active_program_line'],
]);
const TEXTS: ReadonlySet<string> = new Set(['program', 'controller_mode']);

function keysOf(reading: Reading): string[] {
  const at = reading.timestamp > '2024' ? 'start' : sixDecimals(reading.timestamp);
  if (reading.kind === 'event') {
    if (reading.event_type !== 'condition' || reading.text === 'its end was not seen') return [];
    const { item, level, native_code = '', native_severity = '', qualifier = '', text = '' } = reading;
    return [[at, item, level, native_code, native_severity, qualifier, text].join('|')];
  }
  return Object.entries(reading)
    .filter(([name]) => isSignalKey(name) && name !== 'machine_state' && name !== 'read_from')
    .map(([name, value]) => `${at}|${name}|${String(value)}`);
}

function sixDecimals(timestamp: string): string {
  const [seconds = '', fraction = ''] = timestamp.slice(0, -1).split('.');
  return `${seconds}.${fraction.slice(0, 6).padEnd(6, '0')}`;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
