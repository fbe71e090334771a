/** Every page in both themes and both widths: nothing axe-core objects to, and nothing wider than the window. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { assertAccessible, DESKTOP, overflowPx, PHONE, startBrowser, visit } from './browser.ts';
import type { EdgeStatus, SinkStatus, SourceStatus } from '../../src/model/status.ts';
import { ingest, report, startShop } from './shop.ts';

const VIEWPORTS = { desktop: DESKTOP, phone: PHONE };
const THEMES = ['light', 'dark'] as const;
/** Where the pictures go, for who wants to see them. */
const PICTURES = process.env['MILLWRIGHT_PICTURES'];
const PAGES = [
  { name: 'overview', path: '/', ready: '[data-machine="M-1"]' },
  { name: 'machine', path: '/machine/M-1', ready: '.charts[aria-busy=false] canvas' },
  { name: 'machine with old data', path: '/machine/OLD-1', ready: '.charts[aria-busy=false] canvas' },
  { name: 'pipeline', path: '/pipeline?dead_letters=1', ready: '.part tbody tr' },
  { name: 'no such machine', path: '/machine/NONE', ready: '.empty' },
] as const;

const [shop, browser] = await Promise.all([startShop(), startBrowser()]);
await ingest(shop.system, { machine_id: 'M-BAD', temperature: 'not-a-float' });
const time = { timestamp: new Date().toISOString() };
await ingest(shop.system, { machine_id: 'A-1', ...time, machine_state: 'alarm', spindle_speed: 0 });
const fault = {
  kind: 'event',
  event_type: 'condition',
  item: 'servo',
  level: 'fault',
  native_code: 'SV0401',
  text: 'Servo off',
};
await ingest(shop.system, { machine_id: 'A-1', ...time, ...fault });
await ingest(shop.system, { machine_id: 'S-1', ...time, machine_state: 'setup' });

for (const { name, path, ready } of PAGES) {
  for (const [width, viewport] of Object.entries(VIEWPORTS)) {
    for (const colorScheme of THEMES) {
      test(`${name}, ${width}, ${colorScheme}`, async () => {
        const { page, errors, foreign } = await visit(browser, `${shop.system.url}${path}`, { viewport, colorScheme });
        await page.locator(ready).first().waitFor();
        await assertAccessible(page, `${name}, ${width}, ${colorScheme}`);
        assert.ok((await overflowPx(page)) <= 0, 'the page is wider than the window');
        assert.deepEqual(errors, []);
        assert.deepEqual(foreign, []);
        await page.context().close();
      });
    }
  }
}

for (const [width, viewport] of Object.entries(VIEWPORTS)) {
  for (const colorScheme of THEMES) {
    test(`a full log that drains, and a gateway of an older version, ${width}, ${colorScheme}`, async () => {
      await report(shop.system, pressedEdge());
      await report(shop.system, olderEdge());
      const { page, errors } = await visit(browser, `${shop.system.url}/pipeline`, { viewport, colorScheme });
      const pressed = page.locator('.part', { hasText: 'EDGE-FULL' });
      await pressed.getByText('The log is 93 % full: 3.7 GB of 4.0 GB.').waitFor();
      await pressed
        .getByText(/12.000 readings were merged into wider intervals and 340 readings were dropped/)
        .waitFor();
      await pressed.getByText('a backlog is being delivered, drained in about 4 min').waitFor();
      await pressed.getByText('1 of 4 samples').waitFor();
      const older = page.locator('.part', { hasText: 'EDGE-OLD' });
      await older.getByText('12.0 MB', { exact: true }).waitFor();
      const calm = page.locator('.part', { hasText: 'Hall 1' });
      await calm.getByText('Online: every source and sink works').waitFor();
      for (const quiet of [older, calm]) {
        assert.equal(await quiet.locator('.part-warning, .remark, .log-bar-full').count(), 0);
        assert.doesNotMatch(await quiet.innerText(), /undefined|NaN/);
      }
      await assertAccessible(page, `${width}, ${colorScheme}`);
      assert.ok((await overflowPx(page)) <= 0, 'the page is wider than the window');
      assert.deepEqual(errors, []);
      await page.context().close();
    });
  }
}

