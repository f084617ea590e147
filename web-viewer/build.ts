/**
 * Builds the viewer into web-viewer/dist, and only when something it is made of changed.
 * Called by `npm run viewer`, which runs before `npm start` and `npm test`.
 * src/http serves what lies in dist. A stamp in dist holds the hash of the sources it was built from.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const folder = dirname(fileURLToPath(import.meta.url));
const dist = join(folder, 'dist');
const stamp = join(dist, '.built-from');

/** One hash over the names and contents of everything that decides what the bundle holds. */
function hashSources(): string {
  const hash = createHash('sha256');
  const files = ['index.html', 'vite.config.ts', 'package.json', 'build.ts', '../package-lock.json']
    .map((name) => join(folder, name))
    .concat(filesBelow(join(folder, 'src')));
  for (const file of files) {
    hash.update(`${relative(folder, file)}\0`);
    if (existsSync(file)) hash.update(readFileSync(file));
    hash.update('\0');
  }
  return hash.digest('hex');
}

function filesBelow(top: string): string[] {
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function readStamp(): string | undefined {
  return existsSync(stamp) ? readFileSync(stamp, 'utf8') : undefined;
}

/** Builds beside dist and swaps, so that a failed or interrupted build never leaves half a viewer behind. */
async function build(sources: string): Promise<void> {
  // Under node_modules, because that is ignored by git and lies on the same file system as dist.
  const scratch = join(folder, 'node_modules', `.viewer-${randomUUID()}`);
  const fresh = join(scratch, 'dist');
  const started = performance.now();
  mkdirSync(scratch, { recursive: true });
  try {
    const vite = await import('vite');
    await vite.build({ root: folder, logLevel: 'error', build: { outDir: fresh, emptyOutDir: true } });
    compress(fresh);
    writeFileSync(join(fresh, '.built-from'), sources);
    if (existsSync(dist)) renameSync(dist, join(scratch, 'old'));
    renameSync(fresh, dist);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  console.log(`Built the viewer in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
}

/** Lays a .gz beside each large file: koa-static sends it to browsers that take it, a fifth of the bytes. */
function compress(top: string): void {
  for (const file of filesBelow(top)) {
    const bytes = readFileSync(file);
    if (bytes.length > 16 * 1024) writeFileSync(`${file}.gz`, gzipSync(bytes));
  }
}

const sources = hashSources();
if (readStamp() !== sources) await build(sources);
