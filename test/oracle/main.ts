/** `npm run oracle -- [--transport http|nats] [--seed S] [--minutes N] [--report FILE]`; exit code 1 when the rule was broken. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { TRANSPORTS } from './plan.ts';
import { runOracle } from './oracle.ts';
import { markdownReport, textReport } from './report.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '5' },
    report: { type: 'string' },
  },
});
const seed = Number(values.seed);
const minutes = Number(values.minutes);
if (!Number.isSafeInteger(seed) || !(minutes > 0)) {
  process.stderr.write('usage: npm run oracle -- [--seed WHOLE-NUMBER] [--minutes NUMBER] [--report FILE]\n');
  process.exit(2);
}

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
const print = (line: string): void => void process.stdout.write(`${line}\n`);
print(`seed ${seed}`);
try {
  const result = await runOracle({ seed, minutes, say: print, signal: stopping.signal });
  print(textReport(result));
  if (values.report !== undefined) writeFileSync(values.report, markdownReport(result));
  process.exitCode = result.violations.length === 0 ? 0 : 1;
} catch (error) {
  if (!stopping.signal.aborted) throw error;
  print('ended early: nothing was compared');
  process.exitCode = 1;
}
