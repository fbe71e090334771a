import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { LOOK_INTERVAL_MS, stateOfFile } from '../../base/file-watch.ts';
import { silentLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { readEdgeConfig } from '../config.ts';
import { ConfigurationFile, type ReadConfiguration } from './configuration-file.ts';

test('a process that cannot be started is a refusal, also where Node throws at once', async () => {
  const parts = { file: 'edge.yaml', state: '', clock: systemClock, log: silentLogger, applied: () => {} };
  // As for want of memory, which no test can bring about, Node throws for an argument that the system does not take.
  for (const cli of ['no\0file', '/nowhere/cli.ts']) {
    const configuration = new ConfigurationFile({ ...parts, cli });
    await assert.rejects(configuration.read(new AbortController().signal), {
      code: 'config_invalid',
      message: /^the configuration could not be read: /,
    });
  }
});

test('a share that hangs while somebody asks does not hold up a stop', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-hangs-'));
  context.after(() => rmSync(folder, { recursive: true }));
  // Whoever opens a pipe waits for another who writes: so all threads that ask the disk are taken.
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const opened = Array.from({ length: 16 }, () => open(pipe, constants.O_RDONLY));
  const configuration = new ConfigurationFile({
    file: join(folder, 'edge.yaml'),
    state: 'ENOENT',
    cli: '/nowhere/cli.ts',
    clock: new ManualClock('2026-01-01T08:00:00Z'),
    log: silentLogger,
    applied: () => {},
  });
  const stop = new AbortController();
  const changed = configuration.changed(stop.signal);
  configuration.ask();
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  await changed;
  const writer = openSync(pipe, constants.O_RDWR);
  for (const handle of await Promise.all(opened)) await handle.close();
  closeSync(writer);
});

/** What follows a file as the edge does: reads it whenever it is told to, with a program that answers what it is given. */
class Follower {
  readonly file: string;
  readonly ca: string;
  readonly #clock = new ManualClock('2026-01-01T08:00:00Z');
  readonly #stop = new AbortController();
  readonly #answer: string;
  readonly #configuration: ConfigurationFile;
  /** What was told, by when: whether something is new, and what came of reading it. */
  readonly told: { readonly atMs: number; readonly isNew: boolean; readonly result: string }[] = [];

  static async open(context: TestContext): Promise<Follower> {
    const folder = mkdtempSync(join(tmpdir(), 'millwright-follower-'));
    const file = join(folder, 'edge.yaml');
    writeFileSync(file, 'a: 1\n');
    const follower = new Follower(folder, await stateOfFile(file));
    context.after(() => {
      follower.#stop.abort();
      rmSync(folder, { recursive: true });
    });
    return follower;
  }

