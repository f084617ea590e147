/** The index over a real database: what is new, what is the same, what a person must look at; and the counts. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { settleConflict } from '../../src/archive/settle-conflict.ts';
import { findStudy } from '../../src/archive/study.ts';
import { indexObjects } from '../../src/archive/study-index.ts';
import { anObject, aSeries, uid } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { bareArchive } from './bare-archive.ts';
import { aReception, incoming, index } from './incoming.ts';
import { wrongCounts } from './intake/rig.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.drop());

const ask = async (text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> =>
  (await db.database.query(text, values)).rows;
const release = (id: number) =>
  settleConflict(bareArchive(db.database), id, { action: 'release', actor: 'anna' });
const changes = async (): Promise<string[]> =>
  (await ask('select kind from change order by id')).map(({ kind }) => String(kind));

describe('an object', () => {
  it('makes patient, study, series, instance and one change; the same again makes nothing', async () => {
    const object = anObject({ issuer: 'HOSPITAL' });
    expect(await index(db, [object])).toEqual(['new']);
    expect(await index(db, [object, object])).toEqual(['same', 'same']);
    expect(await ask('select patient_id, issuer, anchor from patient')).toEqual([
      { patient_id: 'P1', issuer: 'HOSPITAL', anchor: '' },
    ]);
    expect(await findStudy(db.database, object.study)).toMatchObject({
      patientId: 'P1',
      seriesCount: 1,
      instanceCount: 1,
      modalities: ['CT'],
      version: 1,
      held: null,
    });
    expect(await changes()).toEqual(['instance-stored']);
    expect(await wrongCounts(db)).toEqual([]);
  });

  it('with other bytes is kept as a version, listed, and changes nothing else', async () => {
    const first = anObject();
    const second = anObject({ ...first, pixels: 1 });
    await index(db, [first]);
    expect(await index(db, [second])).toEqual(['version']);
    expect(await index(db, [second])).toEqual(['same']);
    expect(await ask('select role from object order by id')).toEqual([
      { role: 'current' },
      { role: 'conflict' },
    ]);
    expect(await ask('select kind, source_ae from conflict')).toEqual([
      { kind: 'content', source_ae: 'CT_1' },
    ]);
    expect(await ask('select o.role from instance i join object o on o.id = i.object')).toEqual([
      { role: 'current' },
    ]);
    expect(await findStudy(db.database, first.study)).toMatchObject({
      version: 1,
      held: null,
      instanceCount: 1,
    });
    expect(await changes()).toEqual(['instance-stored']);
  });

  it('whose second version and third come in one batch with the first keeps the first current', async () => {
    const first = anObject();
    const versions = [first, anObject({ ...first, pixels: 1 }), anObject({ ...first, pixels: 2 })];
    expect(await index(db, versions)).toEqual(['new', 'version', 'version']);
    expect(
      await ask("select encode(content_hash, 'hex') as hash from object where role = 'current'"),
    ).toEqual([{ hash: first.contentHash }]);
    expect(await ask('select count(*) as n from conflict')).toEqual([{ n: 2 }]);
    expect(await wrongCounts(db)).toEqual([]);
  });
});

describe('the right patient', () => {
  it('holds a study that arrives under another patient, until a person decides', async () => {
    const mine = anObject({ patientId: 'P1' });
    const stray = anObject({ study: mine.study, patientId: 'P2', birthDate: '19700101' });
    await index(db, [mine]);
    await index(db, [stray]);
    const held = await findStudy(db.database, mine.study);
    expect(held).toMatchObject({ patientId: 'P1', instanceCount: 2 });
    expect(held!.held).toContain('(0010,0020)');
    expect(await changes()).toEqual(['instance-stored', 'instance-stored', 'study-held']);
    const [conflict] = await ask('select id, kind from conflict');
    expect(conflict).toMatchObject({ kind: 'patient' });
    const settled = await release(Number(conflict!.id));
    expect(settled).toMatchObject({ settlement: 'released', settledBy: 'anna', studyReleased: true });
    expect(await findStudy(db.database, mine.study)).toMatchObject({ held: null });
    expect((await changes()).slice(-2)).toEqual(['conflict-settled', 'study-released']);
    expect(await release(Number(conflict!.id))).toEqual(settled);
    expect(await changes()).toHaveLength(5);
  });

  it('never fills a study’s blanks with what another patient’s object says', async () => {
    const study = uid();
    await index(db, [anObject({ study, patientId: 'P1' })]);
    await index(db, [anObject({ study, patientId: 'P2', birthDate: '19700101', issuer: 'ELSEWHERE' })]);
    const { attributes, issuer } = (await findStudy(db.database, study))!;
    expect(attributes['00100030']).toBeUndefined();
    expect(issuer).toBe('');
    await index(db, [anObject({ study, patientId: 'P1', birthDate: '19600202' })]);
    expect((await findStudy(db.database, study))!.attributes['00100030']?.Value).toEqual(['19600202']);
  });

  it('holds on when an issuer came later and another one after it', async () => {
    const study = uid();
    await index(db, [anObject({ study })]);
    await index(db, [anObject({ study, issuer: 'A' })]);
    expect(await findStudy(db.database, study)).toMatchObject({ held: null, issuer: 'A' });
    await index(db, [anObject({ study, issuer: 'B' })]);
    expect((await findStudy(db.database, study))!.held).not.toBeNull();
  });

  it('makes two patients of two studies without a patient ID, and one of two with the same', async () => {
    await index(db, [anObject({ patientId: '' }), anObject({ patientId: null })]);
    expect(await ask('select distinct patient from study')).toHaveLength(2);
    await index(db, [anObject({ patientId: 'SAME' }), anObject({ patientId: 'SAME' })]);
    expect(await ask("select distinct patient from study where patient_id = 'SAME'")).toHaveLength(1);
    expect(await ask('select * from patient')).toHaveLength(3);
  });
});

describe('a UID where another stands', () => {
  it('Series UID under another study: kept there too, held', async () => {
    const first = anObject();
    const second = anObject({ series: first.series });
    await index(db, [first]);
    await index(db, [second]);
    expect(await ask('select kind, study_uid from conflict')).toEqual([
      { kind: 'series-study', study_uid: second.study },
    ]);
    expect((await findStudy(db.database, first.study))!.held).toBeNull();
    expect((await findStudy(db.database, second.study))!.held).toContain('(0020,000E)');
    expect(await wrongCounts(db)).toEqual([]);
  });

  it('SOP UID under another series: kept as a version, never shown, held', async () => {
    const first = anObject();
    const second = anObject({ study: first.study, sop: first.sop });
    await index(db, [first]);
    expect(await index(db, [second])).toEqual(['version']);
    expect(await ask('select series_uid from series')).toEqual([{ series_uid: first.series }]);
    expect((await findStudy(db.database, first.study))!.held).toContain('(0008,0018)');
    expect(await wrongCounts(db)).toEqual([]);
  });

  it('a study with two conflicts is released with the second, also when both are settled at once', async () => {
    for (const atOnce of [false, true]) {
      const mine = anObject();
      await index(db, [mine]);
      await index(db, [anObject({ study: mine.study, patientId: 'P2' })]);
      await index(db, [anObject({ study: mine.study, patientId: 'P3' })]);
      const ids = (await ask('select id from conflict where study_uid = $1', [mine.study])).map(({ id }) =>
        Number(id),
      );
      expect(ids).toHaveLength(2);
      const settle = release;
      const results = atOnce
        ? await Promise.all(ids.map(settle))
        : [await settle(ids[0]!), await settle(ids[1]!)];
      expect(results.filter(({ studyReleased }) => studyReleased)).toHaveLength(1);
      expect(await findStudy(db.database, mine.study)).toMatchObject({ held: null });
    }
    expect((await changes()).filter((kind) => kind === 'study-released')).toHaveLength(2);
  });
});

describe('at once', () => {
  it('eight transactions that bring one new study make one patient, study and series, and count right', async () => {
    const objects = aSeries(40);
    const shares = Array.from({ length: 8 }, (_, n) => objects.filter((_, m) => m % 8 <= n && m % 4 <= n));
    await Promise.all(shares.map((share) => index(db, share)));
    expect(await ask('select instance_count, series_count from study')).toEqual([
      { instance_count: 40, series_count: 1 },
    ]);
    expect(await ask('select * from patient')).toHaveLength(1);
    expect(await changes()).toHaveLength(40);
    expect(await wrongCounts(db)).toEqual([]);
  });

  it('batches over the same studies in opposite order do not stop each other', async () => {
    const studies = Array.from({ length: 6 }, uid);
    const batch = () => studies.map((study) => anObject({ study }));
    await Promise.all(
      Array.from({ length: 6 }, (_, n) => index(db, n % 2 === 0 ? batch() : batch().reverse())),
    );
    expect(await ask('select distinct instance_count from study')).toEqual([{ instance_count: 6 }]);
  });

  it('one SOP UID in two studies becomes one instance and one conflict, whoever is first', async () => {
    for (let round = 0; round < 5; round++) {
      const sop = uid();
      const outcomes = await Promise.all([index(db, [anObject({ sop })]), index(db, [anObject({ sop })])]);
      expect(outcomes.flat().sort()).toEqual(['new', 'version']);
      expect(await ask('select kind from conflict where sop_uid = $1', [sop])).toEqual([
        { kind: 'instance-series' },
      ]);
    }
  });

  it('one Series UID in two new studies is seen by one of them', async () => {
    for (let round = 0; round < 5; round++) {
      const series = uid();
      await Promise.all([index(db, [anObject({ series })]), index(db, [anObject({ series })])]);
      expect(await ask('select kind from conflict where series_uid = $1', [series])).toEqual([
        { kind: 'series-study' },
      ]);
    }
  });
});

describe('receptions', () => {
  it('count what they brought by study, the same again too, but not what a replay finds indexed', async () => {
    const from = aReception();
    const objects = [...aSeries(3), anObject()];
    await index(db, objects, from);
    await index(db, objects.slice(0, 2), from);
    const replayed = objects.map((object) => ({ ...incoming(object, from), replayed: true }));
    await indexObjects(db.database, 'node-1', replayed);
    expect(await ask('select stored, calling_ae, node from reception')).toEqual([
      { stored: 6, calling_ae: 'CT_1', node: 'node-1' },
    ]);
    const perStudy = await ask('select stored from reception_study order by stored');
    expect(perStudy).toEqual([{ stored: 1 }, { stored: 5 }]);
  });
});

describe('where the bytes are', () => {
  it('follows an object that comes again while its row points into a journal', async () => {
    const object = anObject();
    const place = { in: 'journal', node: 'n', path: 'journal/a.seg', nonce: 'aa', offset: 1 } as const;
    await indexObjects(db.database, 'n', [{ ...incoming(object), place }]);
    await indexObjects(db.database, 'n', [{ ...incoming(object), place: { ...place, nonce: 'bb' } }]);
    expect(await ask('select journal from object')).toEqual([
      { journal: { path: 'journal/a.seg', nonce: 'bb', offset: 1 } },
    ]);
    await indexObjects(db.database, 'n', [incoming(object)]);
    expect(await ask('select location, node, journal from object')).toEqual([
      { location: 'store', node: null, journal: null },
    ]);
    // What is in the store stays there: a later copy in a journal is only a copy.
    await indexObjects(db.database, 'n', [{ ...incoming(object), place }]);
    expect(await ask('select location from object')).toEqual([{ location: 'store' }]);
  });
});

describe('values no column takes', () => {
  it('are a failure without a value in it, and nothing of the batch is written', async () => {
    const good = incoming(anObject());
    const bad = incoming(anObject());
    bad.header['00100010'] = { vr: 'PN', Value: [{ Alphabetic: 'SECRET\u0000NAME' }] };
    const failure = await indexObjects(db.database, 'n', [good, bad]).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ kind: 'invalid' });
    expect(String(failure)).not.toContain('SECRET');
    expect(await ask('select * from study')).toEqual([]);
  });
});