for (const [width, viewport] of Object.entries(VIEWPORTS)) {
  for (const colorScheme of THEMES) {
    test(`sources in every state, ${width}, ${colorScheme}`, async () => {
      await report(shop.system, troubledEdge());
      const { page, errors } = await visit(browser, `${shop.system.url}/pipeline`, { viewport, colorScheme });
      await page
        .getByText(/^First broken hop: machines\. press is silent: no sign of life for 42 s, and 2 more\. See/)
        .waitFor();
      const troubled = page.locator('.part', { hasText: 'EDGE-TROUBLE' });
      const rows = troubled.getByRole('table', { name: 'Sources' }).locator('tbody tr');
      const texts = await rows.allInnerTexts();
      assert.deepEqual(
        texts.map((text) => text.trim().split(/\s/)[0]),
        ['press', 'meter', 'cmm', 'mill', 'lathe'],
      );
      assert.match(texts[0] ?? '', /silent for \d+ s/);
      assert.match(texts[1] ?? '', /misconfigured for .*illegal data address/s);
      assert.match(texts[3] ?? '', /ok for .*, 1 problem.*coolant: unit 3, coil 7: exception 4, device failure/s);
      assert.match(texts[4] ?? '', /last error 2 h \d\d m ago: was silent for 3 m 12 s.*p95 12 ms, 4.412 answers/s);
      await assertAccessible(page, `${width}, ${colorScheme}`);
      assert.ok((await overflowPx(page)) <= 0, 'the page is wider than the window');
      assert.deepEqual(errors, []);
      if (PICTURES !== undefined) {
        mkdirSync(PICTURES, { recursive: true });
        await troubled.screenshot({ path: `${PICTURES}/pipeline-${width}-${colorScheme}.png` });
      }
      await page.context().close();
    });
  }
}

function troubledEdge(): EdgeStatus {
  const pressed = pressedEdge();
  const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString();
  const source = (name: string, said: Partial<SourceStatus>): SourceStatus => {
    const heard = { last_contact: ago(0.1), last_reading: ago(0.1), state_since: ago(11_000), reads: 4_412 };
    const own = { ...{ name, type: 'modbus', machine_id: name.toUpperCase(), latency_ms: 3.2, latency_p95_ms: 12.3 } };
    return { ...pressed.sources[0]!, ...own, ...heard, sampling_factor: 1, ...said };
  };
  return {
    ...{ ...pressed, gateway_id: 'EDGE-TROUBLE', location: 'Hall 4', state: 'degraded', losses: 0 },
    log: { ...pressed.log, bytes: 1e6, readings_thinned: 0, readings_dropped: 0 },
    sources: [
      source('lathe', { last_error: 'was silent for 3 m 12 s', last_error_at: ago(9_000), errors: 1 }),
      source('mill', {
        problems: [{ item: 'coolant', reason: 'unit 3, coil 7: exception 4, device failure' }],
        ...{ errors: 2, last_error: 'coolant: unit 3, coil 7: exception 4, device failure', last_error_at: ago(70) },
      }),
      source('press', {
        ...{ state: 'silent', state_since: ago(42), last_error: 'no sign of life for 42 s', last_error_at: ago(42) },
        ...{ last_contact: ago(42), last_reading: ago(42), readings_per_second: 0, errors: 1 },
      }),
      source('meter', {
        ...{
          state: 'misconfigured',
          state_since: ago(3_700),
          last_error_at: ago(12),
          readings: 0,
          reads: 0,
          errors: 124,
        },
        last_error: '192.168.10.41:502: unit 5, holding register 3000: exception 2, illegal data address; and 4 more',
        ...{ last_contact: null, last_reading: null, latency_ms: null, latency_p95_ms: null, readings_per_second: 0 },
      }),
      source('cmm', {
        ...{
          type: 'files',
          state: 'failing',
          state_since: ago(260),
          last_error_at: ago(4),
          reads: 0,
          latency_ms: null,
        },
        last_error: 'the folder /mnt/cmm/results cannot be read; it is waited for: ENOENT: no such file or directory',
        ...{
          latency_p95_ms: null,
          readings_per_second: 0,
          last_contact: ago(260),
          last_reading: ago(86_400),
          errors: 9,
        },
      }),
    ],
    sinks: pressed.sinks.map((sink) => ({ ...sink, lag_batches: 0, lag_readings: 0, drained_in_seconds: null })),
  };
}

function pressedEdge(): EdgeStatus {
  const time = new Date().toISOString();
  const sink: SinkStatus = {
    ...{ name: 'hub', type: 'hub', state: 'ok', last_error: null, cursor: 1, retries: 3, dead_letters: 0 },
    ...{ lag_batches: 184_220, lag_readings: 12_804_117, oldest_unsent_age_seconds: 40_000, drained_in_seconds: 236 },
    ...{ readings_per_second: 54_000, last_delivery: time },
  };
  const source: SourceStatus = {
    ...{ name: 'lathe', type: 'shdr', machine_id: 'M-FULL', state: 'ok', last_error: null, reconnects: 0 },
    ...{ reads: 0, latency_ms: null, latency_p95_ms: null, errors: 0, problems: [] },
    ...{ state_since: time, last_error_at: null, silent_after_seconds: null },
    ...{ last_contact: time, last_reading: time, readings: 884_000, readings_per_second: 2.5, sampling_factor: 4 },
  };
  const log = {
    ...{ epoch: 'e', first_sequence: 1, last_sequence: 184_221, segments: 60, quarantined_batches: 0 },
    ...{ bytes: 3.7e9, bytes_max: 4e9, bytes_possible: 9e9, readings_thinned: 12_000, readings_dropped: 340 },
    ...{ bytes_appended: 5e9, bytes_written: 6e9, syncs: 90_000, last_error: null },
  };
  return {
    ...{
      gateway_id: 'EDGE-FULL',
      location: 'Hall 2',
      version: '1',
      state: 'draining',
      started_at: time,
      sent_at: time,
    },
    ...{ memory_bytes: 9e7, readings_per_second: 2.5, losses: 340, sources: [source], log, sinks: [sink] },
  };
}

