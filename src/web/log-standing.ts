/** How full a gateway's log is and what it had to give up, in words. Pure. */
import type { LogStatus, SinkStatus } from '../model/status.ts';
import { formatBytes, formatCount, formatAbout } from './format.ts';

/** A log that is fuller than this part of its limit wants a look, while there is time. */
const FULL_PART_MAX = 0.8;

/** An older gateway does not send every field. */
type Told<Status> = { readonly [Field in keyof Status]?: Status[Field] | undefined };

/** From 0 to 1, of what the limit or the disk lets the log become; null when that is not known. */
export function fullPart({ bytes, bytes_max: limit, bytes_possible: possible }: Told<LogStatus>): number | null {
  const room = roomOf(limit, possible);
  return room === null || bytes === undefined ? null : Math.min(1, bytes / room);
}

/** `3.7 GB of 4.0 GB` */
export function sizeText({ bytes, bytes_max: limit, bytes_possible: possible }: Told<LogStatus>): string {
  const room = roomOf(limit, possible);
  return room === null ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(room)}`;
}

/** `92 % full`; null while there is room enough. */
export function fullText(log: Told<LogStatus>): string | null {
  const part = fullPart(log);
  return part === null || part <= FULL_PART_MAX ? null : `${Math.round(part * 100)} % full`;
}

/** One sentence for each thing that wants a look; none when all is well. */
export function logWarnings(log: Told<LogStatus>): string[] {
  const warnings: string[] = [];
  const full = fullText(log);
  const { bytes_max: limit, bytes_possible: possible, readings_thinned: thinned, readings_dropped: dropped } = log;
  const disk = isDiskShort(limit, possible) ? ', more does not fit on its disk' : '';
  if (full !== null) warnings.push(`The log is ${full}: ${sizeText(log)}${disk}.`);
  const given = [...givenUp(thinned, 'merged into wider intervals'), ...givenUp(dropped, 'dropped')];
  if (given.length > 0) warnings.push(`To keep the log within its limit, ${given.join(' and ')} since the start.`);
  return warnings;
}

/** `drained in about 4 min`, by the sink that takes longest; null where nothing drains, or nobody knows how fast. */
export function drainText(sinks: readonly Told<SinkStatus>[]): string | null {
  const seconds = sinks.flatMap(({ drained_in_seconds: left }) => left ?? []);
  return seconds.length === 0 ? null : `drained in ${formatAbout(Math.max(...seconds))}`;
}

function givenUp(readings: number | undefined, how: string): string[] {
  if (readings === undefined || readings <= 0) return [];
  return [readings === 1 ? `1 reading was ${how}` : `${formatCount(readings)} readings were ${how}`];
}

function roomOf(limit: number | undefined, possible: number | null | undefined): number | null {
  if (limit === undefined || limit <= 0) return null;
  return isDiskShort(limit, possible) ? Math.max(1, possible ?? 0) : limit;
}

function isDiskShort(limit: number | undefined, possible: number | null | undefined): boolean {
  return typeof possible === 'number' && limit !== undefined && possible < limit;
}
