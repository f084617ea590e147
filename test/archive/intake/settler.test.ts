/** The settler and its replay over a real database and file store: nothing acknowledged is lost, doubled or stuck. */
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { deleteInstances } from '../../../src/archive/delete-instances.ts';
import type { DurableObject } from '../../../src/archive/intake/object-writer.ts';
import { type JournalRecord, SegmentReader } from '../../../src/archive/intake/segment-reader.ts';
import type { FileStore } from '../../../src/archive/object-store/file-store.ts';
import type { ObjectStore } from '../../../src/archive/object-store/object-store.ts';
import { removeBytes, removeLeftOver } from '../../../src/archive/removal.ts';
import { settleConflict } from '../../../src/archive/settle-conflict.ts';
import { findStoredObjects } from '../../../src/archive/stored-object.ts';
import { Failure } from '../../../src/failure.ts';
import { createLog } from '../../../src/log.ts';
import { element } from '../../dicom/elements.ts';
import { type AnObject, anObject, aSeries } from '../../support/an-object.ts';
import { eventually } from '../../support/house.ts';
import { collect } from '../../support/object-source.ts';
import { bareArchive } from '../bare-archive.ts';
import {
  indexRows,
  type Journal,
  NODE,
  type Rig,
  type RigOptions,
  readerOf,
  rigsOfTests,
  type SettlerRun,
  store,
  wrongCounts,
} from './rig.ts';

const rig = rigsOfTests();