  constructor(folder: string, state: string) {
    this.file = join(folder, 'edge.yaml');
    this.ca = join(folder, 'ca.pem');
    this.#answer = join(folder, 'answer.json');
    const cli = join(folder, 'cli.mjs');
    const program = `import fs from 'node:fs'; process.stdout.write(fs.readFileSync(${JSON.stringify(this.#answer)}));`;
    writeFileSync(cli, program);
    const parts = { clock: this.#clock, log: silentLogger, applied: () => {} };
    this.#configuration = new ConfigurationFile({ ...parts, file: this.file, state, cli });
  }

  /** From now on reading it comes to that. */
  answers(answer: ReadConfiguration | ''): void {
    writeFileSync(this.#answer, JSON.stringify(answer));
  }

  ask(): void {
    this.#configuration.ask();
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const isNew = await this.#configuration.changed(signal);
      if (signal.aborted) return;
      const result = await this.#configuration.read(signal).then(
        (settings) => {
          this.#configuration.applied(settings);
          return 'taken';
        },
        (error: Error) => error.message,
      );
      this.told.push({ atMs: this.#clock.monotonicMs(), isNew, result });
    }
  }

  /** One look after the other, each when what the one before has brought about is over. */
  async passMs(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += LOOK_INTERVAL_MS) {
      await this.#rest();
      await this.#clock.step(LOOK_INTERVAL_MS);
    }
    await this.#rest();
  }

  async #rest(): Promise<void> {
    while (this.#clock.sleepers === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test('what could not be read is tried again, ever more slowly, until it is read or is another', async (context) => {
  const follower = await Follower.open(context);
  void follower.run();
  const away = ['cannot read edge.yaml: EIO: i/o error, read'];
  follower.answers({ errors: away });
  writeFileSync(follower.file, 'a: 22\n');
  await follower.passMs(60_000);
  const times = (): number[] => follower.told.map(({ atMs }) => atMs);
  // At rest after two looks; the waits are 5, 10, 20 s.
  assert.deepEqual(times(), [2_000, 7_000, 17_000, 37_000]);
  assert.deepEqual(
    follower.told.map(({ isNew }) => isNew),
    [true, false, false, false],
  );
  assert.deepEqual([...new Set(follower.told.map(({ result }) => result))], away);

  // The share is back, and nothing else has happened.
  const { settings } = await readEdgeConfig({ file: '', text: 'agent: { machine_id: A }', environment: {} });
  follower.answers({ settings, warnings: [] });
  await follower.passMs(20_000);
  assert.deepEqual(follower.told.at(-1), { atMs: 77_000, isNew: false, result: 'taken' });
  const taken = follower.told.length;
  await follower.passMs(310_000);
  assert.equal(follower.told.length, taken, 'what is in force is not read again');

  // Half of a file; then the whole of it, long before the next try.
  follower.answers({ errors: ['half of it'] });
  writeFileSync(follower.file, 'a: 333\nb: [\n');
  await follower.passMs(8_000);
  follower.answers({ settings, warnings: [] });
  writeFileSync(follower.file, 'a: 333\nb: []\n');
  await follower.passMs(3_000);
  assert.deepEqual(
    follower.told.slice(taken).map(({ isNew, result }) => [isNew, result]),
    [
      [true, 'half of it'],
      [false, 'half of it'],
      [true, 'taken'],
    ],
  );

  // A signal does not wait, and is told also when it brings nothing new.
  follower.answers({ errors: away });
  follower.ask();
  await follower.passMs(1_000);
  assert.deepEqual([follower.told.at(-1)?.isNew, follower.told.at(-1)?.result], [true, away[0]]);
  // Who asks again and again does not make the waits longer.
  for (let asked = 0; asked < 5; asked += 1) {
    follower.ask();
    await follower.passMs(1_000);
  }
  const askedLast = follower.told.length;
  await follower.passMs(7_000);
  assert.deepEqual(
    follower.told.slice(askedLast).map(({ isNew }) => isNew),
    [false],
  );
});

test('a file that the settings name is followed, and as long as it is missing those before it', async (context) => {
  const follower = await Follower.open(context);
  void follower.run();
  const { ca } = follower;
  writeFileSync(ca, 'A');
  const text = `{ agent: { machine_id: A }, sinks: [{ type: hub, url: 'https://hub', tls_ca_file: ${ca} }] }`;
  const { settings } = await readEdgeConfig({ file: '', text, environment: {} });
  follower.answers({ settings, warnings: [] });
  writeFileSync(follower.file, 'a: 22\n');
  await follower.passMs(3_000);
  assert.equal(follower.told.length, 1);

  writeFileSync(ca, 'another');
  await follower.passMs(3_000);
  assert.deepEqual([follower.told.length, follower.told.at(-1)?.isNew], [2, true]);

  rmSync(ca);
  follower.answers({ errors: ['it is gone'] });
  await follower.passMs(3_000);
  assert.deepEqual([follower.told.length, follower.told.at(-1)?.result], [3, 'it is gone']);
  follower.answers({ settings, warnings: [] });
  writeFileSync(ca, 'renewed');
  await follower.passMs(3_000);
  assert.deepEqual([follower.told.length, follower.told.at(-1)?.result], [4, 'taken']);
});
