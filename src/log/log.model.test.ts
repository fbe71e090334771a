/**
 * Runs `log-model.test-support.ts`, which tells what it checks, over many seeds on every core.
 *
 * `MODEL_SEED=n` runs one alone, `MODEL_RUNS=n` more or fewer of them.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const MODEL = fileURLToPath(new URL('log-model.test-support.ts', import.meta.url));
const RUNS = Number(process.env['MODEL_RUNS'] ?? 80);
const SEED = process.env['MODEL_SEED'];

interface Sums {
  readonly operations: number;
  readonly calls: number;
  readonly crashes: number;
  readonly flips: number;
  readonly batches: number;
}

test('whatever happens, what was appended is read back once', async (context) => {
  const ranges = SEED === undefined ? shares(RUNS, availableParallelism()) : [[Number(SEED), Number(SEED)] as const];
  const sums = await Promise.all(ranges.map(([first, last]) => runSeeds(first, last)));
  const total = (key: keyof Sums): number => sums.reduce((sum, one) => sum + one[key], 0);
  context.diagnostic(
    `seeds ${ranges[0]?.[0]} to ${ranges.at(-1)?.[1]}: ${total('operations')} operations, ${total('calls')} file ` +
      `system calls, ${total('crashes')} crashes, ${total('flips')} flips, ${total('batches')} batches checked`,
  );
  assert.ok(total('crashes') > 0 && total('batches') > 0);
});

async function runSeeds(first: number, last: number): Promise<Sums> {
  const { stdout } = await promisify(execFile)(process.execPath, [MODEL, String(first), String(last)]);
  const sums: Sums = JSON.parse(stdout);
  return sums;
}

/** The seeds 1 to `runs`, divided among so many processes. */
function shares(runs: number, processes: number): (readonly [number, number])[] {
  const each = Math.ceil(runs / processes);
  return Array.from(
    { length: processes },
    (_, index) => [index * each + 1, Math.min(runs, (index + 1) * each)] as const,
  );
}
