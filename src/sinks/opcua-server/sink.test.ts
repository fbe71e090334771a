import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../../test/support/system.ts';
import { until } from '../../../test/support/until.ts';
import { silentLogger } from '../../base/logger.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import type { EdgeStatus } from '../../model/status.ts';
import { isServing, isStatusReporter } from '../../ports/sink.ts';
import { schema } from './config.ts';
import { ANSWER_MS_MAX, create } from './sink.ts';

test('a thread that does not answer is ended, what it was told counts as taken, and another one is started', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'millwright-'));
  context.after(() => rm(folder, { recursive: true }));
  const clock = new ManualClock('2026-01-01T08:00:00.000000Z');
  const options = schema.parse({ host: '127.0.0.1', port: await freePort() });
  const common = { gatewayId: 'gw', random: () => 0, log: silentLogger, backlogReadings: () => undefined };
  const sink = create(options, { ...common, clock });
  assert.ok(isServing(sink) && isStatusReporter(sink));
  const told = (): string | undefined => sink.trouble?.message;
  sink.serve({ folder, pollIntervalsMs: () => new Map() });
  const batch = { gatewayId: 'gw', epoch: 'e', sequence: 1, readings: 1, payload: new Uint8Array() };
  const { signal } = new AbortController();
  const status = { log: { epoch: 'e' }, sources: [], sent_at: '2026-01-01T08:00:00Z' } as unknown as EdgeStatus;
  // It has not been told an epoch, and waits for one.
  const delivered = sink.deliver([batch], signal);
  await clock.step(ANSWER_MS_MAX + 1);
  await sink.report(status, signal);
  assert.equal(told(), undefined);
  await sink.report(status, signal);
  assert.deepEqual(await delivered, { refused: [] });
  await until(() => told() !== undefined);
  assert.match(told() ?? '', /fallen \(it did not answer any more\)/);
  // The next one answers.
  await clock.step(1_000);
  await until(async () => {
    await sink.report(status, signal);
    return told() === undefined;
  });
  assert.deepEqual(await sink.deliver([batch], signal), { refused: [] });
  await sink.close();
});
