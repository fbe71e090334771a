/** The edge's own page, as a person beside the machine sees it. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { StatusServer } from '../../src/edge/status/server.ts';
import type { EdgeStatus, SinkStatus, SourceStatus } from '../../src/model/status.ts';
import { assertAccessible, DESKTOP, overflowPx, PHONE, startBrowser, visit } from './browser.ts';

const VIEWPORTS = { desktop: DESKTOP, phone: PHONE };
/** Where the pictures go, for who wants to see them. */
const PICTURES = process.env['MILLWRIGHT_PICTURES'];

const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString();

function source(name: string, said: Partial<SourceStatus>): SourceStatus {
  return {
    ...{
      name,
      type: 'modbus',
      machine_id: name.toUpperCase(),
      state: 'ok',
      state_since: ago(11_000),
      last_error: null,
    },
    ...{
      last_error_at: null,
      last_contact: ago(0.1),
      last_reading: ago(0.1),
      silent_after_seconds: 10,
      readings: 884_123,
    },
    ...{ reads: 441_200, latency_ms: 3.21, latency_p95_ms: 12.4, errors: 0, problems: [], reconnects: 0 },
    ...{ readings_per_second: 10, sampling_factor: 1, ...said },
  };
}

/** As of now, each time that it is asked for. */
const sources = (): SourceStatus[] => [
  source('lathe-1', {}),
  source('lathe-2', {
    last_error: 'was silent for 3 m 12 s',
    last_error_at: ago(9_000),
    errors: 3,
    sampling_factor: 4,
  }),
  source('mill-3', {
    problems: [
      { item: 'spindle_load_percent', reason: 'unit 3, holding register 112: exception 2, illegal data address' },
      { item: 'coolant', reason: 'unit 3, coil 7: exception 4, device failure' },
    ],
    ...{ errors: 2, last_error: 'coolant: unit 3, coil 7: exception 4, device failure', last_error_at: ago(70) },
  }),
  source('press-4', {
    ...{ state: 'silent', state_since: ago(42), last_error: 'no sign of life for 42 s', last_error_at: ago(42) },
    ...{ last_contact: ago(42), last_reading: ago(42), readings_per_second: 0, errors: 1 },
  }),
  source('meter-5', {
    ...{ state: 'misconfigured', state_since: ago(3_700), last_error_at: ago(12), readings: 0, reads: 0, errors: 124 },
    last_error: '192.168.10.41:502: unit 5, holding register 3000: exception 2, illegal data address; and 4 more',
    ...{ last_contact: null, last_reading: null, latency_ms: null, latency_p95_ms: null, readings_per_second: 0 },
  }),
  source('cmm', {
    ...{ type: 'files', state: 'failing', state_since: ago(260), last_error_at: ago(4), reads: 0, latency_ms: null },
    last_error: 'the folder /mnt/cmm/results cannot be read; it is waited for: ENOENT: no such file or directory',
    ...{ latency_p95_ms: null, readings_per_second: 0, last_contact: ago(260), last_reading: ago(86_400), errors: 9 },
  }),
];

const SINKS: readonly SinkStatus[] = [
  {
    ...{
      name: 'hub',
      type: 'hub',
      state: 'ok',
      last_error: null,
      cursor: 1,
      lag_batches: 1,
      lag_readings: 12,
      retries: 0,
    },
    ...{ oldest_unsent_age_seconds: 0.2, drained_in_seconds: null, readings_per_second: 30, dead_letters: 0 },
    last_delivery: ago(0.2),
  },
  {
    ...{ name: 'mes', type: 'mes', state: 'failing', cursor: 1, lag_batches: 400, lag_readings: 12_400, retries: 31 },
    ...{ last_error: 'connect ECONNREFUSED 10.0.0.7:8080', oldest_unsent_age_seconds: 4_000, drained_in_seconds: null },
    ...{ readings_per_second: 0, dead_letters: 2, last_delivery: ago(4_000) },
  },
];

function edge(said: Partial<EdgeStatus>): EdgeStatus {
  return {
    ...{ gateway_id: 'EDGE-7', location: 'Hall 2, behind the presses', version: '0.1.0', state: 'degraded' },
    ...{ started_at: ago(200_000), sent_at: ago(0), memory_bytes: 61e6, readings_per_second: 40.2, losses: 0 },
    ...{ sources: sources(), sinks: SINKS },
    log: {
      ...{ epoch: 'e', first_sequence: 1, last_sequence: 2, segments: 1, quarantined_batches: 0, syncs: 1 },
      ...{ bytes: 12e6, bytes_max: 522e6, bytes_possible: null, readings_thinned: 0, readings_dropped: 0 },
      ...{ bytes_appended: 1, bytes_written: 1, last_error: null },
    },
    ...said,
  };
}

