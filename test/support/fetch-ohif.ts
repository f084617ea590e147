/**
 * Fetches the built OHIF viewer (npm package @ohif/app) from the npm registry into .cache, which git ignores: run
 * `npx node test/support/fetch-ohif.ts` once; .ci/run does. It is no dependency, because npm would install the hundreds of
 * packages it was built from. ohif.ts serves what lies here.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const VERSION = '3.13.2';
/** Of the tarball; the registry says the same of it. */
const INTEGRITY =
  'sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==';

const cache = resolve(import.meta.dirname, '../../.cache');

/** The folder with OHIF's index.html, once it was fetched. */
export const ohifFolder = join(cache, `ohif-${VERSION}`);

/** Does nothing where it is already there. Whole or not at all: it is moved into its place at the end. */
async function fetchOhif(): Promise<void> {
  if (existsSync(ohifFolder)) return;
  await mkdir(cache, { recursive: true });
  const temp = await mkdtemp(join(cache, 'fetching-'));
  try {
    const to = ['--pack-destination', temp, '--silent'];
    await run('npm', ['pack', `@ohif/app@${VERSION}`, ...to], { timeout: 300_000 });
    const tarball = join(temp, `ohif-app-${VERSION}.tgz`);
    const hash = createHash('sha512')
      .update(await readFile(tarball))
      .digest('base64');
    if (`sha512-${hash}` !== INTEGRITY)
      throw new Error(`@ohif/app ${VERSION} is not what was looked at: its hash is sha512-${hash}`);
    await run('tar', ['-xzf', tarball, '-C', temp, '--exclude=*.map', 'package/dist']);
    await rename(join(temp, 'package/dist'), ohifFolder);
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

if (import.meta.main) await fetchOhif();
