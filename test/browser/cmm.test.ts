/** The CMM page against a real hub: what it shows is what the API says, it follows what is measured, and it can be used. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { readdir, readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import type { CapabilityStudy, Feature } from '../../src/model/api.ts';
import type { Measurement } from '../../src/model/reading.ts';
import type { EdgeStatus, SinkStatus, SourceStatus } from '../../src/model/status.ts';
import { startSystem, waitUntil } from '../support/system.ts';
import { assertAccessible, DESKTOP, overflowPx, PHONE, startBrowser, visit } from './browser.ts';
import { inspections, partInspections, storeAll } from './inspections.ts';
import { ingest, report } from './shop.ts';

const [system, browser] = await Promise.all([startSystem(), startBrowser()]);
after(() => system.stop());

/** Old enough that what a test measures is newer. */
const END_MS = Date.now() - 60_000;
const PARTS = 500;
await storeAll(system, partInspections('CMM-1', END_MS, PARTS));
const long = { machineId: 'CMM-2', characteristic: 'length', nominalMm: 100, toleranceMm: 0.012, seed: 5 };
await storeAll(system, inspections({ ...long, count: 2000, endMs: END_MS }));
await ingest(system, { machine_id: 'MILL-1', timestamp: new Date().toISOString(), spindle_speed: 1200 });

const NAMES = ['W'.repeat(128), 'a/b,c;d', '🔧 Ø12 H7', '<b>"\'&amp;', '100 %', '..'];
const bare = Array.from({ length: 200 }, (_, index): Measurement => {
  const place = {
    machine_id: 'CMM-WIDE',
    timestamp: new Date(END_MS + index).toISOString(),
    unit: index % 9 === 0 ? 'deg' : 'mm',
  };
  const limits = [
    {},
    { upper_limit: 0.02 },
    { lower_limit: 5, upper_limit: 5 },
    { nominal_value: 10, lower_limit: 9, upper_limit: 11, serial_number: 'S'.repeat(128), part_id: 'P'.repeat(128) },
  ][index % 4];
  const what = {
    characteristic: NAMES[index] ?? `feature ${index}`,
    measured_value: index === 4 ? 3.4e38 : index % 2 === 0 ? index : -index * 1e9,
  };
  return { kind: 'measurement', ...place, ...what, ...limits, distrust: ['x'.repeat(200)] };
});
await storeAll(system, bare);
const metres = {
  kind: 'measurement',
  machine_id: 'CMM-METRES',
  timestamp: new Date(END_MS).toISOString(),
  unit: 'm',
} as const;
await storeAll(system, [{ ...metres, characteristic: 'length', measured_value: 0.1000015 }]);

const SEEN = '.study-chart canvas';
/** From the measurement to the page: the page asks at most every two seconds. */
const LIVE_MS_MAX = 6000;
const fixed = (value: number | null | undefined, decimals: number): string =>
  (value ?? Number.NaN).toFixed(decimals).replace('-', '−');

for (const [width, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`2,000 measurements, ${width}, ${colorScheme}`, async () => {
      await report(system, gateway(1284));
      for (const path of ['/cmm/CMM-1', '/cmm/CMM-2?last=1000', '/cmm/CMM-1?serial=SN-0007', '/cmm/MILL-1']) {
        const { page, errors, foreign } = await visit(browser, system.url + path, { viewport, colorScheme });
        await page
          .locator(path.includes('MILL') ? '.empty' : SEEN)
          .first()
          .waitFor();
        await assertAccessible(page, `${path}, ${width}, ${colorScheme}`);
        assert.ok((await overflowPx(page)) <= 0, `${path} is wider than the window`);
        assert.doesNotMatch(await page.locator('main').innerText(), /undefined|NaN|\bnull\b/);
        assert.deepEqual([errors, foreign], [[], []]);
        await page.context().close();
      }
    });
  }
}

