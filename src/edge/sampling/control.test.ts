import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '../../base/logger.ts';
import { silentLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import type { ControlSettings } from '../settings.ts';
import { type ControlledSource, SamplingControl } from './control.ts';
import type { Usage } from './pressure.ts';

const SETTINGS: ControlSettings = {
  enabled: true,
  intervalMs: 5_000,
  horizonMs: 600_000,
  fidelityWeight: 1,
  cpuPercentMax: 100,
  memoryBytesMax: 1_000,
};

interface TestSource extends ControlledSource {
  samplesInFull: number;
  factor: number;
}

function source(name: string): TestSource {
  return {
    name,
    priority: 1,
    samplesInFull: 0,
    factor: 1,
    setSamplingFactor(factor) {
      this.factor = factor;
    },
  };
}

/** Intervals of control over sources that give so many samples in each, with memory in use as it is set. */
async function control(sources: readonly TestSource[], settings = SETTINGS, logger: Logger = silentLogger) {
  const clock = new ManualClock('2026-01-01T08:00:00Z');
  const memory = { bytes: 0 };
  const usage = (): Usage => ({
    log: { bytes: 0, bytesAppended: 0, bytesMax: 1e9, bytesPossible: null },
    waiting: { readings: 0, readingsMax: 1 },
    cpuMs: 0,
    memoryBytes: memory.bytes,
  });
  const part = new SamplingControl({ settings, sources: () => sources, pressures: { usage }, clock, logger });
  const stop = new AbortController();
  const running = part.run(stop.signal);
  const intervals = async (count: number, samples: readonly number[]): Promise<void> => {
    for (let interval = 0; interval < count; interval += 1) {
      for (const [index, one] of sources.entries()) one.samplesInFull += samples[index] ?? 0;
      await clock.step(settings.intervalMs);
    }
  };
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { clock, memory, part, intervals, end };
}

test('the source that gives most of the samples is thinned most, and all of it is taken back', async () => {
  const told: unknown[] = [];
  const logger: Logger = { ...silentLogger, info: (message, fields) => void told.push([message, fields]) };
  const sources = [source('busy'), source('quiet')];
  const { memory, part, intervals, end } = await control(sources, SETTINGS, logger);
  await intervals(50, [500, 5]);
  assert.deepEqual(told, []);
  memory.bytes = 920;
  await intervals(20, [500, 5]);
  assert.deepEqual(
    sources.map(({ factor }) => factor),
    [16, 1],
  );
  assert.deepEqual(told[0], [
    'sampling is thinned',
    {
      source: 'busy',
      sampling_factor: 2,
      previous_factor: 1,
      use_of_limits: { waiting: 0, cpu: 0, memory: 0.92, log: 0 },
    },
  ]);
  const queues = part.metrics().find(({ name }) => name === 'millwright_sampling_queue');
  const inMemory = queues?.points.find(({ labels }) => labels?.['pressure'] === 'memory');
  assert.ok(Math.abs((inMemory?.value ?? 0) - 102.4) < 1e-6);
  memory.bytes = 500;
  await intervals(60, [500, 5]);
  assert.deepEqual(
    sources.map(({ factor }) => factor),
    [1, 1],
  );
  await end();
});

test('control that is switched off measures nothing and moves nothing', async () => {
  const sources = [source('busy')];
  const { clock, memory, part, intervals, end } = await control(sources, { ...SETTINGS, enabled: false });
  memory.bytes = 5_000;
  await intervals(50, [500]);
  assert.equal(sources[0]?.factor, 1);
  assert.equal(clock.sleepers, 0);
  assert.deepEqual(part.metrics()[0]?.points, []);
  await end();
});
