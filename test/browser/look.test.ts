/** Every page in both themes and both widths: nothing axe-core objects to, and nothing wider than the window. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAccessible, DESKTOP, overflowPx, PHONE, startBrowser, visit } from './browser.ts';
import { ingest, startShop } from './shop.ts';

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
  for (const [width, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const colorScheme of ['light', 'dark'] as const) {
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
