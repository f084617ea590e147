/**
 * How Vite bundles the viewer. Called by build.ts (npm run viewer) and by `vite` itself for development,
 * where /dicom-web is passed on to a server that runs beside it. The output is served by src/http at `/`.
 */
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  base: '/',
  // Cornerstone's decoder starts as a module worker and imports its codecs lazily.
  worker: { format: 'es' },
  optimizeDeps: {
    // Pre-bundling would lose the loader's `new URL('./decodeImageFrameWorker.js', import.meta.url)`.
    exclude: ['@cornerstonejs/dicom-image-loader'],
    include: ['dicom-parser'],
  },
  build: {
    target: 'es2022',
    assetsDir: 'assets',
    sourcemap: false,
    // The server's content security policy allows no data: scripts, so workers and codecs stay files.
    assetsInlineLimit: 0,
    // Cornerstone with vtk.js is what it is; one warning on each build would teach nobody anything.
    chunkSizeWarningLimit: 8192,
  },
  server: { host: '127.0.0.1', proxy: { '/dicom-web': 'http://127.0.0.1:8080' } },
});
