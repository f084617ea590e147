/** A sender faster than the store goes at the store's pace; one whose store is away is told so at the limit. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../../src/archive/object-store/object-store.ts';
import { Failure } from '../../../src/failure.ts';
import { stow } from '../../dicomweb/door.ts';
import { type AnObject, anObject, aSeries } from '../../support/an-object.ts';
import { eventually, openHouse } from '../../support/house.ts';
import { fileOf, sendObjects } from '../../support/modality.ts';
import { peer } from '../../support/peers.ts';
import { indexRows, type Rig, rigsOfTests, store } from './rig.ts';

const rig = rigsOfTests();

const LIMIT = 16 * 64 * 1024;

/** As fast as the journal takes them, each behind the answer to the one before. @returns what the journals held most */
async function send(
  r: Rig,
  reception: ReturnType<Awaited<ReturnType<Rig['journal']>>['open']>,
  all: AnObject[],
) {
  let most = 0;
  let waited = 0;
  for (const object of all) {
    const room = reception.acknowledged(store(reception, object));
    if (room) waited++;
    await room;
    most = Math.max(most, r.budget.held());
  }
  return { most, waited };
}

function slowly(files: ObjectStore, fault: () => Failure | undefined): ObjectStore {
  const { syncSync } = files as unknown as { syncSync(keys: string[]): void };
  return {
    ...files,
    syncSync(keys: string[]) {
      const failure = fault();
      if (failure) throw failure;
      syncSync(keys);
    },
  } as ObjectStore;
}

describe('a journal that holds more than half of its limit', () => {
  it('has its sender wait for room, not refused, over five times the limit', async () => {
    const r = await rig({ limitBytes: LIMIT });
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const objects = aSeries(400, { pixelBytes: 12_000 });
    const { most, waited } = await send(r, reception, objects);
    expect(waited).toBeGreaterThan(0);
    // Half of it, and the segment that was opened meanwhile.
    expect(most).toBeLessThanOrEqual(LIMIT / 2 + 64 * 1024);
    await reception.indexed(20_000);
    expect((await indexRows(r.db)).instances).toHaveLength(objects.length);
    reception.close('released');
    journal.close();
    await run.stop();
    expect(r.budget.held()).toBe(0);
  });

  it('all of it in segments that are still open: waits for no room that cannot come', async () => {
    // Three segments are the limit, and two associations have one each.
    const r = await rig({ limitBytes: 3 * 64 * 1024 });
    const run = r.settle();
    const journal = r.journal();
    const [one, other] = [journal.open(), journal.open()];
    const underWay = other.begin(aSeries(1)[0]!.declared);
    const started = Date.now();
    await send(r, one, aSeries(20, { pixelBytes: 1000 }));
    // A wait that ends by its time alone takes 2 s for each.
    expect(Date.now() - started).toBeLessThan(20_000);
    underWay.abort();
    journal.close();
    await run.stop();
  });

  it.each([
    ['the store', 'the object store'],
    ['the index', 'the index'],
  ])('and %s is away: nobody waits, and the limit is the answer', async (_name, what) => {
    let away = what === 'the object store';
    const r = await rig({
      limitBytes: LIMIT,
      wrapStore: (files) => slowly(files, () => (away ? new Failure('unavailable', 'away') : undefined)),
    });
    const run = r.settle();
    const journal = r.journal();
    const reception = journal.open();
    const objects = aSeries(120, { pixelBytes: 12_000 });
    if (!away) await r.db.database.query('alter table patient rename to patient_away');
    const first = store(reception, objects[0]!);
    await reception.acknowledged(first);
    await eventually(async () => run.settler.state().away[0]?.what === what || undefined, 'the wait');
    let taken = 1;
    await expect(
      (async () => {
        for (const object of objects.slice(1)) {
          const durable = store(reception, object);
          taken++;
          await turn(); // the journal hears the settler
          expect(reception.acknowledged(durable)).toBeUndefined();
        }
      })(),
    ).rejects.toMatchObject({ kind: 'no-space' });
    expect(r.budget.held()).toBeGreaterThan(LIMIT - 64 * 1024);
    // Back again: all that was taken is settled, and there is room.
    if (away) away = false;
    else await r.db.database.query('alter table patient_away rename to patient');
    await eventually(async () => (r.budget.held() <= LIMIT / 4 ? true : undefined), 'room');
    await send(r, reception, objects.slice(taken));
    await reception.indexed(20_000);
    expect((await indexRows(r.db)).instances).toHaveLength(objects.length);
    reception.close('released');
    journal.close();
    await run.stop();
    expect(r.budget.held()).toBe(0);
  });
});

const dcmtk = peer('dcmtk');

describe.skipIf(!dcmtk)('three storescu, each as fast as it can (dcmtk)', () => {
  it('bring nine times what the journal holds, and none is refused', async () => {
    const house = await openHouse({ JOURNAL_LIMIT: '128MB', RECEIVERS: '1' });
    try {
      const file = join(house.dataFolder, 'a.dcm');
      await writeFile(file, fileOf(anObject({ pixelBytes: 4 * 1024 * 1024 })));
      const args = ['-aec', 'ISOCENTER', '+II', '--repeat', '100', '127.0.0.1', `${house.dicomPort}`, file];
      const env = { ...process.env, TCP_NODELAY: '1' };
      await Promise.all(
        Array.from({ length: 3 }, () => promisify(execFile)(dcmtk!.storescu!, args, { env })),
      );
      const { rows } = await house.db.database.query(
        'select (select count(*) from instance) as stored, (select count(*) from refusal) as refused',
      );
      expect(rows).toEqual([{ stored: 300, refused: 0 }]);
    } finally {
      await house.close();
    }
  }, 60_000);
});

it('objects that come slowly by STOW never take the room of a modality, and give theirs back when they are cut', async () => {
  const house = await openHouse({ RECEIVERS: '1', JOURNAL_LIMIT: '256MB', DRAIN_S: '1' });
  try {
    const held = async (): Promise<number> => {
      const ready = (await (await fetch(`${house.url}/health/ready`)).json()) as {
        journal: { heldBytes: number };
      };
      return ready.journal.heldBytes;
    };
    const slow = Array.from({ length: 12 }, () => {
      const request = http.request(`${house.url}/dicom-web/studies`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/dicom', 'Content-Length': 1_000_000 },
      });
      request.on('error', () => undefined);
      request.write(fileOf(anObject({ pixelBytes: 900_000 })).subarray(0, 20_000));
      return request;
    });
    // A quarter of the limit, which two segments are; a third is the modality's.
    await eventually(async () => ((await held()) >= 64 * 1024 ** 2 ? true : undefined), 'the slow objects');
    const answers = await sendObjects(house, 'CT_1', aSeries(20, { pixelBytes: 100_000 }));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([0]));
    expect(await held()).toBeLessThanOrEqual(4 * 32 * 1024 ** 2);
    for (const request of slow) request.destroy();
    // Whose turn had not come is not waited for.
    const after = await stow(house.url, [fileOf(anObject())]);
    expect(after.status).toBe(200);
  } finally {
    await house.close();
  }
});