/** As the first version told it: without limits, rates of draining and sampling factors. */
function olderEdge(): { readonly gateway_id: string } {
  const { log, sources, sinks, ...rest } = pressedEdge();
  const { epoch, first_sequence, last_sequence, segments, last_error } = log;
  const older = {
    ...{ gateway_id: 'EDGE-OLD', state: 'online' },
    log: { epoch, first_sequence, last_sequence, segments, last_error, bytes: 12e6 },
    sources: sources.map((source) => {
      const { name, type, machine_id, state, last_error, last_contact, last_reading } = source;
      const { readings, reconnects, readings_per_second } = source;
      const told = { name, type, machine_id, state, last_error, last_contact, last_reading };
      return { ...told, readings, reconnects, readings_per_second };
    }),
    sinks: sinks.map(({ drained_in_seconds: _, ...sink }) => sink),
  };
  return { ...rest, ...older };
}

test('what a gateway said that is not heard any more is told as what was', async () => {
  const sent = { ...troubledEdge(), gateway_id: 'EDGE-GONE' };
  await report(shop.system, sent);
  const { page } = await visit(browser, `${shop.system.url}/pipeline`);
  const gone = page.locator('.part', { hasText: 'EDGE-GONE' });
  await gone.getByText(/Last heard \d+ s ago/).waitFor();
  const texts = await gone.getByRole('table', { name: 'Sources' }).locator('.part-cell-state').allInnerTexts();
  assert.ok(
    texts.every((text) => /^\s*was (ok|silent|failing|misconfigured)/.test(text)),
    texts.join('\n'),
  );
  assert.equal(await gone.locator('.part-cell-state :is(.ink-running, .ink-alarm)').count(), 0);
});

test('a gap is told in a sentence, with the time by the clock of the plant', async () => {
  const details = {
    reason: 'dropped',
    start_time: '2026-01-02T06:30:00Z',
    end_time: '2026-01-02T07:00:00Z',
    readings: 12_000,
  };
  const gap = {
    kind: 'event',
    event_type: 'gap',
    text: 'in the words of the gateway',
    details: { ...details, sinks: ['hub'] },
  };
  await ingest(shop.system, { machine_id: 'GAP-1', timestamp: '2026-01-02T08:00:00Z', ...gap });
  const { page } = await visit(browser, `${shop.system.url}/machine/GAP-1`, { viewport: PHONE });
  const event = page.locator('.event-text', { hasText: /^Gap · 12.000 readings from \d\d:\d\d:\d\d to/ });
  await event.waitFor();
  assert.match(await event.innerText(), /were dropped before they reached hub: the gateway’s log was at its limit\.$/);
  assert.ok((await overflowPx(page)) <= 0, 'the page is wider than the window');
});

test('on a phone what is touched is at least 56 px high', async () => {
  const { page } = await visit(browser, `${shop.system.url}/machine/M-1`, { viewport: PHONE });
  await page.locator('.charts[aria-busy=false] canvas').first().waitFor();
  for (const control of await page.locator('.nav a, .button, select, summary').all()) {
    const box = await control.boundingBox();
    if (box !== null) assert.ok(box.height >= 55.5, `${await control.innerText()}: ${box.height} px`);
  }
});

test('on the wall everything is within 1920 × 1080', async () => {
  const viewport = { width: 1920, height: 1080 };
  const { page } = await visit(browser, `${shop.system.url}/?kiosk=1`, { viewport, colorScheme: 'dark' });
  await page.locator('[data-machine="M-1"]').waitFor();
  assert.equal(await page.locator('.nav').count(), 0);
  for (const tile of await page.locator('[data-machine]').all()) {
    const box = await tile.boundingBox();
    assert.ok(box !== null && box.y + box.height <= 1080 && box.x + box.width <= 1920);
  }
});

test('light and dark can be chosen, and the choice stays', async () => {
  const { page } = await visit(browser, shop.system.url, { colorScheme: 'light' });
  const background = (): Promise<string> =>
    page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor');
  const light = await background();
  await page.getByRole('button', { name: /^Colours: system/ }).click();
  await page.getByRole('button', { name: /^Colours: light/ }).click();
  await page.getByRole('button', { name: /^Colours: dark/ }).waitFor();
  const dark = await background();
  assert.notEqual(dark, light);
  await page.reload();
  await page.getByRole('button', { name: /^Colours: dark/ }).waitFor();
  assert.equal(await background(), dark);
});
