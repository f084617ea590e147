/** Reading bytes where they lie: the journal before they are placed, a segment recycled under the reader, the store. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeSegmentHeader } from '../../src/archive/intake/record.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { findStoredObjects, type StoredObject } from '../../src/archive/stored-object.ts';
import { Failure } from '../../src/failure.ts';
import { type AnObject, anObject } from '../support/an-object.ts';
import { eventually } from '../support/house.ts';
import { collect } from '../support/object-source.ts';
import { openRig, type Rig, readerOf, store } from './intake/rig.ts';

let away = true;
let r: Rig;
let reader: ObjectReader;
beforeEach(async () => {
  away = true;
  r = await openRig({
    segmentBytes: 2 * 1024 * 1024,
    wrapStore: (files) => ({
      ...files,
      kind: 's3',
      async put(key, source) {
        if (away) throw new Failure('unavailable', 'S3 is away');
        await files.put(key, source);
      },
    }),
  });
  r.settle();
  reader = readerOf(r);
});
afterEach(() => r.close());

async function inJournal(object: AnObject): Promise<StoredObject> {
  const reception = r.journal().open();
  store(reception, object);
  await reception.indexed(20_000);
  const [found] = await findStoredObjects(r.db.database, { sopUid: object.sop });
  expect(found!.location).toBe('journal');
  return found!;
}
const sent = (object: AnObject): string => object.dataSet.toString('base64');
const dataSet = (bytes: Buffer, { dataSetOffset }: StoredObject): string =>
  bytes.subarray(dataSetOffset).toString('base64');

describe('an object in the journal', () => {
  it.each([600_000, 3_000_000])('of %i bytes is read whole and by range', async (pixelBytes) => {
    const object = anObject({ pixelBytes });
    const stored = await inJournal(object);
    const whole = await collect(reader.read(stored));
    expect(whole).toHaveLength(stored.length);
    expect(dataSet(whole, stored) === sent(object)).toBe(true);
    const range = await collect(reader.read(stored, { offset: 300_000, length: 200_001 }));
    expect(range.equals(whole.subarray(300_000, 500_001))).toBe(true);
    expect((await reader.readRange(stored, 10, 20)).equals(whole.subarray(10, 30))).toBe(true);
    expect(await collect(reader.read(stored, { offset: stored.length, length: 0 }))).toHaveLength(0);
  });

  it('is read on in the store when its segment is recycled in the middle of it', async () => {
    const object = anObject({ pixelBytes: 1_500_000 });
    const stored = await inJournal(object);
    const pieces: Uint8Array[] = [];
    let recycled = false;
    for await (const piece of reader.read(stored)) {
      pieces.push(piece);
      if (recycled) continue;
      recycled = true;
      // As the journal does it: the object is in the store, then the nonce goes, then other bytes come.
      away = false;
      const { rowCount } = await r.db.database.query('select 1 from object where sop_uid = $1', [object.sop]);
      expect(rowCount).toBe(1);
      await r.store.put(stored.key, {
        length: stored.length,
        sha256: await sha256(reader.read(stored)),
        open: () => reader.read(stored),
      });
      await r.db.database.query("update object set location = 'store', node = null, journal = null");
      const fd = openSync(join(r.folder, stored.journal!.path), 'r+');
      writeSync(fd, encodeSegmentHeader(Buffer.alloc(16, 9)), 0, 512, 0);
      writeSync(fd, Buffer.alloc(1_000_000, 0xee), 0, 1_000_000, 512);
      closeSync(fd);
    }
    const whole = Buffer.concat(pieces);
    expect(whole).toHaveLength(stored.length);
    expect(dataSet(whole, stored) === sent(object)).toBe(true);
    // A reader that still holds the old row comes too late for the first byte, and finds it all the same.
    expect((await collect(reader.read(stored))).equals(whole)).toBe(true);
  });

  it('is found in the store by a reader that asked before it was placed', async () => {
    const object = anObject({ pixelBytes: 3_000_000 }); // in a file of its own
    const stored = await inJournal(object);
    away = false;
    await eventually(async () => {
      const [now] = await findStoredObjects(r.db.database, { sopUid: object.sop });
      return now!.location === 'store' ? true : undefined;
    }, 'the upload');
    expect(dataSet(await collect(reader.read(stored)), stored) === sent(object)).toBe(true);
  });

  it('whose segment has gone and whose row has not moved is a failure, not a search without end', async () => {
    const stored = await inJournal(anObject());
    const fd = openSync(join(r.folder, stored.journal!.path), 'r+');
    writeSync(fd, Buffer.alloc(512), 0, 512, 0);
    closeSync(fd);
    await expect(collect(reader.read(stored))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('of another node is to be asked for again', async () => {
    const stored = await inJournal(anObject());
    const elsewhere = readerOf(r, 'another');
    await expect(collect(elsewhere.read(stored))).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterS: 2,
    });
  });

  it('has no bytes before its first and behind its last', async () => {
    const stored = await inJournal(anObject());
    for (const [offset, length] of [
      [-1, 2],
      [0, stored.length + 1],
      [stored.length, 1],
      [5, -1],
    ] as const)
      await expect(collect(reader.read(stored, { offset, length }))).rejects.toMatchObject({
        kind: 'invalid',
      });
  });
});

async function sha256(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const { createHash } = await import('node:crypto');
  const hash = createHash('sha256');
  for await (const piece of bytes) hash.update(piece);
  return hash.digest();
}
