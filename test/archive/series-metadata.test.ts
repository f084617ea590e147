/**
 * What /metadata is made of: pieces kept when objects are indexed or placed, or read from the objects and kept then; and
 * nothing kept of what is dropped.
 */
import zlib from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPackReader, keepPieces } from '../../src/archive/header-pack-rows.ts';
import { eachFragment } from '../../src/archive/header-piece.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { removeVersion } from '../../src/archive/removal.ts';
import { describeInstances } from '../../src/archive/series-metadata.ts';
import { Failure } from '../../src/failure.ts';
import { createLog } from '../../src/log.ts';
import { element, sequence } from '../dicom/elements.ts';
import { type AnObject, anObject, aSeries } from '../support/an-object.ts';
import { eventually } from '../support/house.ts';
import { openRig, type Rig, readerOf, store } from './intake/rig.ts';

let r: Rig;
let reader: ObjectReader;
beforeEach(async () => {
  r = await openRig();
  r.settle();
  reader = readerOf(r);
});
afterEach(() => r.close());

const log = createLog('silent', 'test');
const noReader = { read: () => fail(), readRange: () => fail(), hasAll: () => fail() } as ObjectReader;
function fail(): never {
  throw new Failure('internal', 'the objects are not to be read');
}

async function placed(objects: readonly AnObject[]): Promise<void> {
  const reception = r.journal().open();
  for (const object of objects) store(reception, object);
  await eventually(async () => {
    const { rows } = await r.db.database.query<{ left: number }>(
      "select $1 - count(*) as left from object where location = 'store'",
      [objects.length],
    );
    return rows[0]!.left === 0 ? true : undefined;
  }, 'all objects to be placed');
}

async function described(series: string, from = noReader): Promise<{ sop: string; piece: string }[]> {
  const packs = createPackReader(r.db.database, 1024);
  const found: { sop: string; piece: string }[] = [];
  const parts = { database: r.db.database, reader: from, packs, log };
  for await (const { sopUid, piece } of describeInstances(parts, { seriesUid: series }))
    found.push({ sop: sopUid, piece: piece.toString('hex') });
  return found;
}

/** With elements behind Pixel Data. */
function withTail(object: AnObject, characterSet?: string): AnObject {
  const dataSet = Buffer.concat([
    ...(characterSet === undefined ? [] : [element('00080005', 'CS', characterSet)]),
    object.dataSet,
    element('7FE10010', 'LO', 'T\xfcr '),
    sequence('FFFAFFFA', [element('04000010', 'LO', 'f\xfcr ')]),
    element('FFFCFFFC', 'OB', Buffer.alloc(2000)),
  ]);
  return { ...object, dataSet };
}
/** Of a piece, without the address of the instance. */
function textOf(piece: Buffer): string {
  let text = '';
  eachFragment(piece, (from, to) => {
    text += zlib.inflateRawSync(Buffer.concat([piece.subarray(from, to), Buffer.from([3, 0])]));
  });
  return text;
}
const sops = (objects: readonly AnObject[]): string[] => objects.map(({ sop }) => sop);
const packRows = async (): Promise<{ id: number; bytes: Buffer }[]> =>
  (await r.db.database.query<{ id: number; bytes: Buffer }>('select id, bytes from header_pack order by id'))
    .rows;

