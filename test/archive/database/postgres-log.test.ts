import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openPostgresLog } from '../../../src/archive/database/postgres-log.ts';
import { createLog } from '../../../src/log.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
beforeEach(async () => {
  folder = await tempFolder('postgres-log');
});
afterEach(() => folder.remove());

test('turns over at its limit and keeps one file before, closed to others', async () => {
  const file = path.join(folder.path, 'postgres.log');
  closeSync(openSync(file, 'w', 0o600));
  const serverLog = openPostgresLog(file, createLog('silent', 'test'), 1000);
  const stream = new PassThrough();
  serverLog.follow(stream);
  for (let n = 0; n < 100; n++) stream.write(`line ${n} ${'x'.repeat(90)}\n`);
  stream.end();
  await new Promise((resolve) => stream.once('end', resolve));
  serverLog.close();
  expect(readFileSync(file, 'utf8')).toContain('line 99');
  expect(readFileSync(`${file}.1`, 'utf8')).not.toContain('line 99');
  for (const part of [file, `${file}.1`]) {
    expect(statSync(part).size).toBeLessThanOrEqual(1000);
    expect(statSync(part).mode & 0o077).toBe(0);
  }
  expect(serverLog.lastLines().at(-1)).toContain('line 99');
});
