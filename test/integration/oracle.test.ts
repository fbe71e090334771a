/** A short run of the oracle by each transport: every kind of fault once, and nothing is lost, doubled or altered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runOracle } from '../oracle/oracle.ts';
import { faultKinds, TRANSPORTS } from '../oracle/plan.ts';
import { textReport } from '../oracle/report.ts';

/** Of faults; start, drains and comparison come besides. */
const MINUTES = { http: 0.25, nats: 0.4 } as const;

for (const transport of TRANSPORTS) {
  test(`nothing is lost, doubled or altered, whatever happens: ${transport}`, async (context) => {
    const seed = Number(process.env['ORACLE_SEED'] ?? Date.now() % 1_000_000);
    console.log(`${transport}, seed ${seed} (repeat with ORACLE_SEED)`);
    const said: string[] = [];
    const say = (line: string): void => void said.push(line);
    const result = await runOracle({ transport, seed, minutes: MINUTES[transport], say, signal: context.signal });
    const told = [...said, textReport(result)].join('\n');
    assert.deepEqual(result.violations, [], told);
    const { batches, readings } = result.comparison;
    assert.ok(batches > 0 && readings > batches, told);
    const injected = [...result.injected.values()].reduce((sum, count) => sum + count, 0);
    const kinds = faultKinds(transport).length;
    assert.equal(injected + result.cameToNothing.length, kinds, told);
    assert.ok(injected > kinds / 2, told);
    console.log(`${injected} faults, ${batches} batches, ${readings} readings`);
  });
}