for (const [width, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  test(`200 characteristics with whatever names, one value each, with limits and without, ${width}`, async () => {
    const { page, errors } = await visit(browser, `${system.url}/cmm/CMM-WIDE`, { viewport });
    await page.locator(SEEN).first().waitFor();
    assert.equal(await page.locator('.features tbody tr').count(), 200);
    await assertAccessible(page, `many characteristics, ${width}`);
    assert.ok((await overflowPx(page)) <= 0, 'it is wider than the window');
    assert.doesNotMatch(await page.locator('main').innerText(), /undefined|NaN|Infinity|\bnull\b/);
    for (const name of NAMES) {
      await page.locator('.features').getByRole('link', { name, exact: true }).click();
      await page.locator('.features [aria-current=true]').filter({ hasText: name }).waitFor();
      await page.locator('.study-chart canvas').first().waitFor();
      assert.equal(new URL(page.url()).searchParams.get('characteristic'), name);
    }
    assert.deepEqual(errors, []);
    await page.context().close();
  });
}

test('a chart of metres tells tenths of a micrometre too', async () => {
  const { page } = await visit(browser, `${system.url}/cmm/CMM-METRES`);
  await page.locator(SEEN).first().waitFor();
  const text = (await page.locator('.features tbody tr').first().innerText()).replaceAll(/\s+/g, ' ');
  assert.match(text, /0\.1000015/);
});

test('the table is the API’s features, worst first, with signed deviations and how each verdict was found', async () => {
  const features = await system.get<Feature[]>('/api/v1/machines/CMM-1/features');
  const { page } = await visit(browser, `${system.url}/cmm/CMM-1`);
  await page.locator(SEEN).first().waitFor();
  const rows = page.locator('.features tbody tr');
  assert.deepEqual(
    await rows.evaluateAll((all) => all.map((one) => one.getAttribute('data-characteristic'))),
    features.map(({ characteristic }) => characteristic),
  );
  assert.equal(features[0]?.characteristic, 'bore.diameter');
  for (const [at, { newest, nominal_value, tolerance_used, verdicts }] of features.entries()) {
    const text = (await rows.nth(at).innerText()).replaceAll(/\s+/g, ' ');
    const deviation = (newest.compensated_value ?? 0) - (nominal_value ?? 0);
    const sign = deviation > 0 ? '+' : '';
    for (const told of [
      fixed(newest.measured_value, 4),
      fixed(newest.compensated_value, 4),
      `± ${fixed(newest.expanded_uncertainty, 4)}`,
      sign + fixed(deviation, 4),
      `${fixed(100 * (tolerance_used ?? 0), 0)} %`,
      `${verdicts.conform} of ${PARTS} conform`,
      'ISO 14253-1, guard band 0.0020 mm',
    ]) {
      assert.ok(text.includes(told), `${told} is not in ${text}`);
    }
  }
  assert.match(await rows.first().innerText(), /Does not conform/);
  const head = await page.locator('.cmm-head').innerText();
  assert.match(head, /Does not conform/);
  assert.match(head, /rail 100/);
  assert.match(head, /SN-0499/);
});

test('limits, rules and capability on the page are the API’s', async () => {
  for (const name of ['length', 'width']) {
    const query = `characteristic=${name}&last=200`;
    const study = await system.get<CapabilityStudy>(`/api/v1/machines/CMM-1/capability?${query}`);
    const { page } = await visit(browser, `${system.url}/cmm/CMM-1?characteristic=${name}`);
    const panel = page.locator(`[data-study="${name}"]`);
    await panel.locator('canvas').first().waitFor();
    const shown = (key: string): Promise<string> => panel.locator(`[data-spc="${key}"]`).innerText();
    const { control, capability } = study;
    assert.ok(control !== null && capability !== null);
    for (const key of ['centre', 'lower', 'upper', 'range_centre', 'range_upper'] as const) {
      assert.equal(await shown(key), fixed(control[key], 4), key);
    }
    for (const key of ['cp', 'cpk', 'pp', 'ppk'] as const) {
      assert.ok((await shown(key)).includes(fixed(capability[key], 2)), key);
    }
    const [low, high] = capability.cpk_interval;
    assert.ok((await shown('cpk')).includes(`95 %: ${fixed(low, 2)} to ${fixed(high, 2)}`));
    const rules = await panel.locator('.rule').allInnerTexts();
    assert.equal(rules.length, study.rules_met.length);
    for (const [at, { rule, text, points }] of study.rules_met.entries()) {
      const told = rules[at] ?? '';
      assert.ok(told.includes(`Rule ${rule}`) && told.includes(text), told);
      assert.match(told, new RegExp(`\\b${points} values?`));
    }
    await page.context().close();
  }
});

test('the correction takes the wave out', async () => {
  const study = await system.get<CapabilityStudy>('/api/v1/machines/CMM-2/capability?characteristic=length');
  const deviation = (values: readonly number[]): number => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  };
  assert.equal(study.points.length, 1000);
  assert.ok(deviation(study.points.map(({ measured_value }) => measured_value)) > 0.008);
  const corrected = deviation(study.points.map(({ compensated_value }) => compensated_value ?? Number.NaN));
  assert.ok(Math.abs(corrected - 0.001) < 0.0001, String(corrected));
  const { page } = await visit(browser, `${system.url}/cmm/CMM-2?last=1000`);
  const label = (await page.locator('.plot').first().getAttribute('aria-label')) ?? '';
  const [, measured = '', compensated = ''] = /Measured −([\d.]+) .*compensated −([\d.]+) /.exec(label) ?? [];
  assert.ok(Number(measured) > 0.01 && Number(compensated) < 0.005, label);
});

