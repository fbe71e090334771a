/** Real Chromium for the tests of the pages: carried by an npm package, driven by playwright-core. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after } from 'node:test';
import chromium from '@sparticuz/chromium';
import { type Browser, chromium as driver, type Page } from 'playwright-core';

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

export interface Look {
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: 'light' | 'dark';
}

export interface Visit {
  readonly page: Page;
  /** Console errors and uncaught errors so far. */
  readonly errors: string[];
  /** Requests to any other origin so far. */
  readonly foreign: string[];
}

/** Closes with the test file. */
export async function startBrowser(): Promise<Browser> {
  const browser = await driver.launch({ executablePath: await chromium.executablePath(), args: ARGUMENTS });
  after(() => browser.close());
  return browser;
}

/** A browser profile of its own, with one page at that address; closes with the test, or it would go on asking and drawing. */
export async function visit(browser: Browser, url: string, look: Look = {}): Promise<Visit> {
  const { viewport = DESKTOP, colorScheme = 'light' } = look;
  const context = await browser.newContext({ viewport, colorScheme, locale: 'en-GB', timezoneId: 'America/New_York' });
  after(() => context.close());
  const page = await context.newPage();
  const errors: string[] = [];
  const foreign: string[] = [];
  const { origin } = new URL(url);
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) foreign.push(request.url());
  });
  await page.goto(url);
  return { page, errors, foreign };
}

/** Fails with every violation of WCAG 2 A and AA that axe-core finds in the page as it stands. */
export async function assertAccessible(page: Page, what: string): Promise<void> {
  const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  await page.evaluate(await readFile(axeFile, 'utf8'));
  const { violations, passes } = await page.evaluate<{ violations: string[]; passes: number }>(RUN_AXE);
  assert.deepEqual(violations, [], what);
  assert.ok(passes > 10, `${what}: only ${passes} rules found something to check`);
}

/** Runs in the page, so it is text: the tests' own types know nothing of a document. */
const RUN_AXE = `axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }).then((found) => ({
  passes: found.passes.length,
  violations: found.violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => id + ': ' + node.target.join(' ') + ': ' + node.failureSummary)),
}))`;

/** How many pixels the page is wider than the window, or a card than the room the page gives it. */
export async function overflowPx(page: Page): Promise<number> {
  return page.evaluate<number>(`(() => {
    const main = document.querySelector('main');
    const edge = main.getBoundingClientRect().right - parseFloat(getComputedStyle(main).paddingRight);
    const cards = [...main.querySelectorAll('.card')].filter((card) => card.checkVisibility());
    const overhang = Math.max(0, ...cards.map((card) => card.getBoundingClientRect().right - edge));
    return Math.max(document.documentElement.scrollWidth - window.innerWidth, Math.round(overhang));
  })()`);
}
