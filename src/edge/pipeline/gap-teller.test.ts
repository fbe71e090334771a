import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { silentLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import type { Loss } from '../../log/losses.ts';
import { decodeMessage } from '../../model/frame.ts';
import type { MachineEvent } from '../../model/reading.ts';
import { type GapTellerOptions, TELL_INTERVAL_MS, tellGaps } from './gap-teller.ts';

const LOSS: Loss = {
  reason: 'thinned',
  machineId: 'CNC-001',
  startTime: '2026-01-01T07:00:00.000000Z',
  endTime: '2026-01-01T07:30:00.000000Z',
  readings: 1200,
  firstSequence: 17,
  lastSequence: 90,
  sinks: ['hub'],
};

/** A log that has lost something, and may refuse to be told. */
class LosingLog implements Pick<GapTellerOptions, 'log'> {
  readonly events: MachineEvent[] = [];
  untold: Loss[] = [];
  failing = false;

  readonly log: GapTellerOptions['log'] = Object.defineProperty(
    {
      hasLosses: false,
      takeLosses: async () => this.untold,
      lossesTold: async () => {
        this.untold = [];
      },
      append: async (payload: Uint8Array, readings: number) => {
        if (this.failing) throw new Error('no space left');
        const decoded = decodeMessage(payload);
        assert.deepEqual([decoded.faults.length, decoded.readings.length], [0, readings]);
        for (const reading of decoded.readings) if (reading.kind === 'event') this.events.push(reading);
        return this.events.length;
      },
    },
    'hasLosses',
    { get: () => this.untold.length > 0 },
  );
}

function start(losing: LosingLog): { clock: ManualClock; end: () => Promise<void> } {
  const clock = new ManualClock('2026-01-01T08:00:00.000000Z');
  const stop = new AbortController();
  const { log } = losing;
  const options = { log, machineIds: () => ['CNC-001', 'CNC-002'], clock, logger: silentLogger };
  const running = tellGaps(options, stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { clock, end };
}

test('a loss is told at once, with machine, times, number, sequences and sinks', async () => {
  const losing = new LosingLog();
  losing.untold = [LOSS];
  const { end } = start(losing);
  await until(() => losing.untold.length === 0);
  await end();
  assert.deepEqual(losing.events, [
    {
      machine_id: 'CNC-001',
      timestamp: '2026-01-01T08:00:00.000000Z',
      kind: 'event',
      event_type: 'gap',
      text: '1200 samples were merged into wider intervals at the gateway: its log was full',
      details: {
        reason: 'thinned',
        start_time: LOSS.startTime,
        end_time: LOSS.endTime,
        readings: 1200,
        first_sequence: 17,
        last_sequence: 90,
        sinks: ['hub'],
      },
    },
  ]);
});

test('what damage has destroyed is told of every machine whose readings may have been in it', async () => {
  const losing = new LosingLog();
  losing.untold = [{ ...LOSS, reason: 'destroyed', machineId: null }];
  const { end } = start(losing);
  await until(() => losing.untold.length === 0);
  await end();
  assert.deepEqual(
    losing.events.map((event) => [event.machine_id, event.details?.['readings']]),
    [
      ['CNC-001', 1200],
      ['CNC-002', 1200],
    ],
  );
});

test('what cannot be told now is told later, or at the end', async () => {
  const losing = new LosingLog();
  losing.failing = true;
  losing.untold = [LOSS];
  const { clock, end } = start(losing);
  await until(() => clock.sleepers === 1);
  assert.equal(losing.events.length, 0);
  losing.failing = false;
  await clock.step(TELL_INTERVAL_MS);
  await until(() => losing.events.length === 1);
  losing.untold = [{ ...LOSS, machineId: 'CNC-002' }];
  await end();
  assert.deepEqual(
    losing.events.map((event) => event.machine_id),
    ['CNC-001', 'CNC-002'],
  );
});
