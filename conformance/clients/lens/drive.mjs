/**
 * Zipkin's own web UI in a browser, over a running server: search, trace, dependencies, upload.
 *
 *   node drive.mjs http://127.0.0.1:9411 [FOLDER for pictures]
 *
 * The browser is the system's: $CHROMIUM, or /usr/bin/chromium. Pushes one trace, and fails with a reason if
 * a page does not show what it should, logs an error, or is answered with one.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [base, pictures] = process.argv.slice(2);
if (!base) {
  console.error('usage: node drive.mjs BASE_URL [FOLDER]');
  process.exit(64);
}

const WAIT_MS = 20_000;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync'];

const now = Date.now() * 1000 - 5_000_000;
const traceId = '463ac35c9f6413ad48485a3953bb6124';
const frontend = { serviceName: 'frontend', ipv4: '127.0.0.1', port: 8080 };
const backend = { serviceName: 'backend', ipv4: '127.0.0.2', port: 9000 };
const trace = [
  { traceId, id: 'a1', kind: 'SERVER', name: 'get /cart', timestamp: now, duration: 90_000, localEndpoint: frontend, tags: { 'http.method': 'GET' } },
  { traceId, id: 'a2', parentId: 'a1', kind: 'CLIENT', name: 'get /items', timestamp: now + 10_000, duration: 60_000, localEndpoint: frontend, remoteEndpoint: backend },
  { traceId, id: 'a2', parentId: 'a1', kind: 'SERVER', name: 'get /items', timestamp: now + 20_000, duration: 40_000, shared: true, localEndpoint: backend,
    annotations: [{ timestamp: now + 30_000, value: 'cache miss' }], tags: { error: 'no such item' } },
];
const uploaded = [{ traceId: 'bee', id: 'b1', name: 'uploaded', timestamp: now, duration: 7_000, localEndpoint: { serviceName: 'somewhere' } }];

const problems = [];

function expect(what, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    problems.push(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
  }
}

async function shown(page, name, texts) {
  for (const text of texts) {
    try {
      await page.getByText(text).first().waitFor({ state: 'visible', timeout: WAIT_MS });
    } catch {
      problems.push(`${name}: the page does not show ${text}`);
    }
  }
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
  console.log(`${name}: ${page.url()}`);
}

const pushed = await fetch(new URL('/api/v2/spans', base), {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(trace),
});
expect('status of the push', pushed.status, 202);

if (pictures) mkdirSync(pictures, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.message}`));
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push(`${response.status()} for ${response.url()}`);
  });

  await page.goto(new URL('/', base).href);
  expect('where / leads', new URL(page.url()).pathname, '/zipkin/');
  await page.getByRole('button', { name: /run query/i }).click();
  await shown(page, 'search', [/1 Results?/i, /frontend/i]);

  await page.goto(new URL(`/zipkin/traces/${traceId}`, base).href);
  await shown(page, 'trace', [/get \/cart/, /get \/items/, new RegExp(traceId)]);

  const links = page.waitForResponse((response) => response.url().includes('/api/v2/dependencies'), { timeout: WAIT_MS });
  await page.goto(new URL('/zipkin/dependency', base).href);
  await page.getByRole('button', { name: /run query/i }).click();
  expect('links', await (await links).json(), [{ parent: 'frontend', child: 'backend', callCount: 1, errorCount: 1 }]);
  await page.waitForSelector('canvas, svg', { timeout: WAIT_MS });
  await shown(page, 'dependencies', []);

  await page.goto(new URL('/zipkin/', base).href);
  const file = { name: 'trace.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(uploaded)) };
  await page.locator('input[type=file]').first().setInputFiles(file);
  await page.waitForURL(/traces\/0*bee/, { timeout: WAIT_MS });
  await shown(page, 'upload', [/uploaded/, /somewhere/i]);
} catch (error) {
  problems.push(String(error));
} finally {
  await browser.close();
}
if (problems.length > 0) {
  console.error(`FAILED:\n${problems.join('\n')}`);
  process.exit(1);
}