let said: Partial<EdgeStatus> = {};
let unhealthy: string | undefined;
const server = new StatusServer({ status: () => edge(said), unhealthyReason: () => unhealthy, metrics: () => [] });
const [port, browser] = await Promise.all([server.listen('127.0.0.1', 0), startBrowser()]);
after(() => server.close());
const url = `http://127.0.0.1:${port}/status`;

for (const [width, viewport] of Object.entries(VIEWPORTS)) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`sensors in every state, ${width}, ${colorScheme}`, async () => {
      [said, unhealthy] = [{}, undefined];
      const { page, errors, foreign } = await visit(browser, url, { viewport, colorScheme });
      await page.locator('tbody tr').first().waitFor();
      await assertAccessible(page, `${width}, ${colorScheme}`);
      assert.ok((await overflowPx(page)) <= 0, 'the page is wider than the window');
      assert.deepEqual([errors, foreign], [[], []]);
      if (PICTURES !== undefined) {
        mkdirSync(PICTURES, { recursive: true });
        await page.screenshot({ path: `${PICTURES}/edge-${width}-${colorScheme}.png`, fullPage: true });
      }
      await page.context().close();
    });
  }
}

test('the worst stand first, each with its state in words, why, since when, and what to do', async () => {
  [said, unhealthy] = [{}, undefined];
  const { page } = await visit(browser, url);
  const rows = page.getByRole('table', { name: 'Sensors' }).locator('tbody tr');
  const names = await rows.locator('th').allInnerTexts();
  assert.deepEqual(
    names.map((name) => name.split(' ')[0]),
    ['press-4', 'meter-5', 'cmm', 'mill-3', 'lathe-1', 'lathe-2'],
  );
  const texts = await rows.allInnerTexts();
  assert.match(texts[0] ?? '', /silent for 4\d s.*no sign of life for 42 s.*See whether the machine is on/s);
  assert.match(texts[1] ?? '', /misconfigured for 1 h 0\d m.*illegal data address; and 4 more.*Mend it in the config/s);
  assert.match(texts[3] ?? '', /ok for 3 h 0\d m, 2 problems.*spindle_load_percent: unit 3.*coolant: unit 3, coil 7/s);
  assert.equal((texts[3] ?? '').split('device failure').length, 2, 'said once');
  assert.match(texts[5] ?? '', /last error 2 h 3\d m ago, \S+ \S+ UTC: was silent for 3 m 12 s/);
});

test('it refreshes by itself, says when the gateway is not heard, and goes on when it is', async () => {
  [said, unhealthy] = [{}, undefined];
  const { page } = await visit(browser, url, { viewport: PHONE });
  await page.locator('tbody tr').first().waitFor();
  unhealthy = 'No source gives readings: lathe is silent (no sign of life for 12 s).';
  await page.getByText(unhealthy).waitFor();
  unhealthy = undefined;
  await server.close();
  await page.getByText(/The gateway has not answered for \d+ s\. What stands below is frozen\./).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 8, 'not blank');
  said = { gateway_id: 'EDGE-8' };
  await server.listen('127.0.0.1', port);
  await page.getByRole('heading', { name: 'EDGE-8' }).waitFor();
  assert.equal(await page.locator('#lost').isVisible(), false);
});

test('what a device has written into its messages stays text', async () => {
  const evil = `<script>document.title='x'</script>"><img src=x onerror="document.title='y'">`;
  said = { gateway_id: evil, sources: [source(evil, { state: 'failing', last_error: evil, machine_id: evil })] };
  const { page, errors } = await visit(browser, url);
  await page.getByRole('heading', { name: evil, exact: true }).waitFor();
  assert.equal(await page.title(), `${evil}: degraded`);
  assert.equal(await page.locator('main script, main img').count(), 0);
  assert.deepEqual(errors, []);
});

test('without scripts the browser itself refreshes', async () => {
  [said, unhealthy] = [{}, undefined];
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(url);
  said = { gateway_id: 'EDGE-9' };
  await page.getByRole('heading', { name: 'EDGE-9' }).waitFor();
  await context.close();
});
