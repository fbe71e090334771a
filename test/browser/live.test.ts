/** The pages against a real hub that lives and dies: what is shown is true at every moment, and says when it is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, overflowPx, PHONE, startBrowser, visit } from './browser.ts';
import { ingest, startShop } from './shop.ts';

/** From the reading to the page. */
const LIVE_MS_MAX = 2000;
const BANNER_MS_MAX = 5000;

const [shop, browser] = await Promise.all([startShop(), startBrowser()]);

test('machines appear with their state, and nothing goes wrong on the way', async () => {
  const { page, errors, foreign } = await visit(browser, shop.system.url);
  await page.locator('[data-machine="M-1"]').waitFor();
  await page.locator('[data-machine="M-2"]').waitFor();
  assert.match(await page.locator('[data-machine="M-1"]').innerText(), /(Running|Idle|Alarm|Hold)/);
  await page.locator('.badge', { hasText: 'Live' }).waitFor();
  assert.deepEqual(foreign, []);
  assert.deepEqual(errors, []);
});

test('a value is on the page within two seconds of its reading', async () => {
  const { page } = await visit(browser, shop.system.url);
  const send = (temperature: number): Promise<void> =>
    ingest(shop.system, {
      machine_id: 'HAND-1',
      timestamp: new Date().toISOString(),
      temperature,
      machine_state: 'idle',
    });
  await send(20.5);
  const tile = page.locator('[data-machine="HAND-1"]');
  await tile.getByText('20.5').waitFor();
  const sentMs = performance.now();
  await send(87.3);
  await tile.getByText('87.3').waitFor({ timeout: LIVE_MS_MAX });
  assert.ok(performance.now() - sentMs < LIVE_MS_MAX);
});

test('a machine that was never heard of lately is not shown as now', async () => {
  const { page } = await visit(browser, shop.system.url);
  const tile = page.locator('[data-machine="OLD-1"]');
  await tile.getByText('as of 2017-04-26').waitFor();
  assert.doesNotMatch(await tile.innerText(), /Running/);
});

test('a machine that goes silent turns grey with the age of its last word', async () => {
  const reading = {
    machine_id: 'QUIET-1',
    timestamp: new Date().toISOString(),
    temperature: 20,
    machine_state: 'running',
  };
  await ingest(shop.system, reading);
  const { page } = await visit(browser, shop.system.url);
  const tile = page.locator('[data-machine="QUIET-1"]');
  await tile.getByText('Running').waitFor();
  await tile.getByText(/last seen \d+ s ago/).waitFor({ timeout: 15_000 });
  assert.match((await tile.getAttribute('class')) ?? '', /tile-is-stale/);
  const other = page.locator('[data-machine="M-1"]');
  assert.match((await other.getAttribute('class')) ?? '', /tile-is-now/);
});

test('without the hub the page says so within five seconds, keeps its values, and recovers by itself', async () => {
  const { page } = await visit(browser, shop.system.url);
  await page.locator('[data-machine="M-1"]').waitFor();
  await page.evaluate('window.sameDocument = true');
  await shop.system.hub.end('SIGKILL');
  await page.locator('.banner', { hasText: 'No connection to the hub' }).waitFor({ timeout: BANNER_MS_MAX });
  assert.match(await page.locator('[data-machine="M-1"]').innerText(), /rpm/);
  await page.locator('.badge', { hasText: /Reconnecting|Disconnected/ }).waitFor();
  await page.setViewportSize(PHONE);
  assert.equal(await overflowPx(page), 0);
  await page.setViewportSize(DESKTOP);
  await shop.system.startHub();
  await page.locator('.banner').waitFor({ state: 'detached', timeout: 20_000 });
  // Machines of the tests above have gone silent by now, which the badge tells as delayed.
  await page.locator('.badge', { hasText: /Live|Delayed/ }).waitFor({ timeout: 20_000 });
  assert.equal(await page.evaluate('window.sameDocument'), true);
});

test('the pipeline names the gateway, and when it is not heard any more', async () => {
  const { page } = await visit(browser, `${shop.system.url}/pipeline`);
  const card = page.locator('.part', { hasText: 'EDGE-1' });
  await card.getByText('Online: every source and sink works').waitFor({ timeout: 20_000 });
  await shop.edge.end('SIGKILL');
  await card.getByText(/Last heard \d+ s ago/).waitFor({ timeout: 20_000 });
  await page.getByText(/First broken hop: gateways\. EDGE-1 was last heard/).waitFor();
  await page.goto(shop.system.url);
  await page
    .locator('[data-machine="M-1"]')
    .getByText(/last seen/)
    .waitFor({ timeout: 20_000 });
});