test('below thirty values there is no capability, and the page says why', async () => {
  const few = { ...long, machineId: 'CMM-3', count: 12, endMs: END_MS };
  await storeAll(system, inspections(few));
  const { page } = await visit(browser, `${system.url}/cmm/CMM-3`);
  await page.getByText('capability needs 30 values; there are 12').waitFor();
  assert.equal(await page.locator('[data-spc="cpk"]').count(), 0);
});

test('what is measured appears by itself, not while the page is paused, and then again', async () => {
  const one = { ...long, machineId: 'CMM-4', count: 40 };
  await storeAll(system, inspections({ ...one, endMs: Date.now() - 30_000 }));
  const { page } = await visit(browser, `${system.url}/cmm/CMM-4`);
  await page.locator(SEEN).first().waitFor();
  const serial = page.locator('.cmm-facts .fact', { hasText: 'Serial' });
  const measure = async (name: string): Promise<void> => {
    const [newest] = inspections({ ...one, count: 1, endMs: Date.now() });
    assert.ok(newest !== undefined);
    await storeAll(system, [{ ...newest, serial_number: name, distrust: [`${name} soaked for 3 min`] }]);
  };
  await measure('NEW-1');
  await serial.getByText('NEW-1').waitFor({ timeout: LIVE_MS_MAX });
  await page.locator('.features').getByText('Not to be trusted: NEW-1 soaked for 3 min').waitFor();
  await page.locator('body').press('Space');
  await page.getByRole('button', { name: 'Go live' }).waitFor();
  await measure('NEW-2');
  // Long enough that a page that is not paused would have asked.
  await waitUntil('the hub to have told', async () => {
    const fleet = await system.get<{ id: string; last_measurement: string }[]>('/api/v1/fleet');
    const told = fleet.find(({ id }) => id === 'CMM-4')?.last_measurement ?? '';
    return Date.now() - Date.parse(told) > 3000 ? true : undefined;
  });
  assert.match(await serial.innerText(), /NEW-1/);
  await page.locator('body').press('l');
  await serial.getByText('NEW-2').waitFor({ timeout: LIVE_MS_MAX });
});

test('how much waits for each sink of the machine’s gateway, live', async () => {
  await report(system, gateway(1284));
  const { page } = await visit(browser, `${system.url}/cmm/CMM-1`);
  const mes = page.locator('[data-sink="mes"]');
  await mes.getByText('1\u202f284').waitFor();
  assert.match(await mes.innerText(), /connect ECONNREFUSED/);
  await report(system, gateway(12));
  await mes.getByText('12', { exact: true }).waitFor({ timeout: LIVE_MS_MAX });
  assert.match(await page.locator('[data-sink="hub"]').innerText(), /\b0\b/);
});

