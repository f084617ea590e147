/**
 * Storage Commitment as SCP (PS3.4 Annex J), from outside: a modality asks, and hears on its association or where
 * /api/aes says that it listens. What it is told is what is in the store and in the index, and nothing else.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import { STORAGE_COMMITMENT_INSTANCE } from '../../src/dicom/sop-class.ts';
import { createUid } from '../../src/dicom/uid.ts';
import type { OutgoingOperation } from '../../src/dimse/operation.ts';
import {
  commitmentRequest,
  type InstanceReference,
  readCommitmentReport,
} from '../../src/dimse/storage-commitment.ts';
import { commitmentSchema } from '../../src/scp/commitment-routes.ts';
import { createCommitmentTable } from '../../src/scp/commitment-table.ts';
import { vouch } from '../../src/scp/vouch.ts';
import { type AnObject, anObject, CT, uid } from '../support/an-object.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';
import { callingModality, type ListeningModality, listeningModality } from './committing-modality.ts';

const MR = '1.2.840.10008.5.1.4.1.1.4';

let house: House;
beforeAll(async () => {
  house = await openHouse({ DRAIN_S: '1' });
});
afterAll(() => house?.close());

const modality = (aeTitle: string) => callingModality(house.dicomPort, aeTitle);
const listener = async (aeTitle: string, port = 0) => {
  const one = await listeningModality(aeTitle, { port });
  listeners.push(one);
  return one;
};
const listeners: ListeningModality[] = [];
afterEach(() => {
  for (const one of listeners.splice(0)) one.close();
});

const referenceTo = (object: AnObject, sopClassUid = CT): InstanceReference => ({
  sopClassUid,
  sopInstanceUid: object.sop,
});
const query = async (text: string, values: unknown[] = []) =>
  (await house.db.database.query(text, values)).rows;
const api = async (where: string, init?: RequestInit) => {
  const response = await fetch(`${house.url}/api${where}`, init);
  const json = (await response.json()) as Record<string, unknown>[];
  if (response.ok && where.startsWith('/commitments'))
    for (const one of [json].flat()) expect(commitmentSchema.safeParse(one).error).toBeUndefined();
  return { status: response.status, json };
};
const putAe = async (name: string, settings: object): Promise<void> => {
  const { status, json } = await api(`/aes/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(settings),
  });
  if (status >= 300) throw new Error(JSON.stringify(json));
};
const requestOf = async (ae: string, state: string) =>
  await eventually(async () => (await api(`/commitments?ae=${ae}&state=${state}`)).json[0], `${ae} ${state}`);

beforeAll(async () => {
  for (const ae of ['CT1', 'QUIET', 'MOVES', 'BUSY', 'TWICE']) await putAe(ae.toLowerCase(), { aeTitle: ae });
});

describe('a report on the same association', () => {
  it('comes as soon as what was stored on it a moment ago is in its place', async () => {
    const { association, ask, report } = await modality('CT1');
    const objects = [anObject({ pixels: 1 }), anObject({ pixels: 2 })];
    for (const { declared, dataSet } of objects)
      await association.store(
        declared,
        (async function* () {
          yield dataSet;
        })(),
      );
    const { transactionUid, outcome } = await ask(objects.map((object) => referenceTo(object)));
    expect(outcome).toEqual({ status: 0 });
    expect(await report(transactionUid)).toEqual({
      transactionUid,
      typeId: 1,
      committed: objects.map((object) => referenceTo(object)),
      failed: [],
    });
    await association.release();
    expect(await requestOf('CT1', 'reported')).toMatchObject({
      transaction: transactionUid,
      instances: 2,
      committed: 2,
      tries: 1,
      nextTry: null,
    });
  });

  it('names each instance that is not committed to, with its reason', async () => {
    const [kept, other, lost, away] = [1, 2, 3, 4].map((pixels) => anObject({ pixels })) as [
      AnObject,
      AnObject,
      AnObject,
      AnObject,
    ];
    await sendObjects(house, 'CT1', [kept, other, lost, away]);
    await eventually(async () => {
      const rows = await query(`select 1 from object where location = 'store' and sop_uid = any($1)`, [
        [kept.sop, other.sop, lost.sop, away.sop],
      ]);
      return rows.length === 4 ? rows : undefined;
    }, 'all in the store');
    const [{ key } = {}] = await query('select key from object where sop_uid = $1', [lost.sop]);
    await house.isocenter.archive.store.remove(key as string);
    const { association, ask, report, heard } = await modality('CT1');
    const unknown = { sopClassUid: CT, sopInstanceUid: uid() };
    const { transactionUid } = await ask([
      referenceTo(kept),
      referenceTo(kept),
      referenceTo(other, MR),
      referenceTo(lost),
      unknown,
    ]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(heard, 'what is unknown may be on its way: it is waited for').toEqual([]);
    const { committed, failed, typeId } = await report(transactionUid);
    expect(typeId).toBe(2);
    expect(committed).toEqual([referenceTo(kept)]);
    expect(failed).toEqual(
      expect.arrayContaining([
        { ...referenceTo(other, MR), reason: 0x0119 },
        { ...referenceTo(lost), reason: 0x0110 },
        { ...unknown, reason: 0x0112 },
      ]),
    );
    expect(failed).toHaveLength(3);
    await association.release();
  });

  it('waits for what is still in the journal', async () => {
    const object = anObject({ pixels: 5 });
    await sendObjects(house, 'CT1', [object]);
    const where = (place: string) =>
      query('update object set location = $2 where sop_uid = $1 returning id', [object.sop, place]);
    await eventually(
      async () =>
        (await query(`select 1 from object where location = 'store' and sop_uid = $1`, [object.sop]))[0],
      'the object in the store',
    );
    await where('journal');
    const { association, ask, report, heard } = await modality('CT1');
    const { transactionUid } = await ask([referenceTo(object)]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(heard).toEqual([]);
    await where('store');
    expect(await report(transactionUid)).toMatchObject({ typeId: 1 });
    await association.release();
  });

  it('vouches for both versions of an instance that came with other bytes, for both are kept', async () => {
    const first = anObject({ pixels: 6 });
    const second = anObject({ study: first.study, series: first.series, sop: first.sop, pixels: 7 });
    await sendObjects(house, 'CT1', [first]);
    await sendObjects(house, 'CT1', [second]);
    expect(await query('select 1 from object where sop_uid = $1', [first.sop])).toHaveLength(2);
    const { association, ask, report } = await modality('CT1');
    const { transactionUid } = await ask([referenceTo(first)]);
    expect(await report(transactionUid)).toMatchObject({ typeId: 1, committed: [referenceTo(first)] });
    await association.release();
  });

  it('comes again when the same is asked again; for other instances the transaction UID is taken', async () => {
    const [one, two] = [anObject({ pixels: 8 }), anObject({ pixels: 9 })];
    await sendObjects(house, 'CT1', [one, two]);
    const { association, ask, heard } = await modality('TWICE');
    const { transactionUid } = await ask([referenceTo(one)]);
    await eventually(async () => heard[0], 'the first report');
    await requestOf('TWICE', 'reported');
    expect((await ask([referenceTo(one)], transactionUid)).outcome).toEqual({ status: 0 });
    await eventually(async () => heard[1], 'the second report');
    expect(heard[1]).toEqual(heard[0]);
    expect((await ask([referenceTo(two)], transactionUid)).outcome).toMatchObject({
      status: 0x0110,
      errorComment: expect.stringContaining('TransactionUID'),
    });
    await association.release();
  });
});

describe('a report on an association of ours', () => {
  it('waits for an address, says in words what it needs, and goes there as the SCP', async () => {
    const object = anObject({ pixels: 10 });
    await sendObjects(house, 'CT1', [object]);
    const { association, ask } = await modality('MOVES');
    const { transactionUid } = await ask([referenceTo(object)]);
    association.abort();
    const waiting = await eventually(async () => {
      const { json } = await api('/commitments?ae=MOVES');
      return json[0]?.lastError ? json[0] : undefined;
    }, 'the words');
    expect(waiting).toMatchObject({
      state: 'reporting',
      committed: 1,
      lastError: expect.stringMatching(/^MOVES .* is not known: put its host and port at \/api\/aes\/NAME$/),
    });
    const { port, heard } = await listener('MOVES');
    await putAe('moves', { aeTitle: 'MOVES', host: '127.0.0.1', port });
    expect(await requestOf('MOVES', 'reported')).toMatchObject({
      transaction: transactionUid,
      lastError: null,
    });
    expect(heard).toHaveLength(1);
    const [{ operation, request }] = heard as [(typeof heard)[0]];
    expect(request).toMatchObject({ callingAeTitle: 'ISOCENTER', calledAeTitle: 'MOVES' });
    expect(operation).toMatchObject({
      kind: 'event',
      typeId: 1,
      sopInstanceUid: STORAGE_COMMITMENT_INSTANCE,
    });
    expect(readCommitmentReport(operation)).toMatchObject({
      transactionUid,
      committed: [referenceTo(object)],
    });
  });

  it('is not lost with the process', async () => {
    const object = anObject({ pixels: 11 });
    await sendObjects(house, 'CT1', [object]);
    const port = await freePort();
    await putAe('quiet', { aeTitle: 'QUIET', host: '127.0.0.1', port });
    const { association, ask } = await modality('QUIET');
    const { transactionUid } = await ask([referenceTo(object)]);
    association.abort();
    const failing = await eventually(async () => {
      const { json } = await api('/commitments?ae=QUIET');
      return json[0]?.lastError ? json[0] : undefined;
    }, 'the fault');
    expect(failing).toMatchObject({
      state: 'reporting',
      lastError: expect.stringContaining('cannot be reached'),
    });
    await house.restart();
    const { heard } = await listener('QUIET', port);
    const { json } = await api(`/commitments/${failing.id}/retry`, { method: 'POST' });
    expect(json).toMatchObject({ state: 'deciding', tries: 0 });
    await requestOf('QUIET', 'reported');
    expect(readCommitmentReport(heard[0]!.operation)).toMatchObject({ transactionUid });
  });
});

describe('a request that is wrong', () => {
  const dataSet = (bytes: Buffer) => () => bytes;
  const good = commitmentRequest({ transactionUid: '1.2.3', instances: [] });
  const withOne = commitmentRequest({
    transactionUid: 'no UID',
    instances: [{ sopClassUid: CT, sopInstanceUid: '1.2.3' }],
  });
  const cases: [string, OutgoingOperation, number, RegExp][] = [
    ['of another action type', { ...good, typeId: 2 }, 0x0123, /ActionTypeID/],
    ['of another instance', { ...good, sopInstanceUid: '1.2.3' }, 0x0112, /RequestedSOPInstanceUID/],
    ['without an instance', good, 0x0115, /ReferencedSOPSequence/],
    ['without a transaction UID', withOne, 0x0115, /TransactionUID/],
    [
      'with a broken data set',
      { ...good, dataSet: dataSet(Buffer.from([8, 0, 0x95, 0x11, 200, 0, 0, 0])) },
      0x0115,
      /broken/,
    ],
  ];
  test.each(cases)(
    '%s is answered in words, and the association goes on',
    async (_, operation, status, words) => {
      const { association, ask } = await modality('CT1');
      const outcome = await association.request(operation);
      expect(outcome).toMatchObject({ status, errorComment: expect.stringMatching(words) });
      const object = anObject({ pixels: 12 });
      expect((await ask([referenceTo(object)])).outcome).toEqual({ status: 0 });
      association.abort();
    },
  );
});

describe('requests that wait', () => {
  it('are worked by one node at a time, and by another when the first is gone', async () => {
    const { database } = house.db;
    const [one, two] = [createCommitmentTable(database, 'one'), createCommitmentTable(database, 'two')];
    const request = { transactionUid: createUid(), instances: [{ sopClassUid: CT, sopInstanceUid: '1.2' }] };
    // Not to be taken by the house itself.
    const id = await one.add(request, { aeTitle: 'NOBODY', calledAe: 'X', address: '' });
    expect(await two.claim([])).toBeUndefined();
    const claimed = (await one.claim([]))!;
    expect(claimed).toMatchObject({ id, state: 'deciding' });
    expect(await one.claim([id]), 'under way').toBeUndefined();
    await database.query(`update commitment_request set lease_until = now() - interval '1 s' where id = $1`, [
      id,
    ]);
    const taken = (await two.claim([])) ?? (await eventually(() => two.claim([]), 'the claim'));
    expect(taken.id).toBe(id);
    expect(await one.extend(claimed), 'its lease is lost').toBe(false);
    await expect(one.decide(claimed, [])).rejects.toThrow(/lost/);
    await two.decide(taken, []);
    await two.notReported(taken, 'no', undefined);
    expect((await one.list({ ae: 'NOBODY', limit: 1, offset: 0 }))[0]).toMatchObject({
      state: 'given-up',
      lastError: 'no',
    });
  });
});

describe('what is vouched for', () => {
  const version = {
    sopUid: '1.2',
    sopClass: CT,
    location: 'store',
    key: 'k',
    length: 1,
    indexed: true,
  } as const;
  const asked = { sopClassUid: CT, sopInstanceUid: '1.2' };
  test.each([
    ['nothing is here', [], 'missing'],
    ['it is in the store', [version], 'kept'],
    ['it is in a journal', [{ ...version, location: 'journal' as const }], 'on-its-way'],
    [
      'another version of it is in a journal',
      [version, { ...version, location: 'journal' as const }],
      'on-its-way',
    ],
    ['it is not in the index', [{ ...version, indexed: false }], 'on-its-way'],
    ['it is of another class', [{ ...version, sopClass: MR }], 'conflict'],
  ])('%s', (_, versions, expected) => {
    expect(vouch(asked, versions)).toBe(expected);
  });
});