const segmentsOf = ({ journalFolder }: Rig): string[] =>
  readdirSync(journalFolder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .map((name) => join(journalFolder, name))
    .filter((file) => {
      const reader = SegmentReader.open(file);
      if (reader instanceof SegmentReader) reader.close();
      return reader !== 'free';
    });
const spillsOf = ({ journalFolder }: Rig): string[] =>
  readdirSync(journalFolder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.obj'));

function recordsOf(file: string): JournalRecord[] {
  const reader = SegmentReader.open(file) as SegmentReader;
  const found: JournalRecord[] = [];
  for (let next = reader.next(); next; next = reader.next()) if ('record' in next) found.push(next.record);
  reader.close();
  return found;
}

async function overwrite(file: string, at: number, bytes: Buffer): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(bytes, 0, bytes.length, at);
  await handle.close();
}

async function storedDataSet(r: Rig, { sop }: AnObject): Promise<string | undefined> {
  const [object] = await findStoredObjects(r.db.database, { sopUid: sop });
  if (!object) return undefined;
  const reader = readerOf(r);
  const bytes = await collect(reader.read(object));
  return bytes.subarray(object.dataSetOffset).toString('base64');
}

async function expectStored(r: Rig, objects: AnObject[]): Promise<void> {
  for (const object of objects)
    expect((await storedDataSet(r, object)) === object.dataSet.toString('base64'), object.sop).toBe(true);
}

/** A file store that takes nothing while it is away. */
function refusingWhile(away: () => boolean): RigOptions {
  const refuse = (): void => {
    if (away()) throw new Failure('unavailable', 'away');
  };
  return {
    wrapStore(files) {
      const { putSync, put } = files as FileStore;
      return {
        ...files,
        putSync(...given: Parameters<typeof putSync>) {
          refuse();
          putSync(...given);
        },
        async put(...given: Parameters<typeof put>) {
          refuse();
          return put(...given);
        },
      } as ObjectStore;
    },
  };
}

/** As a crash leaves them that comes between the index and the store. */
async function indexedNotPlaced(
  objects: AnObject[],
): Promise<{ r: Rig; objects: AnObject[]; segment: string }> {
  let away = true;
  const r = await rig(refusingWhile(() => away));
  const run = r.settle();
  const journal = r.journal();
  const reception = journal.open();
  const durable = objects.map((object) => store(reception, object));
  await reception.indexed(20_000);
  journal.die();
  await run.stop();
  away = false;
  // The budget is the process', which has gone.
  r.budget.free(r.budget.held());
  return { r, objects, segment: durable.at(-1)!.segment };
}

/** An object that only Postgres finds wrong, as nothing known does that a sender can make: the index refuses its row. */
async function poison(r: Rig): Promise<AnObject> {
  await r.db.database.query(`alter table patient add check (patient_id <> '${POISON}')`);
  return anObject({ patientId: POISON });
}
const POISON = 'POISONED';

describe('settling', () => {
  it('indexes an object whose values are longer than any index takes, and keeps its patient apart', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    // 5 KB that do not compress are more than a row of an index holds; these begin alike.
    const long = Array.from({ length: 600 }, () => crypto.randomUUID()).join('');
    const wide = (tag: string, vr: string, bytes: number) =>
      element(tag, vr, long.repeat(Math.ceil(bytes / long.length)).slice(0, bytes));
    const objects = [
      anObject({ patientId: long }),
      anObject({ patientId: `${long}x`, issuer: long, birthDate: long }),
      anObject({ more: [wide('00200010', 'SH', 60_000)] }),
      anObject({ patientId: 'P2', more: [wide('00400254', 'UN', 400_000)] }),
    ];
    // Of group 0008, where an object's own date and number stand.
    for (const [tag, vr] of [
      ['00080020', 'DA'],
      ['00080030', 'TM'],
      ['00080050', 'SH'],
    ] as const) {
      const plain = anObject();
      objects.push({ ...plain, dataSet: Buffer.concat([wide(tag, vr, 60_000), plain.dataSet]) });
    }
    for (const object of objects) store(reception, object);
    await reception.indexed(20_000);
    expect(await r.quarantined()).toEqual([]);
    await expectStored(r, objects);
    const { rows } = await r.db.database.query('select distinct patient_id from patient');
    expect(rows).toHaveLength(4);
    const kept = await r.db.database.query("select 1 from series where attributes ? '00400254'");
    expect(kept.rows).toEqual([]);
    journal.close();
    await run.stop();
  });

  it('indexes and places what the journal holds, releases every segment, and leaves no budget behind', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const objects = [...aSeries(30, { pixelBytes: 9000 }), anObject({ pixelBytes: 300_000 })];
    for (const object of objects) store(reception, object, 7000);
    await reception.indexed(20_000);
    await expectStored(r, objects);
    reception.close('released');
    journal.close();
    await run.stop();
    expect(segmentsOf(r)).toEqual([]);
    expect(spillsOf(r)).toEqual([]);
    expect(r.budget.held()).toBe(0);
    expect(await wrongCounts(r.db)).toEqual([]);
    const { rows } = await r.db.database.query(
      'select outcome, stored, refused, closed_at is not null as closed from reception',
    );
    expect(rows).toEqual([{ outcome: 'released', stored: 31, refused: 0, closed: true }]);
  });

  it('two journals that bring the same object make one instance', async () => {
    const r = await rig();
    const run = r.settle();
    const object = anObject();
    const journals = [r.journal('receiver-0'), r.journal('receiver-1')];
    const receptions = journals.map((journal) => journal.open());
    for (const reception of receptions) store(reception, object);
    for (const reception of receptions) await reception.indexed(20_000);
    const { objects, instances } = await indexRows(r.db);
    expect([objects?.length, instances?.length]).toEqual([1, 1]);
    for (const journal of journals) journal.close();
    await run.stop();
  });

  it('sets a poisoned object aside with its bytes and reason; its neighbours go on', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const poisoned = await poison(r);
    const objects = [anObject(), poisoned, anObject()];
    for (const object of objects) store(reception, object);
    await reception.indexed(20_000);
    await expectStored(r, [objects[0]!, objects[2]!]);
    const [aside, ...others] = await r.quarantined();
    expect(others).toEqual([]);
    expect(aside).toMatchObject({ sop_uid: poisoned.sop });
    expect(aside!.reason).not.toContain(POISON);
    expect(aside!.bytes.subarray(-poisoned.dataSet.length).equals(poisoned.dataSet)).toBe(true);
    journal.close();
    await run.stop();
    expect(r.budget.held()).toBe(0);
  });

  it('gives the room of a journal back that died, and closes what it had open as lost', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const object = anObject();
    store(reception, object);
    reception.begin(anObject().declared).write(Buffer.alloc(2000)); // under way in a second segment
    journal.die();
    await eventually(async () => (r.budget.held() === 0 ? true : undefined), 'the room');
    await expectStored(r, [object]);
    const { rows } = await eventually(async () => {
      const found = await r.db.database.query(
        'select outcome, stored from reception where closed_at is not null',
      );
      return found.rows.length > 0 ? found : undefined;
    }, 'the closed reception');
    expect(rows).toEqual([{ outcome: 'lost', stored: 1 }]);
    await run.stop();
    expect(segmentsOf(r)).toEqual([]);
  });

  it('stops within its limit while the index is away, and the next start settles the rest', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    await r.db.database.query('alter table patient rename to patient_away');
    const reception = journal.open();
    const object = anObject();
    store(reception, object);
    await eventually(async () => (run.settler.state().away.length > 0 ? true : undefined), 'the wait');
    expect(run.settler.state().away).toEqual([expect.objectContaining({ what: 'the index' })]);
    await expect(reception.indexed(10)).rejects.toMatchObject({ kind: 'unavailable' });
    journal.close();
    await run.stop(300);
    await r.db.database.query('alter table patient_away rename to patient');
    expect(await r.quarantined()).toEqual([]);
    const next = r.settle();
    await next.replayed;
    await expectStored(r, [object]);
    await next.stop();
  });

  it('with ACK_AFTER=store says Success only when the store has the object durably', async () => {
    let syncs = 0;
    const r = await rig({
      ackAfter: 'store',
      wrapStore: (files) => ({ ...files, syncSync: counted(files) }) as ObjectStore,
    });
    function counted(files: ObjectStore) {
      const sync = (files as unknown as { syncSync(keys: string[]): void }).syncSync;
      return (keys: string[]): void => {
        sync(keys);
        syncs += keys.length;
      };
    }
    const run = r.settle();
    const reception = r.journal().open();
    const durable = store(reception, anObject());
    await reception.acknowledged(durable);
    expect(syncs).toBe(1);
    await run.stop(0);
  });

  it('with ACK_AFTER=store a store that is away is an answer, not a wait without end', async () => {
    const r = await rig({ ackAfter: 'store', storeLimitMs: 200 });
    const reception = r.journal().open(); // nobody settles
    const durable = store(reception, anObject());
    await expect(reception.acknowledged(durable)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('writes files again whose sync failed, before it lets the journal go', async () => {
    const r = await rig({
      wrapStore(files) {
        const sync = (files as unknown as { syncSync(keys: string[]): void }).syncSync;
        let failed = false;
        const syncSync = (keys: string[]): void => {
          if (failed) {
            sync(keys);
            return;
          }
          failed = true;
          // What a failed sync may leave: the file is not what was written.
          for (const key of keys) rmSync(join(r.folder, 'objects', key));
          sync(keys);
        };
        return { ...files, syncSync } as ObjectStore;
      },
    });
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const objects = [anObject(), anObject({ pixelBytes: 200_000 })];
    for (const object of objects) store(reception, object);
    reception.close('released');
    journal.close();
    await run.stop();
    expect(segmentsOf(r)).toEqual([]);
    await expectStored(r, objects);
    expect(spillsOf(r)).toEqual([]);
  });
});

describe('the replay after a crash', () => {
  /** Objects that were acknowledged and never settled. */
  async function crashed(objects: AnObject[]): Promise<{ r: Rig; durable: DurableObject[] }> {
    const r = await rig();
    const journal = r.journal();
    const reception = journal.open();
    const durable = objects.map((object) => store(reception, object));
    journal.die();
    r.budget.free(r.budget.held()); // another process counts anew
    return { r, durable };
  }

  it('indexes every acknowledged object once, closes its reception as lost, and frees the journal', async () => {
    const objects = [...aSeries(12, { pixelBytes: 20_000 }), anObject({ pixelBytes: 400_000 })];
    const { r } = await crashed(objects);
    const run = r.settle();
    await run.replayed;
    await expectStored(r, objects);
    await run.stop();
    expect(segmentsOf(r)).toEqual([]);
    expect(spillsOf(r)).toEqual([]);
    expect(r.budget.held()).toBe(0);
    const { rows } = await r.db.database.query('select outcome, stored from reception');
    expect(rows).toEqual([{ outcome: 'lost', stored: 13 }]);
    const changes = await r.db.database.query(
      "select count(*) as n from change where kind = 'instance-stored'",
    );
    expect(changes.rows).toEqual([{ n: 13 }]);
  });

  it('of what was indexed before changes nothing: no row, no count, no change, no version', async () => {
    const objects = aSeries(5);
    const { r } = await crashed(objects);
    const image = segmentsOf(r).map((file) => ({ file, records: recordsOf(file) }));
    // Settled, but not released: the run is cut off before its sync.
    const { readFile, writeFile } = await import('node:fs/promises');
    const copies = await Promise.all(image.map(async ({ file }) => ({ file, bytes: await readFile(file) })));
    const first = r.settle();
    await first.replayed;
    await first.stop();
    const everything = async () => ({
      ...(await indexRows(r.db)),
      versions: (await r.db.database.query('select version from study')).rows,
      receptions: (await r.db.database.query('select stored, outcome from reception')).rows,
      perStudy: (await r.db.database.query('select stored from reception_study')).rows,
      changes: (await r.db.database.query('select id from change')).rows,
    });
    const before = await everything();
    for (const { file, bytes } of copies) await writeFile(file, bytes);
    const second = r.settle();
    await second.replayed;
    await second.stop();
    expect(await everything()).toEqual(before);
    expect(segmentsOf(r)).toEqual([]);
  });

  it('lets the torn last write go, which nobody was told of, also when it stands alone', async () => {
    for (const count of [1, 3]) {
      const objects = aSeries(count);
      const { r, durable } = await crashed(objects);
      const file = durable.at(-1)!.segment;
      const last = recordsOf(file).at(-1)!;
      await overwrite(file, last.body.offset + 700, Buffer.alloc(64, 0xee));
      const run = r.settle();
      await run.replayed;
      await expectStored(r, objects.slice(0, -1));
      expect((await indexRows(r.db)).instances).toHaveLength(count - 1);
      expect(await r.quarantined()).toEqual([]);
      await run.stop();
      expect(segmentsOf(r)).toEqual([]);
      expect(r.budget.held()).toBe(0);
    }
  });

  it.each([
    ['its body', (start: number) => start + 700],
    ['its header', (start: number) => start + 40],
  ])(
    'sets the last write aside that is damaged in %s, when the index has it: then it was acknowledged',
    async (_where, at) => {
      const { r, objects, segment } = await indexedNotPlaced(aSeries(3));
      const last = recordsOf(segment).at(-1)!;
      const before = readFileSync(segment);
      await overwrite(segment, at(last.start), Buffer.alloc(64, 0xee));
      const run = r.settle();
      await run.replayed;
      await expectStored(r, objects.slice(0, -1));
      const [aside, ...others] = await r.quarantined();
      expect([aside!.reason, others]).toEqual([
        expect.stringMatching(/^a stretch of the journal is damaged/),
        [],
      ]);
      const pixels = last.body.offset + last.body.length - 200;
      expect(aside!.bytes.subarray(-200).equals(before.subarray(pixels, pixels + 200))).toBe(true);
      await run.stop();
      expect([segmentsOf(r), r.budget.held()]).toEqual([[], 0]);
    },
  );

  it('never removes the file of a large object that the index has, though its record is damaged', async () => {
    const { r, segment, objects } = await indexedNotPlaced([anObject({ pixelBytes: 300_000 })]);
    const [spill] = spillsOf(r);
    await overwrite(segment, recordsOf(segment)[0]!.start + 40, Buffer.alloc(64, 0xee));
    const run = r.settle();
    await run.replayed;
    const [aside] = await r.quarantined();
    expect(aside).toMatchObject({
      path: basename(spill!),
      reason: expect.stringContaining('record is damaged'),
    });
    expect(aside!.bytes.subarray(-objects[0]!.dataSet.length).equals(objects[0]!.dataSet)).toBe(true);
    await run.stop();
  });

  it('sets a damaged body aside: what follows it proves that it was acknowledged', async () => {
    const objects = aSeries(4);
    const { r, durable } = await crashed(objects);
    const [, second] = recordsOf(durable[0]!.segment);
    await overwrite(durable[0]!.segment, second!.body.offset + 700, Buffer.alloc(64, 0xee));
    const run = r.settle();
    await run.replayed;
    await expectStored(r, [objects[0]!, objects[2]!, objects[3]!]);
    const aside = await r.quarantined();
    expect(aside.map(({ sop_uid }) => sop_uid)).toEqual([objects[1]!.sop]);
    expect(aside[0]!.reason).toContain('no longer those that came');
    await run.stop();
  });

  it('sets a stretch aside in which a record’s header is damaged, and goes on behind it', async () => {
    const objects = aSeries(4);
    const { r, durable } = await crashed(objects);
    const [, second, third] = recordsOf(durable[0]!.segment);
    await overwrite(durable[0]!.segment, second!.start + 100, Buffer.alloc(8, 0xee));
    const run = r.settle();
    await run.replayed;
    await expectStored(r, [objects[0]!, objects[2]!, objects[3]!]);
    const [aside, ...others] = await r.quarantined();
    expect(others).toEqual([]);
    expect(aside!.bytes).toHaveLength(third!.start - second!.start);
    expect(aside!.bytes.includes(objects[1]!.dataSet)).toBe(true);
    await run.stop();
    expect(r.budget.held()).toBe(0);
  });

  it('sets a segment aside whole whose own header is damaged', async () => {
    const objects = aSeries(2);
    const { r, durable } = await crashed(objects);
    await overwrite(durable[0]!.segment, 9, Buffer.from([1, 2, 3]));
    const run = r.settle();
    await run.replayed;
    const aside = await r.quarantined();
    expect(aside.map(({ path }) => path)).toEqual([basename(durable[0]!.segment)]);
    expect(aside[0]!.bytes.includes(objects[1]!.dataSet)).toBe(true);
    await run.stop();
    expect(existsSync(durable[0]!.segment)).toBe(false);
  });

  it('sets a large object aside whose file was cut short, and does not end over it', async () => {
    const large = anObject({ pixelBytes: 400_000 });
    const small = anObject();
    const { r } = await crashed([small, large]);
    const [spill] = spillsOf(r);
    truncateSync(join(r.journalFolder, spill!), 100_000);
    const run = r.settle();
    await run.replayed;
    await expectStored(r, [small]);
    const [aside] = await r.quarantined();
    expect(aside).toMatchObject({ sop_uid: large.sop });
    expect(aside!.reason).toMatch(/bytes cannot be read/);
    expect(aside!.bytes).toHaveLength(100_000);
    await run.stop();
    expect(r.budget.held()).toBe(0);
    expect(spillsOf(r)).toEqual([]);
  });

  it('removes the file of a large object that was never finished, unless damage may have hidden its record', async () => {
    for (const damage of [false, true]) {
      const objects = aSeries(3);
      const { r, durable } = await crashed(objects);
      const { writeFile } = await import('node:fs/promises');
      const orphan = join(r.journalFolder, 'receiver-0', '0b9e2c1c-0000-4000-8000-000000000000.obj');
      await writeFile(orphan, 'half an object');
      if (damage)
        await overwrite(durable[0]!.segment, recordsOf(durable[0]!.segment)[1]!.start, Buffer.alloc(64));
      const run = r.settle();
      await run.replayed;
      expect(existsSync(orphan)).toBe(false);
      const kept = (await r.quarantined()).filter(({ path }) => path === basename(orphan));
      expect(kept.map(({ bytes }) => bytes.toString())).toEqual(damage ? ['half an object'] : []);
      await run.stop();
    }
  });

  it('waits for a database that is away, and then finishes', async () => {
    const objects = aSeries(3);
    const { r } = await crashed(objects);
    await r.db.database.query('alter table reception rename to reception_away');
    const run = r.settle();
    await eventually(async () => (run.settler.state().away.length > 0 ? true : undefined), 'the wait');
    let done = false;
    void run.replayed.then(() => {
      done = true;
    });
    expect(run.settler.state().replaying).toBe(1);
    expect(done).toBe(false);
    await r.db.database.query('alter table reception_away rename to reception');
    await run.replayed;
    await expectStored(r, objects);
    await run.stop();
  });

  it('of a disk full of leftovers from recycling starts clean', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    for (const object of aSeries(40, { pixelBytes: 12_000 })) store(reception, object);
    await reception.indexed(20_000);
    reception.close('released');
    // Some segments are in the pool now, with old records under a header of zeros.
    await eventually(async () => (segmentsOf(r).length <= 2 ? true : undefined), 'released segments');
    journal.die();
    await run.stop();
    r.budget.free(r.budget.held());
    const before = await indexRows(r.db);
    const next = r.settle();
    await next.replayed;
    await next.stop();
    expect(await indexRows(r.db)).toEqual(before);
    expect(readdirSync(join(r.journalFolder, 'receiver-0'))).toEqual([]);
    expect(r.budget.held()).toBe(0);
  });
});

