/**
 * `npm run oracle -- [--transport http|nats] [--seed S] [--minutes N] [--report FILE]`, or with `--drill database-down`
 * instead of a seed; exit code 1 when the rule was broken.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { drillDatabaseDown } from './drill.ts';
import { runOracle } from './oracle.ts';
import { TRANSPORTS, type Transport } from './plan.ts';
import { markdownReport, textReport } from './report.ts';

const { values } = parseArgs({
  options: {
    transport: { type: 'string', default: 'nats' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '5' },
    report: { type: 'string' },
    drill: { type: 'string' },
  },
});
const transport = TRANSPORTS.find((known) => known === values.transport);
const seed = Number(values.seed);
const minutes = Number(values.minutes);
const isDrill = values.drill === 'database-down';
const isKnown = transport !== undefined && (isDrill || values.drill === undefined);
if (!isKnown || !Number.isSafeInteger(seed) || !(minutes > 0)) {
  const usage =
    '[--transport http|nats] [--seed WHOLE-NUMBER] [--minutes NUMBER] [--report FILE] [--drill database-down]';
  process.stderr.write(`usage: npm run oracle -- ${usage}\n`);
  process.exit(2);
}

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
const print = (line: string): void => void process.stdout.write(`${line}\n`);
try {
  const violations = isDrill ? await drill(transport) : await run(transport);
  process.exitCode = violations.length === 0 ? 0 : 1;
} catch (error) {
  if (!stopping.signal.aborted) throw error;
  print('ended early: nothing was compared');
  process.exitCode = 1;
}

async function run(by: Transport): Promise<readonly string[]> {
  print(`${by}, seed ${seed}`);
  const result = await runOracle({ transport: by, seed, minutes, say: print, signal: stopping.signal });
  print(textReport(result));
  if (values.report !== undefined) writeFileSync(values.report, markdownReport(result));
  return result.violations;
}

async function drill(by: Transport): Promise<readonly string[]> {
  const violations = await drillDatabaseDown({ transport: by, minutes, say: print, signal: stopping.signal });
  print(violations.length === 0 ? 'the rule held' : `THE RULE WAS BROKEN: ${violations.join('; ')}`);
  return violations;
}
