import { defineConfig } from 'vite';

// The build must be the same bytes on every machine: no source maps, no inlined assets, no
// time or path in the output. The crate that embeds it compares hashes.
export default defineConfig({
  base: './',
  build: {
    outDir: '../crates/sigyn-ui/dist',
    emptyOutDir: true,
    // The first browsers with `light-dark()`; older targets would have it rewritten.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: 'licenses.md' },
    chunkSizeWarningLimit: 200,
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/api': 'http://127.0.0.1:9411', '/zipkin/api': 'http://127.0.0.1:9411' },
  },
});