describe('a live segment that the disk damages before it is settled', () => {
  it('loses nothing but the damaged stretch, and nobody waits for ever', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const objects = aSeries(4);
    await r.db.database.query('alter table patient rename to patient_away');
    const durable = [store(reception, objects[0]!)];
    await eventually(async () => (run.settler.state().away.length > 0 ? true : undefined), 'the wait');
    for (const object of objects.slice(1)) durable.push(store(reception, object));
    await overwrite(durable[0]!.segment, recordsOf(durable[0]!.segment)[2]!.start + 50, Buffer.alloc(32, 1));
    await r.db.database.query('alter table patient_away rename to patient');
    await reception.indexed(20_000);
    await expectStored(r, [objects[0]!, objects[1]!, objects[3]!]);
    expect((await r.quarantined()).map(({ path }) => path)).toEqual([expect.stringMatching(/\.raw$/)]);
    reception.close('released');
    journal.close();
    await run.stop();
    expect(segmentsOf(r)).toEqual([]);
    expect(r.budget.held()).toBe(0);
  });
});

describe('an indexed object whose bytes the disk no longer gives back', () => {
  it('is set aside after some tries, the others are placed, and sent again it is whole', async () => {
    let away = true;
    const r = await rig(refusingWhile(() => away));
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const [first, lost, other] = aSeries(3, { pixelBytes: 9000 }) as [AnObject, AnObject, AnObject];
    const large = anObject({ pixelBytes: 300_000 });
    store(reception, first);
    // In the segment of another association, so that the damage is its last record's alone.
    const writer = reception.begin(other.declared);
    writer.write(other.dataSet);
    const { segment } = store(reception, lost);
    writer.finish();
    store(reception, large);
    await reception.indexed(20_000);
    const record = recordsOf(segment).find(({ header }) => header.meta.sopInstanceUid === lost.sop)!;
    truncateSync(segment, record.body.offset + 3000);
    truncateSync(join(r.journalFolder, spillsOf(r)[0]!), 100_000);
    away = false;
    await eventually(async () => ((await r.quarantined()).length === 2 ? true : undefined), 'the quarantine');
    const aside = await r.quarantined();
    expect(aside.map(({ sop_uid }) => sop_uid).sort()).toEqual([lost.sop, large.sop].sort());
    expect(aside.every(({ reason }) => /does not give back .* bytes cannot be read/.test(reason))).toBe(true);
    const later = anObject();
    const journals = [journal, r.journal('receiver-1')];
    const again = journals[1]!.open();
    for (const object of [later, lost, large]) store(again, object);
    for (const one of [reception, again]) one.close('released');
    for (const one of journals) one.close();
    await run.stop();
    const { rows } = await r.db.database.query("select 1 from object where location <> 'store'");
    expect(rows).toEqual([]);
    await expectStored(r, [first, other, later, lost, large]);
    expect([segmentsOf(r), spillsOf(r), r.budget.held()]).toEqual([[], [], 0]);
  });
});

