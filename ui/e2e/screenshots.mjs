/**
 * Pictures of a running server's pages, to be looked at by people: each in light and dark, wide and narrow.
 *
 *   node e2e/screenshots.mjs http://127.0.0.1:9411/ /tmp/pictures [trace id]
 *
 * Without a trace id, the longest of the newest traces is taken. The browser is the system's: $CHROMIUM,
 * or /usr/bin/chromium. Fails if a page logs an error.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [base, folder, wantedTrace] = process.argv.slice(2);
if (!base || !folder) {
  console.error('usage: node e2e/screenshots.mjs BASE_URL FOLDER [TRACE_ID]');
  process.exit(64);
}

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const SIZES = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } };
const PAGE_MS = 20_000;

/** The trace with most spans among the newest, or null if there is none. */
async function pickTrace() {
  const parameters = new URLSearchParams({ limit: '200', endTs: String(Date.now()), lookback: '86400000' });
  const response = await fetch(new URL(`api/v1/search?${parameters}`, base));
  const { data } = await response.json();
  return data.traces.toSorted((a, b) => b.spans - a.spans)[0]?.traceId ?? null;
}

const problems = [];

async function shoot(browser, { name, path, ready, act }) {
  for (const theme of ['light', 'dark']) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const context = await browser.newContext({ viewport, colorScheme: theme });
      const page = await context.newPage();
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(`${name}, ${theme}, ${size}: ${message.text()}`);
      });
      page.on('pageerror', (error) => problems.push(`${name}, ${theme}, ${size}: ${error.message}`));
      await page.goto(new URL(path, base).href, { timeout: PAGE_MS });
      await page.waitForSelector(ready, { timeout: PAGE_MS });
      await act?.(page, size);
      // Canvases paint in the frame after their data came.
      await page.evaluate(() => document.fonts.ready);
      await page.waitForTimeout(400);
      const file = join(folder, `${name}-${theme}-${size}.png`);
      await page.screenshot({ path: file });
      console.log(file);
      await context.close();
    }
  }
}

mkdirSync(folder, { recursive: true });
const trace = wantedTrace ?? (await pickTrace());
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: FLAGS,
});
try {
  await shoot(browser, { name: 'targets', path: 'targets', ready: '.target' });
  await shoot(browser, { name: 'search', path: 'zipkin/', ready: trace ? '.trace-row' : '.notice' });
  await shoot(browser, { name: 'map', path: 'zipkin/dependency', ready: '.graph, .notice' });
  await shoot(browser, { name: 'losses', path: 'losses', ready: '.law, .notice' });
  await shoot(browser, {
    name: 'discovery',
    path: 'service-discovery',
    ready: '.found',
    act: async (page) => page.locator('.found .endpoint').first().click(),
  });
  await shoot(browser, {
    name: 'relabelling',
    path: 'service-discovery',
    ready: '.found',
    act: async (page) => {
      await page.locator('.found .link').first().click();
      await page.waitForSelector('.steps-body p', { timeout: PAGE_MS });
    },
  });
  await shoot(browser, { name: 'status', path: 'status', ready: '.status' });
  await shoot(browser, { name: 'config', path: 'config', ready: '.yaml' });
  await shoot(browser, { name: 'flags', path: 'flags', ready: '.flags' });
  if (trace) {
    await shoot(browser, {
      name: 'trace',
      path: `zipkin/traces/${trace}`,
      ready: '.waterfall-rail',
      act: async (page, size) => {
        // With an error selected where there is one, so that the side panel is in the picture.
        await page.keyboard.press('e');
        if ((await page.locator('.side').count()) === 0) await page.keyboard.press('ArrowDown');
        await page.waitForSelector('.side section + section', { timeout: PAGE_MS });
        if (size === 'narrow') await page.keyboard.press('Escape');
      },
    });
  }
} finally {
  await browser.close();
}
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
