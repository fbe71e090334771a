/** A log, told to a person: `millwright log inspect | verify | repair`. */
import { timestampOf } from '../model/time.ts';
import type { CursorReport, LogReport, MissingRange, SegmentReport } from './inspect.ts';
import { EMPTIED, WIDTH_MICROS_FIRST, WITHOUT_SAMPLES } from './keeper.ts';
import type { Outlook } from './outlook.ts';
import type { Repaired } from './repair.ts';

/** Segments listed one by one; of more, the middle is left out. */
const SEGMENTS_LISTED_MAX = 40;

/** All there is to know, damage included. */
export function describeLog(report: LogReport, outlook: Outlook): string {
  return textOf([
    ...headLines(report),
    ...fullLines(report, outlook),
    ...segmentLines(report.segments),
    ...cursorLines(report, outlook),
    ...report.untoldLosses.map(({ reason, readings, startTime, endTime }) => {
      return `untold    ${count(readings, 'reading', 'readings')} ${reason}, ${startTime} to ${endTime}; the edge tells of it at its next start`;
    }),
    ...damageLines(report),
  ]);
}

/** What is wrong, and the verdict. */
export function describeSoundness(report: LogReport): string {
  return textOf([...headLines(report), ...damageLines(report)]);
}

export function describeRepair({ before, done, after }: Repaired): string {
  // Who has the log open is this very repair.
  if (done.length === 0)
    return textOf([...headLines(before).slice(-1), ...damageLines(before), 'repaired  nothing had to be']);
  return textOf([
    ...before.missing.map((range) => `lost      ${missingText(range)}`),
    ...done.map((sentence) => `repaired  ${sentence}`),
    ...headLines(after).slice(-1),
    ...(after.sound ? [] : damageLines(after)),
    after.sound
      ? 'sound     every batch that is left can be read; the edge tells of what is lost at its next start'
      : 'not sound some damage could not be mended',
  ]);
}

function headLines(report: LogReport): string[] {
  const gateway = report.gatewayId === null ? '' : `, gateway ${report.gatewayId}`;
  const sums = `${count(report.batches, 'batch', 'batches')}, ${count(report.readings, 'reading', 'readings')}`;
  return [
    `log       ${report.id}${gateway}`,
    `in use    ${report.lockedByPid === null ? 'no' : `by process ${report.lockedByPid}`}`,
    `holds     ${sums}, ${size(report.bytes)}`,
  ];
}

function fullLines({ bytes }: LogReport, outlook: Outlook): string[] {
  const { bytesMax, bytesPerSecond, fullInSeconds, compressionRatio, ratioIsMeasured } = outlook;
  if (bytesMax === null) return ['full      the limits are not known: there is no settings.json of an edge here'];
  const share = bytesMax === 0 ? 100 : (100 * bytes) / bytesMax;
  const lines = [`full      ${share.toFixed(1)} % of ${size(bytesMax)}`];
  if (bytesPerSecond === null || fullInSeconds === null) return lines;
  const ratio = `${compressionRatio.toFixed(1)} : 1 (${ratioIsMeasured ? 'as in this log' : 'assumed'})`;
  lines.push(
    `          room for ${duration(fullInSeconds)} if no sink takes anything, at the rate of the newest hour:`,
    `          ${size(bytesPerSecond * 3600)} an hour, compressed ${ratio}`,
  );
  return lines;
}

function segmentLines(segments: readonly SegmentReport[]): string[] {
  const listed = segments.map((segment) => {
    const { name, firstSequence, lastSequence, readings, bytes, oldestAppendedAtMicros } = segment;
    const range = firstSequence === null ? 'empty' : `${firstSequence} to ${lastSequence}`;
    const since = oldestAppendedAtMicros === null ? '' : `, since ${timestampOf(oldestAppendedAtMicros)}`;
    const sums = `${count(readings, 'reading', 'readings')}, ${size(bytes)}, ${formText(segment)}`;
    return `segment   ${name}  ${range}, ${sums}${since}`;
  });
  const more = listed.length - SEGMENTS_LISTED_MAX;
  if (more <= 0) return listed;
  const half = SEGMENTS_LISTED_MAX / 2;
  return [...listed.slice(0, half), `          … ${more} more …`, ...listed.slice(-half)];
}

function formText({ form, thinning, plainBytes, bytes }: SegmentReport): string {
  const width = (WIDTH_MICROS_FIRST / 1e6) * 2 ** (thinning - 1);
  const given: { readonly [thinning: number]: string } = {
    0: '',
    [WITHOUT_SAMPLES]: ', samples dropped',
    [EMPTIED]: ', all that may be dropped is dropped',
  };
  const thinned = given[thinning] ?? `, samples merged to one in ${width < 1 ? `${width * 1000} ms` : duration(width)}`;
  const ratio = plainBytes === 0 ? '' : ` ${(plainBytes / bytes).toFixed(1)} : 1`;
  return form === 'plain' ? `plain${thinned}` : `compressed${ratio}${thinned}`;
}