describe('a version that is dropped while the same object waits for the store once more', () => {
  it('leaves no bytes there', async () => {
    let away = false;
    const r = await rig(refusingWhile(() => away));
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const first = anObject();
    const second = anObject({ ...first, pixels: 1 });
    for (const object of [first, second]) store(reception, object);
    const ask = async (text: string) => (await r.db.database.query(text)).rows;
    const placed = async () =>
      (await ask("select 1 from object where location = 'store'")).length === 2 ? true : undefined;
    await eventually(placed, 'both in the store');
    away = true;
    store(reception, second);
    await reception.indexed(20_000);
    const [conflict] = await ask('select id from conflict');
    const remove = (key: string): Promise<void> => removeBytes(r.db.database, r.store, key);
    const parts = { ...bareArchive(r.db.database), removeBytes: remove };
    await settleConflict(parts, Number(conflict!.id), { action: 'drop', actor: 'anna' });
    away = false;
    journal.close();
    await run.stop();
    await removeLeftOver(r.db.database, r.store, createLog('silent', 'test'));
    const keys: string[] = [];
    for await (const { key } of r.store.list()) keys.push(key);
    expect(keys).toEqual([expect.stringContaining(first.contentHash.slice(0, 32))]);
    expect(await ask('select 1 from removal')).toEqual([]);
  });
});

