/** The client process of `bench dicomweb` against the file servers: every byte comes, on every connection. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FILE_SERVERS } from '../../../bench/web/file-servers.ts';
import { type Load, startLoad } from '../../../bench/web/load.ts';
import { peer } from '../../support/peers.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const SIZES = [1, 70_000, 524_288];
const fileOf = (size: number): Buffer => Buffer.alloc(size, `frame of ${size} bytes `);

let temp: TempFolder;
let files: string;
let load: Load;
beforeAll(async () => {
  temp = await tempFolder('bench-web');
  files = join(temp.path, 'files');
  mkdirSync(files);
  for (const size of SIZES) writeFileSync(join(files, String(size)), fileOf(size));
  load = startLoad(new AbortController().signal);
});
afterAll(async () => {
  await load.stop();
  await temp.remove();
});

const requests = SIZES.map((size) => ({ path: `/${size}`, headers: {} }));

describe.each(FILE_SERVERS)('$name', (kind) => {
  it.skipIf(kind.name === 'nginx' && !peer('nginx'))('hands out the files as they are', async () => {
    const server = await kind.start(files, temp.path);
    try {
      for (const [at, size] of SIZES.entries()) {
        const { first } = await load.run(server.url, [requests[at]!], { keepFirst: true });
        expect(fileOf(size).equals(first!.body)).toBe(true);
      }
      const outcome = await load.run(server.url, requests, { connections: 8, warmUp: 10, atMost: 300 });
      expect(outcome.ms).toHaveLength(300);
      expect(outcome.bytes).toBe(100 * SIZES.reduce((sum, size) => sum + size));
      expect(outcome.statuses).toEqual({ 200: 300 });
      await expect(load.run(server.url, [{ path: '/absent', headers: {} }])).rejects.toThrow(
        'GET /absent: 1 × 404',
      );
    } finally {
      await server.stop();
    }
    await expect(load.run(server.url, requests)).rejects.toThrow(/ECONNREFUSED/);
  });
});
