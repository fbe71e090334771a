/**
 * Compares what a stand-in MES has got with the measurements that a hub has stored, value by value: whatever is missing,
 * doubled, or at the MES alone is counted, for each machine that the MES knows, from its first value there on.
 *
 * A value is told by machine and time, so it is meant for the usual template, and for machines whose parts differ in time.
 */
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { MeasurementRow } from '../model/api.ts';
import { timestampOf } from '../model/time.ts';
import type { MesReport } from './mes.ts';
import type { Received } from './mes-memory.ts';

export interface MesCheckOptions {
  readonly mesUrl: string;
  readonly hubUrl: string;
  /** What was measured later may still be on its way to either, and is left out. Microseconds since 1970. */
  readonly untilMicros: number;
}

export interface MachineCheck {
  readonly machineId: string;
  /** Measurements of the same time range. */
  readonly atHub: number;
  readonly atMes: number;
  /** At the hub and not at the MES. */
  readonly missing: number;
  /** Accepted by the MES more than once, under different keys. */
  readonly doubled: number;
  /** At the MES and not at the hub. */
  readonly onlyAtMes: number;
}

export interface MesCheck {
  readonly machines: readonly MachineCheck[];
  /** Values that came again with their key, and were not taken again. */
  readonly repeated: number;
}

/** Longest wait for one answer. */
const ANSWER_MS_MAX = 30_000;
const PAGE_ROWS = 10_000;

/** @throws `connection_failed` when one of the two cannot be asked */
export async function checkMes({ mesUrl, hubUrl, untilMicros }: MesCheckOptions): Promise<MesCheck> {
  const until = timestampOf(untilMicros);
  const { repeated } = (await (await ask(`${mesUrl}/received?newest=0`)).json()) as MesReport;
  const received = (await (await ask(`${mesUrl}/received?all=1`)).json()) as Received[];
  const byMachine = new Map<string, Received['body'][]>();
  for (const { body } of received) {
    if (String(body['timestamp']) > until) continue;
    const machineId = String(body['machine_id']);
    const bodies = byMachine.get(machineId);
    if (bodies === undefined) byMachine.set(machineId, [body]);
    else bodies.push(body);
  }
  const machines: MachineCheck[] = [];
  for (const [machineId, bodies] of byMachine) {
    const times = bodies.map((body) => String(body['timestamp']));
    const start = times.reduce((first, time) => (time < first ? time : first));
    const stored = await storedTimes(hubUrl, { machineId, start, end: until });
    const [there, here] = [countsOf(times), countsOf(stored)];
    const values = new Set(bodies.map((body) => JSON.stringify(body)));
    machines.push({
      machineId,
      atHub: stored.length,
      atMes: times.length,
      missing: excess(here, there),
      doubled: bodies.length - values.size,
      onlyAtMes: [...there].filter(([time]) => !here.has(time)).length,
    });
  }
  return { machines, repeated };
}

export function isWhole({ machines }: MesCheck): boolean {
  return machines.every(({ missing, doubled, onlyAtMes }) => missing + doubled + onlyAtMes === 0);
}

/** A table, with a sentence below it. */
export function describeCheck({ machines, repeated }: MesCheck): string {
  if (machines.length === 0) return 'the MES has got nothing yet\n';
  const rows = machines.map((one) => [
    one.machineId,
    ...[one.atHub, one.atMes, one.missing, one.doubled, one.onlyAtMes].map(String),
  ]);
  const table = [['machine', 'at the hub', 'at the MES', 'missing', 'doubled', 'only at the MES'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '),
  );
  return `${lines.join('\n')}\nsent again with a key that the MES knew, and not taken again: ${repeated}\n`;
}

/** Of all measurements in the range, both ends included. */
async function storedTimes(
  hubUrl: string,
  { machineId, start, end }: { machineId: string; start: string; end: string },
): Promise<string[]> {
  const query = new URLSearchParams({ start_time: start, end_time: end, limit: String(PAGE_ROWS) });
  const times: string[] = [];
  let place: string | undefined = `/api/v1/machines/${encodeURIComponent(machineId)}/measurements?${query.toString()}`;
  while (place !== undefined) {
    const answer: Response = await ask(new URL(place, hubUrl).href);
    times.push(...((await answer.json()) as MeasurementRow[]).map(({ time }) => time));
    place = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return times;
}

async function ask(url: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  } catch (cause) {
    throw new MillwrightError('connection_failed', `${url} cannot be asked: ${messageOf(cause)}`, { cause });
  }
  if (!answer.ok)
    throw new MillwrightError('connection_failed', `${url} answers ${answer.status}: ${await answer.text()}`);
  return answer;
}

function countsOf(times: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const time of times) counts.set(time, (counts.get(time) ?? 0) + 1);
  return counts;
}

/** How many there are here that are not there. */
function excess(here: ReadonlyMap<string, number>, there: ReadonlyMap<string, number>): number {
  let count = 0;
  for (const [time, times] of here) count += Math.max(0, times - (there.get(time) ?? 0));
  return count;
}
