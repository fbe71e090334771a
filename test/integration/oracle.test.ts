/** A short run of the oracle: every kind of fault once, and nothing is lost, doubled or altered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runOracle } from '../oracle/oracle.ts';
import { FAULT_KINDS } from '../oracle/plan.ts';
import { textReport } from '../oracle/report.ts';

const MINUTES = 0.5;

test('nothing is lost, doubled or altered, whatever happens', async (context) => {
  const seed = Number(process.env['ORACLE_SEED'] ?? Date.now() % 1_000_000);
  console.log(`seed ${seed} (repeat with ORACLE_SEED)`);
  const said: string[] = [];
  const result = await runOracle({ seed, minutes: MINUTES, say: (line) => said.push(line), signal: context.signal });
  const told = [...said, textReport(result)].join('\n');
  assert.deepEqual(result.violations, [], told);
  const { batches, readings } = result.comparison;
  assert.ok(batches > 0 && readings > batches, told);
  const injected = [...result.injected.values()].reduce((sum, count) => sum + count, 0);
  assert.equal(injected + result.cameToNothing.length, FAULT_KINDS.length, told);
  assert.ok(injected > FAULT_KINDS.length / 2, told);
  console.log(`${injected} faults, ${batches} batches, ${readings} readings`);
});
