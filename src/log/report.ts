/** A log, told to a person: `millwright log inspect | verify`. */
import { timestampOf } from '../model/time.ts';
import type { LogReport, SegmentReport } from './inspect.ts';

/** Segments listed one by one; of more, the middle is left out. */
const SEGMENTS_LISTED_MAX = 40;

/** The whole report, or with `verify` only what is wrong and the verdict. */
export function describeLog(report: LogReport, { verify }: { verify: boolean }): string {
  const lines = [
    `log       ${report.id}${report.gatewayId === null ? '' : `, gateway ${report.gatewayId}`}`,
    `in use    ${report.lockedByPid === null ? 'no' : `by process ${report.lockedByPid}`}`,
    `holds     ${count(report.batches, 'batch', 'batches')}, ${count(report.readings, 'reading', 'readings')}, ${size(report.bytes)}`,
  ];
  if (!verify) lines.push(...segmentLines(report.segments), ...cursorLines(report));
  for (const { name, corruptRanges, headerDamaged, missingBatches } of report.segments) {
    if (headerDamaged) lines.push(`damaged   ${name}: its header cannot be read`);
    for (const range of corruptRanges) {
      lines.push(`damaged   ${name}: ${size(range.bytes)} from byte ${range.offset} on: ${range.reason}`);
    }
    if (missingBatches > 0) lines.push(`missing   ${count(missingBatches, 'batch', 'batches')} after ${name}`);
  }
  for (const { first, last, batches } of report.quarantined) {
    lines.push(
      `lost      sequences ${first} to ${last} (${count(batches, 'batch', 'batches')}); what is left of them is in quarantine/`,
    );
  }
  lines.push(
    report.sound
      ? 'sound     every batch can be read'
      : 'not sound some batches cannot be read; the others are not affected',
  );
  return `${lines.join('\n')}\n`;
}

function segmentLines(segments: readonly SegmentReport[]): string[] {
  const listed = segments.map((segment) => {
    const range = segment.firstSequence === null ? 'empty' : `${segment.firstSequence} to ${segment.lastSequence}`;
    const from =
      segment.oldestAppendedAtMicros === null ? '' : `, since ${timestampOf(segment.oldestAppendedAtMicros)}`;
    return `segment   ${segment.name}  ${range}, ${count(segment.readings, 'reading', 'readings')}, ${size(segment.bytes)}${from}`;
  });
  const more = listed.length - SEGMENTS_LISTED_MAX;
  if (more <= 0) return listed;
  const half = SEGMENTS_LISTED_MAX / 2;
  return [...listed.slice(0, half), `          … ${more} more …`, ...listed.slice(-half)];
}

function cursorLines(report: LogReport): string[] {
  if (report.cursors.length === 0) return ['sink      none has read from this log'];
  return report.cursors.map(({ sink, position, lagBatches, lagReadings }) => {
    const behind = `${count(lagBatches, 'batch', 'batches')}, ${count(lagReadings, 'reading', 'readings')} behind`;
    return `sink      ${sink}: ${position === null ? 'its cursor is damaged' : `settled up to ${position}`}; ${behind}`;
  });
}

function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString('en-US')} ${number === 1 ? one : many}`;
}

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