test('by keyboard: a characteristic, the cursor through the values, a part, and back', async () => {
  const { page } = await visit(browser, `${system.url}/cmm/CMM-1`);
  await page.locator(SEEN).first().waitFor();
  await page.getByRole('link', { name: 'width' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('[data-study="width"]').waitFor();
  assert.match(page.url(), /characteristic=width/);
  const legend = page.locator('.study-legend').first();
  assert.match(await legend.innerText(), /newest, .* SN-0499/);
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await legend.getByText('SN-0498').waitFor();
  await page.keyboard.press('Escape');
  await legend.getByText('newest').waitFor();
  await page.getByRole('link', { name: 'SN-0497' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Part SN-0497' }).waitFor();
  await page.locator('.features tbody tr').nth(3).waitFor();
  assert.equal(await page.locator('.features tbody tr').count(), 4);
  await page.goBack();
  await page.getByRole('heading', { name: 'Newest of each' }).waitFor();
});

test('a chart as a table, measured instead of compensated, and limits from another beginning', async () => {
  const { page } = await visit(browser, `${system.url}/cmm/CMM-1?characteristic=length`);
  await page.locator(SEEN).first().waitFor();
  const control = page.locator('.study-chart', { hasText: 'Individuals' });
  await control.getByRole('button', { name: 'Table' }).click();
  assert.equal(await control.locator('tbody tr').count(), 200);
  await page.getByRole('button', { name: 'Measured' }).click();
  await page.waitForURL(/value=measured/);
  const centre = await control.locator('.baseline').innerText();
  assert.match(centre, /first 25 values stored/);
  await page.getByRole('button', { name: 'Limits from the first values shown' }).click();
  await page.getByRole('button', { name: 'Limits from the first values stored' }).waitFor();
  const since = new URL(page.url()).searchParams.get('since') ?? '';
  const query = `characteristic=length&last=200&value=measured&start_time=${since}`;
  const study = await system.get<CapabilityStudy>(`/api/v1/machines/CMM-1/capability?${query}`);
  assert.equal(study.control?.baseline_start, since);
  await control.getByRole('button', { name: 'Table' }).click();
  await control.locator('[data-spc="centre"]', { hasText: fixed(study.control?.centre, 4) }).waitFor();
});

test('the page is reached from the overview and from the machine, and tells a machine without measurements how to get some', async () => {
  const { page } = await visit(browser, system.url);
  const tile = page.locator('[data-machine="CMM-1"]');
  await tile.getByRole('link', { name: 'Measurements' }).click();
  await page.waitForURL(/\/cmm\/CMM-1$/);
  await page.getByRole('link', { name: 'Machine', exact: true }).click();
  await page.waitForURL(/\/machine\/CMM-1$/);
  await page.getByRole('link', { name: 'Measurements' }).click();
  await page.waitForURL(/\/cmm\/CMM-1$/);
  await page.goto(`${system.url}/`);
  await page.locator('[data-machine="MILL-1"]').waitFor();
  assert.equal(await page.locator('[data-machine="MILL-1"]').getByRole('link', { name: 'Measurements' }).count(), 0);
  await page.goto(`${system.url}/cmm/MILL-1`);
  await page.getByText('MILL-1 has sent no measurement').waitFor();
  await page.getByText('POST /api/v1/ingest').waitFor();
});

test('what every page loads first is at most 45 KB of script and 10 KB of style, packed', async () => {
  const folder = new URL('../../dist/web/', import.meta.url);
  const html = await readFile(new URL('index.html', folder), 'utf8');
  const sizes = { js: 0, css: 0 };
  for (const name of await readdir(new URL('assets/', folder))) {
    const kind = name.endsWith('.js') ? 'js' : name.endsWith('.css') ? 'css' : undefined;
    if (kind === undefined || !html.includes(name)) continue;
    sizes[kind] += gzipSync(await readFile(new URL(`assets/${name}`, folder))).length;
  }
  assert.ok(sizes.js > 10_000 && sizes.js <= 45_000, `${sizes.js} bytes of script`);
  assert.ok(sizes.css > 1_000 && sizes.css <= 10_000, `${sizes.css} bytes of style`);
});

/** A gateway that reads the CMM; its MES is away, with so many readings waiting. */
function gateway(waiting: number): EdgeStatus {
  const time = new Date().toISOString();
  const sink = (name: string, depth: number, error: string | null): SinkStatus => ({
    ...{ name, type: name, state: error === null ? 'ok' : 'failing', last_error: error, cursor: 1, retries: 3 },
    ...{ lag_batches: depth, lag_readings: depth, oldest_unsent_age_seconds: depth === 0 ? null : 400 },
    ...{ drained_in_seconds: null, readings_per_second: 3, dead_letters: 0, last_delivery: time },
  });
  const source: SourceStatus = {
    ...{ name: 'cmm', type: 'files', machine_id: 'CMM-1', state: 'ok', last_error: null, reconnects: 0 },
    ...{ reads: 0, latency_ms: null, latency_p95_ms: null, errors: 0, problems: [] },
    ...{ state_since: time, last_error_at: null, silent_after_seconds: null },
    ...{ last_contact: time, last_reading: time, readings: 5, readings_per_second: 2, sampling_factor: 1 },
  };
  const log = {
    ...{ epoch: 'e', first_sequence: 1, last_sequence: 2, segments: 1, quarantined_batches: 0, syncs: 1 },
    ...{ bytes: 1, bytes_max: 2e9, bytes_possible: null, readings_thinned: 0, readings_dropped: 0 },
    ...{ bytes_appended: 1, bytes_written: 1, last_error: null },
  };
  return {
    ...{ gateway_id: 'EDGE-9', location: 'Lab', version: '1', state: 'degraded', started_at: time, sent_at: time },
    ...{ memory_bytes: 9e7, readings_per_second: 2.5, losses: 0, sources: [source], log },
    sinks: [sink('hub', 0, null), sink('mes', waiting, 'connect ECONNREFUSED 10.0.0.7:8080')],
  };
}