describe('what was deleted or dropped while its record still lay in the journal', () => {
  /** As a kill leaves it: all is settled, and the segment is in use, since its journal may still add to it. */
  async function killed(r: Rig, run: SettlerRun, journal: Journal): Promise<void> {
    await run.stop(0);
    journal.die();
    expect(segmentsOf(r)).not.toEqual([]);
  }
  const by = { actor: 'anna', address: '127.0.0.1' };
  const inStore = (r: Rig, count: number): Promise<true> =>
    eventually(async () => {
      const { rows } = await r.db.database.query("select 1 from object where location = 'store'");
      return rows.length === count ? true : undefined;
    }, `${count} objects in the store`);

  it('does not come back by the replay, and what came again after that does', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const [first, second, third] = aSeries(3);
    const large = anObject({ pixelBytes: 400_000 });
    for (const object of [first!, second!, third!, large, first!]) store(reception, object);
    await reception.indexed(20_000);
    await inStore(r, 4);
    expect(await deleteInstances(r.db.database, { studyUid: first!.study }, by)).toBe(3);
    expect(await deleteInstances(r.db.database, { studyUid: large.study }, by)).toBe(1);
    // Deleted and sent again, one of them not indexed any more when the crash comes.
    store(reception, second!);
    await reception.indexed(20_000);
    await killed(r, run, journal);
    const late = r.journal('receiver-1');
    store(late.open(), third!);
    late.die();
    r.budget.free(r.budget.held()); // another process counts anew
    const after = r.settle();
    await after.replayed;
    await after.stop();
    expect((await indexRows(r.db)).objects).toMatchObject(
      [second!, third!].map(({ sop }) => ({ sop_uid: sop })),
    );
    await expectStored(r, [second!, third!]);
    expect(await wrongCounts(r.db)).toEqual([]);
    expect([segmentsOf(r), spillsOf(r), r.budget.held()]).toEqual([[], [], 0]);
    const { rows } = await r.db.database.query(
      "select sop_uid, count(*)::int as n from change where kind = 'instance-stored' group by 1 order by 1",
    );
    expect(rows).toEqual(
      [first!, second!, third!, large].map(({ sop }) => ({
        sop_uid: sop,
        n: [second, third].some((again) => again!.sop === sop) ? 2 : 1,
      })),
    );
  });
});

