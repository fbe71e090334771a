/** The result of a run, as text for a terminal and as a page: `docs/reliability.md` over HTTP, `docs/reliability-nats.md`. */
import os from 'node:os';
import type { OracleResult } from './oracle.ts';
import { FAULTS, type Transport } from './plan.ts';

/** What runs, each part a process of its own. */
const PLANT: Readonly<Record<Transport, string>> = {
  http: 'the real edge and the real hub with a real PostgreSQL, each a process of its own',
  nats: `the real edge, three NATS servers with \`deploy/nats/cluster.conf\` and a stream that is kept three times, two real
hubs on one consumer, and a real PostgreSQL, each a process of its own`,
};
const TITLES: Readonly<Record<Transport, string>> = { http: 'Reliability', nats: 'Reliability with NATS' };

export function textReport(result: OracleResult): string {
  const { comparison, violations, folder, endings } = result;
  const width = Math.max(...[...result.injected.keys()].map((kind) => kind.length));
  const lines = [
    `${result.transport}, seed ${result.seed}, ${result.minutes} minutes (${seconds(result.tookMs)} with start, drains and comparison)`,
    `faults injected: ${total(result)}`,
    ...[...result.injected].map(([kind, count]) => `  ${kind.padEnd(width)}  ${count}`),
    ...result.cameToNothing.map((why) => `  came to nothing: ${why}`),
    ...[...endings].map(([how, count]) => `${how}, and was started again: ${count} times`),
    ...figures(result).map(([what, value]) => `${what}: ${value}`),
    ...comparison.offenders.map((line) => `  ${line}`),
    violations.length === 0 ? 'the rule held' : `THE RULE WAS BROKEN: ${violations.join('; ')}`,
  ];
  if (folder !== null) lines.push(`logs, witness and the edge's log are kept in ${folder}`);
  return lines.join('\n');
}

export function markdownReport(result: OracleResult): string {
  const { transport, seed, minutes } = result;
  const faults = [...result.injected].map(([kind, count]) => `| ${kind} | ${count} | ${FAULTS[kind].what} |`);
  const values = figures(result).map(([what, value]) => `| ${what} | ${value} |`);
  const endings = [...result.endings].map(([how, count]) => `| ${how}, and was started again | ${count} |`);
  return `# ${TITLES[transport]}

The oracle runs ${PLANT[transport]},
lets faults happen to them at random times, several at once, and then compares: **every batch that the edge's log had
acknowledged is in the database exactly once, with the same values**, except what a flipped bit destroyed. A witness
beside the log writes down each batch before the log's promise is given; its JSON is turned into rows by SQL that shares
nothing with the hub.

    npm run oracle -- --transport ${transport} --seed ${seed} --minutes ${minutes}

The seed decides which faults happen when, how long they last and what they hit; what the processes were doing at that
moment it does not. A short run with a seed of its own is part of \`npm test\`.

## Result

${result.violations.length === 0 ? 'The rule held.' : `**The rule was broken: ${result.violations.join('; ')}.**`}

| | |
|---|---:|
${[...values, ...endings].join('\n')}

Node ${process.versions.node}, ${os.type()} ${os.arch()}, ${os.availableParallelism()} cores.

## Faults

${injectedText(result)}

| kind | times | what happens |
|---|---:|---|
${faults.join('\n')}
`;
}

function injectedText(result: OracleResult): string {
  const nothing = result.cameToNothing.length;
  const rest = nothing === 0 ? '' : `; ${nothing} more came to nothing, because what they needed did not come about`;
  return `${total(result)} were injected${rest}.`;
}

function total({ injected }: OracleResult): number {
  return [...injected.values()].reduce((sum, count) => sum + count, 0);
}

function figures({ comparison, drainsMs, backlogMax }: OracleResult): [string, string | number][] {
  return [
    ['batches checked', comparison.batches],
    ['readings checked, every value', comparison.readings],
    ['batches lost', comparison.batchesLost],
    ['readings lost', comparison.readingsLost],
    ['readings doubled', comparison.readingsDoubled],
    ['readings altered', comparison.readingsCorrupted],
    ['batches that nobody wrote', comparison.batchesUnknown],
    ['numbers used for two batches', comparison.numbersUsedTwice],
    ['batches acknowledged before they were on the disk', comparison.batchesPromisedEarly],
    ['batches destroyed by flipped bits', comparison.batchesDestroyed],
    ['of these not named by a gap event', comparison.batchesUntold],
    ['batches named by a gap event without cause', comparison.batchesToldWrongly],
    ['largest backlog seen, batches', backlogMax],
    ['times all faults ended and the backlog was delivered', drainsMs.length],
    ['longest of these', seconds(Math.max(0, ...drainsMs))],
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
