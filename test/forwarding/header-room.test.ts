/** Long headers that are changed at once: two are in memory, however many deliveries ask and however slow their peers are. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createSpool } from '../../src/archive/intake/spool.ts';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { changeObject } from '../../src/forwarding/changed-object.ts';
import { createHeaderRoom, type HeaderRoom } from '../../src/forwarding/header-room.ts';
import { compileTransform } from '../../src/transform/transform.ts';
import { element } from '../dicom/elements.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const MEGABYTE = 1024 * 1024;
let folder: TempFolder;

beforeEach(async () => {
  folder = await tempFolder('header-room');
  await mkdir(path.join(folder.path, 'tmp'));
});
afterEach(() => folder.remove());

const roomOf = (limitBytes: number): HeaderRoom =>
  createHeaderRoom(createSpool({ folder: path.join(folder.path, 'tmp'), limitBytes, reserveBytes: 0 }));

const report = Buffer.concat([
  element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.88.11\0'),
  element('00080018', 'UI', '1.2.3.4\0'),
  element('0020000D', 'UI', '1.2.3\0'),
  element('0020000E', 'UI', '1.2.3.9\0'),
  element('00420011', 'OB', Buffer.alloc(4 * MEGABYTE, 7)),
]);
const compiled = compileTransform([{ set: { InstitutionName: 'There' } }]);
if ('faults' in compiled) throw new Error(compiled.faults.join());
const transform = compiled;

/** Changes the report; counts those whose long header is being read. */
function change(headers: HeaderRoom, reading: { now: number; most: number }) {
  async function* pieces() {
    let isCounted = false;
    try {
      for (let at = 0; at < report.length; at += MEGABYTE) {
        if (at > 2 * MEGABYTE && !isCounted) {
          isCounted = true;
          reading.most = Math.max(reading.most, ++reading.now);
        }
        await new Promise((resolve) => setImmediate(resolve));
        yield report.subarray(at, at + MEGABYTE);
      }
    } finally {
      if (isCounted) reading.now--;
    }
  }
  return changeObject(pieces(), EXPLICIT_LE, transform, { headers });
}

test('of many two at once have a turn, and none keeps it while its peer is slow', async () => {
  const reading = { now: 0, most: 0 };
  const headers = roomOf(1024 * MEGABYTE);
  // None of them is sent before all are made.
  const made = await Promise.all(Array.from({ length: 12 }, () => change(headers, reading)));
  expect(reading.most).toBe(2);
  for (const object of made) {
    const out: Buffer[] = [];
    for await (const chunk of object.bytes) out.push(Buffer.from(chunk));
    const sent = Buffer.concat(out);
    expect(sent.length).toBe(object.headBytes);
    expect(text(parseDataSet(sent, EXPLICIT_LE), '00080080')).toBe('There');
  }
});

test('where there is no room the object is tried again later, and the turn is given back', async () => {
  const headers = roomOf(5 * MEGABYTE);
  const reading = { now: 0, most: 0 };
  for (let time = 0; time < 4; time++)
    await expect(change(headers, reading)).rejects.toMatchObject({ kind: 'unavailable' });
  const leave = [await headers.enter(), await headers.enter()];
  for (const one of leave) one();
});