describe('the order of receipt', () => {
  it('is the order in the index, whatever segments the objects lie in and however long the index was away', async () => {
    const r = await rig();
    const run = r.settle();
    const journal = r.journal();
    await r.db.database.query('alter table patient rename to patient_away');
    const [first, second] = [journal.open(), journal.open()];
    store(first, anObject());
    await eventually(async () => (run.settler.state().away.length > 0 ? true : undefined), 'the wait');
    const twin = anObject({ pixels: 1 });
    const other = anObject({ sop: twin.sop, study: twin.study, series: twin.series, pixels: 2 });
    const sent: string[] = [];
    // Two at a time, so that each is in a segment of its own, and then the other way round.
    for (let round = 0; round < 12; round++) {
      const objects = round === 5 ? [twin, other] : [anObject(), anObject()];
      const writers = [first, second].map((reception, n) => reception.begin(objects[n]!.declared));
      for (const [n, writer] of writers.entries()) writer.write(objects[n]!.dataSet);
      for (const n of round % 2 === 0 ? [0, 1] : [1, 0]) {
        writers[n]!.finish();
        sent.push(objects[n]!.contentHash);
        await sleep(2); // times of receipt are in milliseconds
      }
    }
    expect(run.settler.state()).toMatchObject({ objects: 25, oldest: expect.any(String) });
    await r.db.database.query('alter table patient_away rename to patient');
    await Promise.all([first.indexed(20_000), second.indexed(20_000)]);
    const { rows } = await r.db.database.query<{ hash: string; role: string }>(
      `select encode(content_hash, 'hex') as hash, role from object order by id offset 1`,
    );
    expect(rows.map(({ hash }) => hash)).toEqual(sent);
    // Round 5 was answered the second first.
    expect(rows.find(({ hash }) => hash === other.contentHash)).toMatchObject({ role: 'current' });
    expect(rows.find(({ hash }) => hash === twin.contentHash)?.role).not.toBe('current');
    for (const reception of [first, second]) reception.close('released');
    journal.close();
    await run.stop();
    expect(run.settler.state()).toMatchObject({ objects: 0, oldest: undefined });
  });
});

