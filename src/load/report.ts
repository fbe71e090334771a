/** What a run has found, told to a person: on the terminal and as a page of Markdown. */
import { isExact, type MachineCount } from './checker.ts';
import type { LatencySummary } from './latencies.ts';
import type { LoadReport } from './load.ts';

/** Machines listed one by one. */
const MACHINES_TOLD_MAX = 20;

/** Lines of a title and what there is to say, for the terminal. */
export function describeReport(report: LoadReport, where: Where): string {
  const lines = factsOf(report, where).map(([title, text]) => `${title.padEnd(16)}${text}`);
  return `${lines.join('\n')}\n`;
}

export interface Where {
  /** Addresses without passwords. */
  readonly target: string;
  readonly hub: string | null;
  readonly version: string;
}

export function reportPage(report: LoadReport, where: Where): string {
  const facts = factsOf(report, where).map(([title, text]) => `| ${title} | ${cell(text)} |`);
  const machines = report.machines.slice(0, MACHINES_TOLD_MAX).map((count) => {
    const cells = [count.machine_id, count.sent, count.stored, count.missing, count.doubled, count.foreign];
    return `| ${[...cells, count.first_time ?? '', count.last_time ?? ''].join(' | ')} |`;
  });
  const left = report.machines.length - machines.length;
  return [
    `# Load: ${report.settings.run}`,
    '',
    `Begun ${report.started_at}, Millwright ${where.version}.`,
    '',
    '| | |',
    '|---|---|',
    ...facts,
    '',
    ...(machines.length === 0
      ? []
      : [
          '| machine | sent | stored | missing | doubled | foreign | first | last |',
          '|---|---|---|---|---|---|---|---|',
          ...machines,
          ...(left > 0 ? [`| and ${number(left)} more | | | | | | | |`] : []),
          '',
        ]),
  ].join('\n');
}

/** All but exact, or not checked. */
export function isAsPublished({ exact, messages }: LoadReport): boolean {
  return exact ?? messages.acknowledged === messages.sent;
}

function factsOf(report: LoadReport, { target, hub }: Where): [string, string][] {
  const { readings, messages, machines, seconds, readings_per_second: speed, latency } = report;
  const facts: [string, string][] = [
    ['run', runText(report)],
    ['published to', hub === null || hub === target ? target : `${target}, asked at ${hub}`],
    [
      'sent',
      `${count(readings.sent, 'reading')} in ${count(messages.sent - messages.malformed, 'message')}${malformedText(report)}`,
    ],
    ['acknowledged', acknowledgedText(report)],
  ];
  if (report.exact !== null) {
    const foreign = readings.foreign === 0 ? '' : `, ${number(readings.foreign)} that were not sent`;
    facts.push([
      'stored',
      `${count(readings.stored, 'reading')}, ${number(readings.missing)} missing, ${number(readings.doubled)} doubled${foreign}`,
    ]);
    for (const machine of machines.filter((one) => !isExact(one)).slice(0, MACHINES_TOLD_MAX)) {
      facts.push(['', machineText(machine)]);
    }
    if (readings.uncounted > 0) facts.push(['not counted', count(readings.uncounted, 'reading')]);
    facts.push(...deadLetterFacts(report));
  }
  const endToEnd =
    speed.end_to_end === null
      ? ''
      : `, ${number(speed.end_to_end)}/s until all were visible (${duration(seconds.end_to_end)})`;
  facts.push([
    'speed',
    `${number(speed.published)} readings/s published and acknowledged (${duration(seconds.published)})${endToEnd}`,
  ]);
  facts.push(...latencyFacts('to acknowledge', latency.acknowledged, 'message'));
  facts.push(...latencyFacts('to be live', latency.visible, 'reading'));
  if (report.trouble !== null) facts.push(['in the way', report.trouble]);
  if (report.ended_early !== null) facts.push(['ended early', report.ended_early]);
  facts.push(['verdict', verdict(report)]);
  return facts;
}

function runText({ settings }: LoadReport): string {
  const { run, seed, machines, publishers, batch, rate } = settings;
  const pace = rate === null ? 'as fast as it goes' : `${number(rate)} readings/s`;
  const gateways = count(Math.min(publishers, machines), 'publisher');
  return `${run}, seed ${seed}: ${count(machines, 'machine')}, ${gateways}, ${count(batch, 'reading')} a message, ${pace}`;
}

function malformedText({ messages: { malformed } }: LoadReport): string {
  return malformed === 0 ? '' : `, and ${number(malformed)} malformed ${malformed === 1 ? 'message' : 'messages'}`;
}

function acknowledgedText({ messages }: LoadReport): string {
  const { acknowledged, sent, repeated, duplicates } = messages;
  const all =
    acknowledged === sent ? `all ${count(sent, 'message')}` : `${number(acknowledged)} of ${count(sent, 'message')}`;
  const again = repeated === 0 ? '' : `; ${number(repeated)} sent again, ${number(duplicates)} of them known already`;
  return `${all}${again}`;
}

function machineText(machine: MachineCount): string {
  const ranges = machine.missing_ranges.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`));
  const missing = machine.missing === 0 ? [] : [`${number(machine.missing)} missing (numbers ${ranges.join(', ')})`];
  const doubled = machine.doubled === 0 ? [] : [`${number(machine.doubled)} doubled`];
  const foreign = machine.foreign === 0 ? [] : [`${number(machine.foreign)} that were not sent`];
  return `${machine.machine_id}: ${[...missing, ...doubled, ...foreign].join(', ')}`;
}

function deadLetterFacts({ dead_letters: letters, malformed_machine: machine }: LoadReport): [string, string][] {
  if (letters === null) return [['dead letters', 'could not be read']];
  const facts: [string, string][] = [['dead letters', `${letters.found} of ${letters.expected} expected`]];
  for (const reason of letters.reasons) facts.push(['', reason]);
  for (const problem of letters.problems) facts.push(['', `wrong: ${problem}`]);
  if (letters.expected > 0)
    facts.push(['', `${machine.machine_id} has ${machine.rows ?? 'an unknown number of'} rows`]);
  return facts;
}

function latencyFacts(title: string, latency: LatencySummary | null, what: string): [string, string][] {
  if (latency === null) return [];
  const { p50Ms, p95Ms, p99Ms, maxMs } = latency;
  const text = `p50 ${p50Ms} ms, p95 ${p95Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms of ${count(latency.count, what)}`;
  return [[title, text]];
}

function verdict(report: LoadReport): string {
  if (report.exact === null) return isAsPublished(report) ? 'acknowledged; not checked' : 'not all is acknowledged';
  return report.exact ? 'exact: everything that was sent is stored once' : 'NOT EXACT';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function duration(seconds: number | null): string {
  return `${(seconds ?? 0).toFixed(2)} s`;
}

function count(value: number, what: string): string {
  return `${number(value)} ${what}${value === 1 ? '' : 's'}`;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
