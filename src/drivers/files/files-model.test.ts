/**
 * Random operations on a folder, and crashes, full disks and shares that come and go, against an oracle: every row that
 * stood in a file long enough is in the log once. Seeds are printed and can be replayed with MILLWRIGHT_SEED.
 */
import assert from 'node:assert/strict';
import { appendFile, copyFile, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { Bench, CSV, HEADER } from './driver.test-support.ts';

const OPERATIONS = 60;
const SEED = Number(process.env['MILLWRIGHT_SEED'] ?? Date.now() % 1_000_000);

// Each in folders of its own, and both wait more than they work.
test(`every row once, whatever happens; seed ${SEED}`, { concurrency: true }, async (context) => {
  const kinds = [false, true].map((growing) =>
    context.test(growing ? 'to files that grow' : 'to files', async () => {
      const bench = await Bench.make();
      try {
        await new Model(bench, growing).run();
      } finally {
        await bench.stop();
        await rm(bench.root, { recursive: true, force: true });
      }
    }),
  );
  await Promise.all(kinds);
});

class Model {
  readonly #bench: Bench;
  readonly #growing: boolean;
  readonly #random = seededRandom(SEED);
  #rows = 0;
  #files = 0;
  readonly #done: string[] = [];

  constructor(bench: Bench, growing: boolean) {
    this.#bench = bench;
    this.#growing = growing;
  }

  async run(): Promise<void> {
    this.#bench.start({ format: 'csv', csv: { ...CSV, growing: this.#growing }, settle: '10ms', rescan: '100ms' });
    for (let count = 0; count < OPERATIONS; count += 1) {
      await this.#operate();
      if (this.#random() < 0.3) await systemClock.sleep(this.#random() * 40);
    }
    this.#bench.isDiskFull = false;
    await this.#bench.restart();
    await this.#caughtUp();
    const expected = Array.from({ length: this.#rows }, (_, row) => row + 1);
    const found = this.#bench.values().toSorted((a, b) => a - b);
    assert.deepEqual(found, expected, `operations: ${this.#done.join(' ')}`);
  }

  async #operate(): Promise<void> {
    const kinds = ['create', 'create', 'append', 'append', 'halves', 'rename', 'copy', 'touch', 'replace', 'delete'];
    const kind = this.#pick([...kinds, 'crash', 'lose', 'full', 'share']) ?? 'create';
    const names = (await readdir(this.#bench.folder)).filter((name) => name.startsWith('f'));
    const file = this.#at(this.#pick(names) ?? 'none');
    this.#done.push(kind);
    if (names.length === 0 && !['crash', 'lose', 'full', 'share'].includes(kind)) return this.#create();
    switch (kind) {
      case 'append':
        return appendFile(file, this.#lines());
      case 'halves': {
        const lines = this.#lines();
        await appendFile(file, lines.slice(0, 12));
        await systemClock.sleep(this.#random() * 40);
        return appendFile(file, lines.slice(12));
      }
      case 'rename':
        return rename(file, this.#newName());
      case 'copy':
        return copyFile(file, this.#newName());
      case 'touch':
        return utimes(file, Date.now() / 1000 + this.#files, Date.now() / 1000 + this.#files);
      case 'replace':
      case 'delete':
        // What is taken away must have been read, or it is the writer who loses it.
        await this.#caughtUp();
        return kind === 'delete' ? rm(file) : writeFile(file, `${HEADER}\n${this.#lines()}`);
      case 'crash':
        return this.#bench.restart();
      case 'lose':
        this.#bench.logWorks = false;
        await this.#create();
        await systemClock.sleep(this.#random() * 60);
        return this.#bench.restart();
      case 'full':
        this.#bench.isDiskFull = !this.#bench.isDiskFull;
        return undefined;
      case 'share': {
        await rename(this.#bench.folder, `${this.#bench.folder}-gone`);
        await systemClock.sleep(this.#random() * 150);
        return rename(`${this.#bench.folder}-gone`, this.#bench.folder);
      }
      default:
        return this.#create();
    }
  }

  #create(): Promise<void> {
    return writeFile(this.#newName(), `${HEADER}\n${this.#lines()}`);
  }

  async #caughtUp(): Promise<void> {
    this.#bench.isDiskFull = false;
    // Twice: what was seen in the middle of its change is read in the round after.
    await this.#bench.caughtUp();
    await systemClock.sleep(60);
    await this.#bench.caughtUp();
  }

  /** One to three rows that are like no other. */
  #lines(): string {
    const count = 1 + Math.floor(this.#random() * 3);
    return Array.from({ length: count }, () => {
      this.#rows += 1;
      const time = new Date(Date.UTC(2026, 0, 1) + this.#rows * 1000).toISOString();
      return `${time},20.5,100,${this.#rows}\n`;
    }).join('');
  }

  #newName(): string {
    this.#files += 1;
    return this.#at(`f${this.#files}.csv`);
  }

  #at(name: string): string {
    return path.join(this.#bench.folder, name);
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }
}