/** The file store behind the manners of S3: what is stored lies in the journal until its upload is verified. */
describe('settling into S3', () => {
  interface Bucket {
    away: boolean;
    options: RigOptions;
  }
  function bucket(): Bucket {
    const made: Bucket = {
      away: false,
      options: {
        wrapStore: (files) => ({
          ...files,
          kind: 's3',
          async put(key, source) {
            if (made.away) throw new Failure('unavailable', 'S3 is away');
            await files.put(key, source);
          },
        }),
      },
    };
    return made;
  }
  const places = async (r: Rig): Promise<unknown[]> =>
    (await r.db.database.query('select location, node, journal is null as gone from object order by id'))
      .rows;

  it('indexes at once, uploads behind it, and then lets the journal go', async () => {
    const { options } = bucket();
    const r = await rig(options);
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const objects = [...aSeries(5), anObject({ pixelBytes: 300_000 })];
    for (const object of objects) store(reception, object);
    await reception.indexed(20_000);
    await expectStored(r, objects);
    reception.close('released');
    journal.close();
    await run.stop();
    expect(await places(r)).toEqual(objects.map(() => ({ location: 'store', node: null, gone: true })));
    await expectStored(r, objects);
    expect([segmentsOf(r), spillsOf(r), r.budget.held()]).toEqual([[], [], 0]);
  });

  it('while S3 is away goes on indexing, gives objects out of the journal, and still ends in time', async () => {
    const s3 = bucket();
    const r = await rig(s3.options);
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    s3.away = true;
    const objects = [...aSeries(5), anObject({ pixelBytes: 300_000 })];
    for (const object of objects) {
      store(reception, object);
      await reception.indexed(20_000);
    }
    await expectStored(r, objects);
    expect(await places(r)).toEqual(objects.map(() => ({ location: 'journal', node: NODE, gone: false })));
    reception.close('released');
    journal.close();
    await run.stop(300);
    // The next start: the rows point into the old segments until the uploads are done.
    s3.away = false;
    r.budget.free(r.budget.held());
    const next = r.settle();
    await next.replayed;
    await next.stop();
    expect(await places(r)).toEqual(objects.map(() => ({ location: 'store', node: null, gone: true })));
    await expectStored(r, objects);
    expect([segmentsOf(r), spillsOf(r), r.budget.held()]).toEqual([[], [], 0]);
  });

  it('uploads nothing of an object it had to set aside, and does not wait for it', async () => {
    const { options } = bucket();
    const r = await rig(options);
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const poisoned = await poison(r);
    await r.db.database.query('alter table patient rename to patient_away');
    store(reception, anObject());
    await eventually(async () => (run.settler.state().away.length > 0 ? true : undefined), 'the wait');
    // These come in one batch, once the index is back.
    for (const object of [anObject(), poisoned, anObject()]) store(reception, object);
    await r.db.database.query('alter table patient_away rename to patient');
    await reception.indexed(20_000);
    reception.close('released');
    journal.close();
    await run.stop();
    expect((await r.quarantined()).map(({ sop_uid }) => sop_uid)).toEqual([poisoned.sop]);
    const keys: string[] = [];
    for await (const { key } of r.store.list()) keys.push(key);
    expect(keys).toHaveLength(3);
    expect(keys.join()).not.toContain(poisoned.sop);
    expect([segmentsOf(r), r.budget.held()]).toEqual([[], 0]);
  });
});
