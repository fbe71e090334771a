import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CursorReport, LogReport, SegmentReport } from './inspect.ts';
import { outlookOf, RATIO_ASSUMED } from './outlook.ts';
import { describeLog } from './report.ts';

const START_MICROS = 1_767_254_400_000_000;
const HOUR_MICROS = 3_600_000_000;
const MB = 2 ** 20;

function segment(first: number, changes: Partial<SegmentReport> = {}): SegmentReport {
  return {
    name: `${String(first).padStart(16, '0')}.seg`,
    bytes: 4 * MB,
    form: 'plain',
    thinning: 0,
    plainBytes: 4 * MB,
    headerDamaged: false,
    createdAtMicros: START_MICROS,
    firstSequence: first,
    lastSequence: first + 9,
    oldestAppendedAtMicros: START_MICROS,
    newestAppendedAtMicros: START_MICROS + HOUR_MICROS,
    readingsBefore: 0,
    batches: 10,
    readings: 100,
    corruptRanges: [],
    unfinishedBytes: 0,
    missingBatches: 0,
    ...changes,
  };
}

function cursor(changes: Partial<CursorReport> = {}): CursorReport {
  const oldestUnsentMicros = START_MICROS + HOUR_MICROS / 2;
  return { sink: 'hub', position: 5, islands: [], lagBatches: 4, lagReadings: 40, oldestUnsentMicros, ...changes };
}

function reportOf(changes: Partial<LogReport> = {}): LogReport {
  const segments = changes.segments ?? [segment(1)];
  return {
    id: 'log',
    gatewayId: 'gw',
    identityDamaged: false,
    lockedByPid: null,
    segments,
    foreignSegments: [],
    cursors: [],
    batches: 10,
    readings: 100,
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    newestHour: null,
    missing: [],
    quarantined: [],
    untoldLosses: [],
    sound: true,
    ...changes,
  };
}

const limits = { bytesMax: 100 * MB, reserveBytes: 10 * MB };
const around = { nowMicros: START_MICROS + 2.5 * HOUR_MICROS, limits, freeBytes: 1000 * MB };

test('the time to full is what the limit leaves, at the rate of the newest hour, compressed as in this log', () => {
  const newestHour = { bytes: 36 * MB, spanMicros: HOUR_MICROS };
  const cold = segment(1, { form: 'compressed', bytes: MB, plainBytes: 12 * MB });
  const measured = outlookOf(reportOf({ newestHour, segments: [cold, segment(11, { bytes: 12 * MB })] }), around);
  assert.deepEqual([measured.compressionRatio, measured.ratioIsMeasured], [12, true]);
  // The plain segment will be 1 MB too: 98 MB are left, for 3 MB an hour.
  assert.equal(Math.round(measured.fullInSeconds ?? 0), Math.round((98 / 3) * 3600));
  const assumed = outlookOf(reportOf({ newestHour }), around);
  assert.deepEqual([assumed.compressionRatio, assumed.ratioIsMeasured], [RATIO_ASSUMED, false]);
});

test('a disk that is short of space counts before the limit, and what is not known is not told', () => {
  const newestHour = { bytes: MB, spanMicros: HOUR_MICROS };
  const short = outlookOf(reportOf({ newestHour }), { ...around, freeBytes: 30 * MB });
  assert.equal(short.bytesMax, 24 * MB);
  assert.equal(outlookOf(reportOf({ newestHour }), { ...around, freeBytes: 0 }).fullInSeconds, 0);
  assert.equal(outlookOf(reportOf(), around).fullInSeconds, null);
  assert.equal(outlookOf(reportOf({ newestHour: { bytes: MB, spanMicros: 10 } }), around).bytesPerSecond, null);
  const unknown = outlookOf(reportOf({ newestHour }), { ...around, limits: null });
  assert.deepEqual([unknown.bytesMax, unknown.fullInSeconds], [null, null]);
});

test('a person is told how far behind each sink is, in which form the segments are, and what is not told yet', () => {
  const report = reportOf({
    segments: [
      segment(1, { form: 'compressed', bytes: MB, plainBytes: 12 * MB, thinning: 3 }),
      segment(11, { form: 'compressed', bytes: MB, plainBytes: 12 * MB, thinning: 1 }),
      segment(21, { form: 'compressed', bytes: MB, thinning: 254 }),
      segment(31, { form: 'compressed', bytes: MB, thinning: 255 }),
      segment(41),
    ],
    cursors: [
      cursor({ islands: [{ first: 8, last: 12 }] }),
      cursor({ sink: 'new', position: 0 }),
      cursor({ sink: 'done', lagBatches: 0, lagReadings: 0, oldestUnsentMicros: null }),
      cursor({ sink: 'bad', position: null }),
    ],
    untoldLosses: [
      {
        reason: 'thinned',
        machineId: 'CNC-1',
        startTime: '2026-01-01T08:00:00Z',
        endTime: '2026-01-01T09:00:00Z',
        readings: 1200,
        firstSequence: 1,
        lastSequence: 9,
        sinks: ['hub'],
      },
    ],
  });
  const text = describeLog(report, outlookOf(report, around));
  assert.match(
    text,
    /hub: settled up to 5; 4 batches, 40 readings behind; the oldest unsent for 2 hours; settled ahead: 8 to 12\n/,
  );
  assert.match(text, /new: has settled nothing yet; .* 2 hours\n/);
  assert.match(text, /done: settled up to 5; 0 batches, 0 readings behind\n/);
  assert.match(text, /bad: its cursor is damaged; /);
  assert.match(text, /1 to 10, .* compressed 12\.0 : 1, samples merged to one in 800 ms, since/);
  assert.match(text, /11 to 20, .*one in 200 ms/);
  assert.match(text, /21 to 30, .*, samples dropped/);
  assert.match(text, /31 to 40, .*, all that may be dropped is dropped/);
  assert.match(text, /41 to 50, .*4\.0 MB, plain, since/);
  assert.match(text, /untold {4}1,200 readings thinned, 2026-01-01T08:00:00Z to 2026-01-01T09:00:00Z/);
});
