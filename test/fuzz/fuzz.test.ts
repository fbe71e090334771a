/** A short run of each codec; `npm run fuzz` feeds a million inputs each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './engine.ts';
import { CODECS } from './registry.ts';
import { textReport } from './report.ts';
import { startWatchdog } from './watchdog.ts';

const SEED = 20261126;
const INPUTS = 1_500;
/** Others in each run. */
const FRESH_SEED = Date.now() % 1_000_000;

for (const [name, load] of Object.entries(CODECS)) {
  for (const seed of [SEED, FRESH_SEED]) {
    test(`${name} stands whatever comes, seed ${seed}`, async () => {
      const { codec } = await load();
      const replay = `npm run fuzz -- ${name} --seed ${seed} --at #`;
      const watchdog = startWatchdog(replay);
      const result = await fuzz({ codec, inputs: INPUTS, seed, begins: (input) => watchdog.begins(input) });
      await watchdog.close();
      assert.equal(result.failures.length, 0, textReport({ name, about: codec.about, result }, replay));
      assert.ok(result.accepted > INPUTS / 100, `only ${result.accepted} of ${INPUTS} are accepted`);
      assert.ok(result.accepted < INPUTS);
    });
  }
}
