/** A machine's page against a real hub: zoom, the URL as the view, keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { waitUntil } from '../support/system.ts';
import { startBrowser, visit } from './browser.ts';
import { startShop } from './shop.ts';

/** The values change ten times a second. */
const CHANGE_MS_MAX = 5000;

const [shop, browser] = await Promise.all([startShop(), startBrowser()]);

async function openMachine(query = ''): Promise<{ page: Page; errors: string[] }> {
  const { page, errors } = await visit(browser, `${shop.system.url}/machine/M-1${query}`);
  await page.locator('.plot canvas').first().waitFor();
  await page.locator('.charts[aria-busy=false]').waitFor();
  return { page, errors };
}

/** Drags over the first chart, from and to as parts of its width; what comes in meanwhile must not move it. */
async function drag(page: Page, from: number, to: number): Promise<void> {
  const box = await page.locator('.u-over').first().boundingBox();
  assert.ok(box !== null);
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * ((from + to) / 2), y, { steps: 5 });
  await page.mouse.move(box.x + box.width * to, y, { steps: 5 });
  await page.mouse.up();
}

function windowIn(url: string): { fromMs: number; toMs: number } {
  const query = new URL(url).searchParams;
  return { fromMs: Date.parse(query.get('from') ?? ''), toMs: Date.parse(query.get('to') ?? '') };
}

test('values and charts live: the temperature changes, in its tile and beside its chart', async () => {
  const { page, errors } = await openMachine('?signals=temperature');
  for (const place of ['[data-signal="temperature"] .number', '.legend-value .number']) {
    const read = (): Promise<string> => page.locator(place).first().innerText();
    const first = await waitUntil('a number', async () => ((await read()) === '—' ? undefined : await read()));
    await waitUntil('another number', async () => ((await read()) === first ? undefined : true), {
      timeoutMs: CHANGE_MS_MAX,
    });
  }
  assert.deepEqual(errors, []);
});

test('a drag zooms to what was selected, live samples are counted and do not move it, a double click returns', async () => {
  const { page } = await openMachine();
  const rangeMs = 10 * 60_000;
  const pressedMs = Date.now();
  await drag(page, 0.5, 0.75);
  await page.waitForURL(/from=.*to=/);
  const zoomed = windowIn(page.url());
  const toleranceMs = 5000;
  assert.ok(Math.abs(zoomed.toMs - zoomed.fromMs - rangeMs / 4) < toleranceMs, JSON.stringify(zoomed));
  assert.ok(Math.abs(zoomed.fromMs - (pressedMs - rangeMs / 2)) < toleranceMs, JSON.stringify(zoomed));
  const url = page.url();
  await page.locator('.paused', { hasText: /Paused, \+[1-9]/ }).waitFor();
  await page.locator('.paused', { hasText: /Paused, \+[2-9]\d/ }).waitFor();
  assert.equal(page.url(), url);
  await page.locator('.u-over').first().dblclick();
  await page.waitForURL((address) => !address.search.includes('from='));
  await page.locator('.paused').waitFor({ state: 'detached' });
});

test('the URL is the view: a link, back and forward give the same', async () => {
  const from = new Date(Date.now() - 50_000).toISOString();
  const to = new Date(Date.now() - 5000).toISOString();
  const query = `?range=1h&signals=temperature,total_power_kw&from=${from}&to=${to}`;
  const { page } = await openMachine(query);
  assert.equal(await page.locator('.chart').count(), 2);
  assert.equal(new URL(page.url()).search, query);
  await page.getByRole('button', { name: '8 h' }).click();
  assert.equal(new URL(page.url()).search, '?range=8h&signals=temperature,total_power_kw');
  await page.goBack();
  assert.equal(new URL(page.url()).search, query);
  await page.locator('.paused').waitFor();
  await page.goForward();
  await page.locator('.paused').waitFor({ state: 'detached' });
  assert.equal(await page.getByRole('button', { name: '8 h' }).getAttribute('aria-pressed'), 'true');
});

test('signals are chosen from the list and stand in the URL', async () => {
  const { page } = await openMachine('?signals=temperature');
  assert.equal(await page.locator('.chart').count(), 1);
  await page.locator('.chooser summary').click();
  await page.getByLabel(/^Feed rate/).check();
  await page.waitForURL(/signals=temperature,feed_rate_actual/);
  await page.locator('.chart').nth(1).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.chooser[open]').waitFor({ state: 'detached' });
});

test('keys: pause and live, back, zoom out, help; the table has what the chart draws', async () => {
  const { page } = await openMachine();
  await page.locator('body').press('Space');
  await page.locator('.paused').waitFor();
  await page.locator('body').press('l');
  await page.locator('.paused').waitFor({ state: 'detached' });
  await page.locator('body').press('[');
  await page.waitForURL(/from=/);
  const { fromMs, toMs } = windowIn(page.url());
  await page.locator('body').press('z');
  await page.waitForURL((url) => windowIn(url.href).fromMs < fromMs);
  assert.ok(windowIn(page.url()).toMs - windowIn(page.url()).fromMs > 1.9 * (toMs - fromMs));
  await page.locator('body').press('l');
  await page.locator('body').press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Table' }).first().click();
  await page.locator('.chart-table tbody tr').first().waitFor();
});

test('a journey by keyboard alone: from the overview to a machine and its pause button', async () => {
  const { page } = await visit(browser, shop.system.url);
  await page.locator('[data-machine="M-1"]').waitFor();
  const reach = async (wanted: string): Promise<void> => {
    for (let presses = 0; presses < 40; presses++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(`document.activeElement.matches('${wanted}')`)) return;
    }
    assert.fail(`the Tab key does not reach ${wanted}`);
  };
  await reach('[data-machine="M-1"] a');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/machine\/M-1$/);
  await page.locator('.plot canvas').first().waitFor();
  await reach('.time-bar > .button');
  await page.keyboard.press('Enter');
  await page.locator('.paused').waitFor();
});