describe('the metadata of placed objects', () => {
  it('are there with the index, before any is placed', async () => {
    const series = aSeries(200);
    const reception = r.journal().open();
    for (const object of series) store(reception, object);
    await reception.indexed(20_000);
    expect((await described(series[0]!.series)).map(({ sop }) => sop)).toEqual(sops(series));
  });

  it('tell what stands behind the pixels, too, in the character set of what stands before', async () => {
    const object = withTail(anObject({ more: [element('00204000', 'LT', 'Gr\xf6\xdfe')] }), 'ISO_IR 100');
    await placed([object]);
    const [only] = await described(object.series);
    const text = textOf(Buffer.from(only!.piece, 'hex'));
    expect(JSON.parse(text)).toMatchObject({
      '00204000': { vr: 'LT', Value: ['Größe'] },
      '7FE10010': { vr: 'LO', Value: ['Tür'] },
      FFFAFFFA: { vr: 'SQ', Value: [{ '04000010': { vr: 'LO', Value: ['für'] } }] },
      FFFCFFFC: { vr: 'OB', BulkDataURI: '/bulkdata/FFFCFFFC' },
    });
  });

  it('are told of when they are written with the index', async () => {
    const told: { id: number; bytes: string }[] = [];
    const own = await openRig({
      packed: (packs) =>
        told.push(...packs.map(({ id, bytes }) => ({ id, bytes: Buffer.from(bytes).toString('hex') }))),
    });
    try {
      own.settle();
      const reception = own.journal().open();
      for (const object of aSeries(10)) store(reception, object);
      await reception.indexed(20_000);
      const { rows } = await own.db.database.query(
        "select id, encode(bytes, 'hex') as bytes from header_pack order by id",
      );
      expect(rows).not.toEqual([]);
      expect(told).toEqual(rows);
    } finally {
      await own.close();
    }
  });

  it('that were written last are in memory from the start, and those that are told of as they are written', async () => {
    const series = aSeries(20);
    await placed(series);
    const written = (await packRows()).at(-1)!;
    const packs = createPackReader(r.db.database, 1024 * 1024);
    await packs.keepLast();
    packs.keep(written.id + 1000, Buffer.from('told'));
    await r.db.database.query('delete from header_pack');
    const found = await packs.read([written.id, written.id + 1000, written.id + 1001]);
    expect([...found]).toEqual([
      [written.id, written.bytes],
      [written.id + 1000, Buffer.from('told')],
    ]);
  });

  it('come from what was kept, no object being read, each series with packs of its own', async () => {
    const [one, other] = [aSeries(30), aSeries(20)];
    await placed(one.flatMap((object, n) => [object, ...(other[n] ? [other[n]] : [])]));
    expect((await described(one[0]!.series)).map(({ sop }) => sop)).toEqual(sops(one));
    expect((await described(other[0]!.series)).map(({ sop }) => sop)).toEqual(sops(other));
    const { rows } = await r.db.database.query<{ series: number }>(
      'select count(distinct o.series_uid) as series from object o group by o.pack',
    );
    expect(rows.every(({ series }) => series === 1)).toBe(true);
  });

  it('are the same when nothing was kept, and kept then', async () => {
    const series = aSeries(150);
    await placed(series);
    const before = await described(series[0]!.series);
    await r.db.database.query('update object set pack = null where id % 2 = 0');
    await r.db.database.query('delete from header_pack');
    expect(await described(series[0]!.series, reader)).toEqual(before);
    // Where the pack had gone, the row still says that there is one: it is read each time, and never left out.
    await r.db.database.query('update object set pack = null');
    expect(await described(series[0]!.series, reader)).toEqual(before);
    expect(await described(series[0]!.series)).toEqual(before);
  });

  it('asked for before they are placed are kept once, and leave nothing behind of what is dropped', async () => {
    // What stands behind the pixels is read when it is placed.
    const series = aSeries(4).map((object) => withTail(object));
    const reception = r.journal().open();
    for (const object of series) store(reception, object);
    await reception.indexed(20_000);
    const before = await described(series[0]!.series, reader);
    await eventually(async () => {
      const { rowCount } = await r.db.database.query("select 1 from object where location = 'store'");
      return rowCount === series.length ? true : undefined;
    }, 'all objects to be placed');
    expect(await described(series[0]!.series)).toEqual(before);
    const { rows } = await r.db.database.query<{ id: number }>(
      'select distinct pack as id from object order by 1',
    );
    expect((await packRows()).map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  });

  it('of an object that went meanwhile are not kept with those beside it', async () => {
    const series = aSeries(3);
    await placed(series);
    const { rows } = await r.db.database.query<{ id: number }>('select id from object order by id');
    const pieces = rows.map(({ id }, n) => ({
      object: n === 1 ? 999_999 : id,
      seriesUid: series[0]!.series,
      piece: Buffer.alloc(10, n + 1),
    }));
    await r.db.database.transaction((tx) => keepPieces(tx, pieces));
    const last = (await packRows()).at(-1)!;
    expect([...last.bytes]).toEqual([...Array(10).fill(1), ...Array(10).fill(0), ...Array(10).fill(3)]);
  });

  it('of another version are made anew, once', async () => {
    const series = aSeries(5);
    await placed(series);
    const before = await described(series[0]!.series);
    const old = await packRows();
    await r.db.database.query(
      `update header_pack h set bytes = overlay(h.bytes placing '\\x0000' from o.pack_at + 1)
       from object o where o.pack = h.id and o.sop_uid = $1`,
      [series[2]!.sop],
    );
    expect(await described(series[0]!.series, reader)).toEqual(before);
    expect(await described(series[0]!.series)).toEqual(before);
    expect((await packRows()).map(({ bytes }) => bytes.length)).toEqual([
      ...old.map(({ bytes }) => bytes.length),
      expect.any(Number),
    ]);
  });

  it('leave nothing behind of an object that is dropped, and those beside it stay', async () => {
    const series = aSeries(3);
    await placed(series);
    const before = await described(series[0]!.series);
    const drop = async (sop: string): Promise<{ pack: number; at: number; length: number }> => {
      const { rows } = await r.db.database.query<{
        id: number;
        key: string;
        pack: number;
        at: number;
        length: number;
      }>('select id, key, pack, pack_at as at, pack_length as length from object where sop_uid = $1', [sop]);
      await r.db.database.transaction(async (tx) => {
        await tx.query('delete from instance where sop_uid = $1', [sop]);
        await removeVersion(tx, { ...rows[0]!, studyUid: series[0]!.study, sopUid: sop }, 'test');
      });
      return rows[0]!;
    };
    const { pack, at, length } = await drop(series[1]!.sop);
    expect(await described(series[0]!.series)).toEqual([before[0], before[2]]);
    const bytes = (await packRows()).find(({ id }) => id === pack)!.bytes;
    expect(bytes.subarray(at, at + length).every((byte) => byte === 0)).toBe(true);
    await drop(series[0]!.sop);
    await drop(series[2]!.sop);
    expect(await packRows()).toEqual([]);
  });
});
