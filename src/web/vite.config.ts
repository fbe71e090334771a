/** Builds the pages into `dist/web`; in development, passes the API's requests on to a hub on this machine. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const HUB = 'http://127.0.0.1:8081';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: fileURLToPath(new URL('../../dist/web', import.meta.url)),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Nothing is put inline as a data: address, so that the hub can serve the pages under a strict content policy.
    assetsInlineLimit: 0,
  },
  server: { proxy: { '/api': HUB } },
});