function cursorLines({ cursors, segments }: LogReport, { oldestUnsentSeconds }: Outlook): string[] {
  if (cursors.length === 0) return ['sink      none has read from this log'];
  const oldest = segments.find(({ firstSequence }) => firstSequence !== null)?.firstSequence ?? 0;
  return cursors.map((cursor) => {
    const { sink, position, lagBatches, lagReadings, islands } = cursor;
    const behind = `${count(lagBatches, 'batch', 'batches')}, ${count(lagReadings, 'reading', 'readings')} behind`;
    const ageSeconds = oldestUnsentSeconds[sink];
    const parts = [
      `${positionText(position)}; ${behind}`,
      ...(ageSeconds === undefined ? [] : [`the oldest unsent for ${duration(ageSeconds)}`]),
      ...(islands.length === 0 ? [] : [`settled ahead: ${islands.map(rangeText).join(', ')}`]),
      ...goneText(cursor, oldest),
    ];
    return `sink      ${sink}: ${parts.join('; ')}`;
  });
}

function positionText(position: number | null): string {
  if (position === null) return 'its cursor is damaged';
  return position === 0 ? 'has settled nothing yet' : `settled up to ${position}`;
}

/** Batches that the log deleted or gave up before the sink had them. */
function goneText({ position }: CursorReport, oldest: number): string[] {
  if (position === null || position === 0 || position + 1 >= oldest) return [];
  return [`the log no longer has ${rangeText({ first: position + 1, last: oldest - 1 })}`];
}

function damageLines(report: LogReport): string[] {
  const lines: string[] = [];
  if (report.identityDamaged) lines.push('damaged   log.identity cannot be read; the segments tell whose log it is');
  for (const name of report.foreignSegments) lines.push(`foreign   ${name} belongs to another log`);
  for (const { name, corruptRanges, headerDamaged, unfinishedBytes } of report.segments) {
    if (headerDamaged) lines.push(`damaged   ${name}: its header cannot be read`);
    for (const range of corruptRanges) {
      lines.push(`damaged   ${name}: ${size(range.bytes)} from byte ${range.offset} on: ${range.reason}`);
    }
    if (unfinishedBytes > 0) lines.push(`torn      ${name}: ${size(unfinishedBytes)} at its end were being written`);
  }
  for (const range of report.missing) lines.push(`missing   ${missingText(range)}`);
  for (const { sink, position } of report.cursors) {
    if (position === null) lines.push(`damaged   the cursor of ${sink}: it would begin at the oldest batch kept`);
  }
  for (const { first, last, batches, isTold } of report.quarantined) {
    const told = isTold ? 'told by a gap event' : 'to be told at the next start of the edge';
    const what = count(batches, 'batch', 'batches');
    lines.push(`lost      ${rangeText({ first, last })} (${what}), ${told}; what is left is in quarantine/`);
  }
  const verdict = 'not sound something is damaged; the batches that are not named are not affected';
  const sound = `sound     every batch ${report.quarantined.length > 0 ? 'that is left ' : ''}can be read`;
  return [...lines, report.sound ? sound : verdict];
}

function missingText({ segment, firstSequence, lastSequence, afterMicros, beforeMicros }: MissingRange): string {
  const after = afterMicros === null ? '' : ` after ${timestampOf(afterMicros)}`;
  const before = beforeMicros === null ? '' : ` before ${timestampOf(beforeMicros)}`;
  const when =
    after === '' && before === '' ? '' : `, appended${after}${before === '' || after === '' ? '' : ' and'}${before}`;
  const what =
    lastSequence === null
      ? `${firstSequence} and perhaps more at the end of`
      : `${rangeText({ first: firstSequence, last: lastSequence })} (${count(lastSequence - firstSequence + 1, 'batch', 'batches')}) of`;
  return `${what} ${segment}${when}`;
}

function rangeText({ first, last }: { first: number; last: number }): string {
  return first === last ? String(first) : `${first} to ${last}`;
}

function textOf(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString('en-US')} ${number === 1 ? one : many}`;
}

function size(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  if (bytes < 2 ** 20) return `${(bytes / 1024).toFixed(1)} KB`;
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MB` : `${(bytes / 2 ** 30).toFixed(1)} GB`;
}

/** In the largest unit of which there are at least two. */
function duration(seconds: number): string {
  const units = [
    ['days', 86_400],
    ['hours', 3600],
    ['minutes', 60],
  ] as const;
  const [name, unit] = units.find(([, each]) => seconds >= 2 * each) ?? ['seconds', 1];
  const value = seconds / unit;
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value).toLocaleString('en-US')} ${name}`;
}
