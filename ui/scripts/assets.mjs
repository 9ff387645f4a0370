/**
 * After `vite build`: writes `dist/SOURCES` and the table that the crate embeds `dist/` by, and prints
 * what the entry weighs. The README describes the digest; `cargo xtask` computes it again without Node.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const ui = fileURLToPath(new URL('..', import.meta.url));
const crate = join(ui, '../crates/sigyn-ui');
const dist = join(crate, 'dist');

const SOURCES = ['src', 'public', 'index.html', 'package-lock.json', 'vite.config.ts', 'tsconfig.json'];
const ENTRY_BUDGET = 60_000;

const MIMES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.woff2': 'font/woff2',
};

/** Paths of all files below `path`, relative to `root`, with slashes. */
function filesBelow(root, path) {
  const entries = readdirSync(join(root, path), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const child = path ? `${path}/${entry.name}` : entry.name;
    return entry.isDirectory() ? filesBelow(root, child) : [child];
  });
}

/** By bytes, as Rust sorts strings. */
function byBytes(a, b) {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function sourcesDigest() {
  const hash = createHash('sha256');
  const files = SOURCES.flatMap((path) => (extname(path) ? [path] : filesBelow(ui, path))).sort(byBytes);
  for (const file of files) {
    hash.update(file);
    hash.update('\0');
    hash.update(readFileSync(join(ui, file)));
  }
  return hash.digest('hex');
}

function assetsTable(files) {
  const rows = files.map((path) => {
    const mime = MIMES[extname(path)];
    if (!mime) throw new Error(`no MIME type is known for ${path}`);
    const digest = createHash('sha256')
      .update(readFileSync(join(dist, path)))
      .digest('hex');
    return `    Asset::new("${path}", "${mime}", "${digest.slice(0, 16)}", include_bytes!("../dist/${path}")),\n`;
  });
  return [
    '//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.\n\n',
    'use crate::Asset;\n\n',
    '#[rustfmt::skip]\n',
    `pub(crate) static ASSETS: [Asset; ${files.length}] = [\n`,
    ...rows,
    '];\n',
  ].join('');
}

function entryBytes(files) {
  const parts = files.filter((path) => /^assets\/index-.*\.(js|css)$/.test(path));
  const sizes = parts.map((path) => [path, gzipSync(readFileSync(join(dist, path)), { level: 9 }).length]);
  for (const [path, size] of sizes) console.log(`${path}: ${size} bytes gzipped`);
  return sizes.reduce((sum, [, size]) => sum + size, 0);
}

writeFileSync(join(dist, 'SOURCES'), `${sourcesDigest()}\n`);
const files = filesBelow(dist, '')
  .filter((path) => path !== 'SOURCES')
  .sort(byBytes);
writeFileSync(join(crate, 'src/assets.rs'), assetsTable(files));

const entry = entryBytes(files);
console.log(`entry: ${entry} bytes gzipped, of ${ENTRY_BUDGET}`);
if (entry > ENTRY_BUDGET) process.exit(1);
