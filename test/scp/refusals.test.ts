/**
 * Whatever is refused at the DICOM port stands at /api/refusals with its sender, what the sender was told, and why:
 * also what ends before an object is opened, before a request can be read, or before one has come. And at /metrics.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  abortPdu,
  associateRequest,
  command,
  connectRaw,
  pdata,
  pdu,
  pdv,
  type RawPeer,
  releaseRequest,
  storeCommand,
} from '../dimse/raw-peer.ts';
import { anObject, CT, EXPLICIT, uid } from '../support/an-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse({ RECEIVERS: '1', DRAIN_S: '1' });
});
afterAll(() => house?.close());

interface Listed {
  what: string;
  code: string;
  times: number;
  callingAe: string | null;
  calledAe: string | null;
  address: string;
  sopClass: string | null;
  sop: string | null;
  transferSyntax: string | null;
  status: string | null;
  answer: string | null;
  reason: string;
}

const list = async (query: string): Promise<Listed[]> =>
  (await (await fetch(`${house.url}/api/refusals?${query}`)).json()) as Listed[];
const listed = (query: string): Promise<Listed> =>
  eventually(async () => (await list(query))[0], `a refusal of ${query}`);
const refusedSoFar = async (what: string, code: string): Promise<number> => {
  const text = await (await fetch(`${house.url}/metrics`)).text();
  const found = new RegExp(`^isocenter_refusals_total\\{what="${what}",code="${code}"\\} (\\d+)$`, 'm').exec(
    text,
  );
  return Number(found?.[1] ?? Number.NaN);
};

const withoutDataSet = (sop: string): Buffer =>
  command({ 2: CT, 256: 0x0001, 272: 1, 1792: 0, 2048: 0x0101, 4096: sop });

let callers = 0;
async function opened(): Promise<{ peer: RawPeer; calling: string }> {
  const calling = `AE${++callers}`;
  const peer = await connectRaw(house.dicomPort);
  await peer.associate({ calling });
  return { peer, calling };
}

describe('an object refused by its command alone', () => {
  it('under no UID: 0x0117', async () => {
    const { peer, calling } = await opened();
    peer.send(pdata(pdv(1, 3, storeCommand(1, '1.2.x', CT))), pdata(pdv(1, 2, Buffer.alloc(10))));
    const answer = await peer.response();
    expect(answer.status).toBe(0x0117);
    expect(answer.comment).toBe('(0000,1000) AffectedSOPInstanceUID is not a UID');
    expect(answer.elements[0x0901]).toBeUndefined();
    expect(await listed(`ae=${calling}`)).toMatchObject({
      what: 'object',
      code: 'command',
      times: 1,
      callingAe: calling,
      calledAe: 'ISOCENTER',
      address: '127.0.0.1',
      sopClass: CT,
      sop: '1.2.x',
      transferSyntax: EXPLICIT,
      status: '0x0117',
      answer: '0x0117 Invalid SOP Instance',
    });
  });

  it('of another class than its context: 0x0122', async () => {
    const { peer, calling } = await opened();
    const sop = uid();
    peer.send(
      pdata(pdv(1, 3, storeCommand(1, sop, '1.2.840.10008.5.1.4.1.1.4'))),
      pdata(pdv(1, 2, Buffer.alloc(10))),
    );
    expect((await peer.response()).status).toBe(0x0122);
    expect(await listed(`ae=${calling}`)).toMatchObject({ code: 'sop-class', status: '0x0122', sop });
  });

  it('without a data set: 0xC000', async () => {
    const { peer, calling } = await opened();
    peer.send(pdata(pdv(1, 3, withoutDataSet(uid()))));
    expect((await peer.response()).status).toBe(0xc000);
    expect(await listed(`ae=${calling}`)).toMatchObject({ code: 'command', status: '0xC000' });
  });
});

it('an operation that is not served here', async () => {
  const { peer, calling } = await opened();
  peer.send(
    pdata(pdv(1, 3, command({ 2: CT, 256: 0x0020, 272: 1, 2048: 0x0000 }))),
    pdata(pdv(1, 2, Buffer.alloc(8))),
  );
  expect((await peer.response()).status).toBe(0x0211);
  expect(await listed(`ae=${calling}`)).toMatchObject({
    what: 'operation',
    code: 'unrecognized',
    status: '0x0211',
    reason: 'Command field 0x0020 is not served here',
  });
});

it('a presentation context that leaves the sender no way to send its class', async () => {
  const peer = await connectRaw(house.dicomPort);
  const MR = '1.2.840.10008.5.1.4.1.1.4';
  await peer.associate({
    calling: 'NEGOTIATOR',
    contexts: [
      { id: 1, abstractSyntax: CT, transferSyntaxes: ['1.2.3.4.5'] },
      { id: 3, abstractSyntax: CT, transferSyntaxes: [EXPLICIT] },
      { id: 5, abstractSyntax: MR, transferSyntaxes: ['1.2.3.4.5'] },
      { id: 7, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: [EXPLICIT] },
    ],
  });
  await eventually(async () => {
    const found = await list('ae=NEGOTIATOR');
    return found.length === 2 ? found : undefined;
  }, 'both contexts');
  const found = (await list('ae=NEGOTIATOR')).map(({ what, code, sopClass }) => [what, code, sopClass]);
  expect(found).toEqual(
    expect.arrayContaining([
      ['context', 'transfer-syntax', MR],
      ['context', 'sop-class', '1.2.840.10008.5.1.4.1.2.2.1'],
    ]),
  );
});

describe('an association', () => {
  it.each([
    ['for another AE title', { called: 'ELSEWHERE' }, 'called-ae', 'called AE title not recognized'],
    ['in another application context', { applicationContext: '1.2.3' }, 'protocol', 'application context'],
    ['of another protocol version', { protocolVersion: 2 }, 'protocol', 'protocol version'],
  ])('%s', async (_, request, code, words) => {
    const calling = `AE${++callers}`;
    const before = await refusedSoFar('association', code);
    const peer = await connectRaw(house.dicomPort);
    peer.send(associateRequest({ calling, ...request }));
    expect((await peer.next())?.type).toBe(3);
    expect(await listed(`ae=${calling}`)).toMatchObject({
      what: 'association',
      code,
      answer: expect.stringContaining(words),
    });
    expect(await refusedSoFar('association', code)).toBe(before + 1);
  });

  it.each([
    [
      'whose request cannot be read',
      [pdu(1, Buffer.alloc(20))],
      'The A-ASSOCIATE-RQ is shorter',
      'malformed',
    ],
    ['that is HTTP', [Buffer.from('GET / HTTP/1.1\r\n\r\n')], 'it begins like HTTP', 'malformed'],
    ['that is no DICOM', [Buffer.from('hello\n')], 'PDU type 0x68 is not of PS3.8 9.3.1', 'malformed'],
    ['that begins with a release', [releaseRequest], 'not expected while', 'unexpected'],
  ])('%s', async (_, bytes, words, code) => {
    const peer = await connectRaw(house.dicomPort);
    peer.send(...bytes);
    expect((await peer.next())?.type).toBe(7);
    await eventually(
      async () => (await list(`what=association&code=${code}`)).find(({ reason }) => reason.includes(words)),
      words,
    );
  });

  it('that sends fragments where none may come', async () => {
    const { peer, calling } = await opened();
    peer.send(pdata(pdv(1, 2, Buffer.alloc(10))));
    expect((await peer.next())?.type).toBe(7);
    expect(await listed(`ae=${calling}`)).toMatchObject({
      what: 'association',
      code: 'unexpected',
      answer: 'aborted by the service provider: unexpected PDU parameter',
    });
  });

  it('that its own peer aborts, or that is released, is not refused by us', async () => {
    const aborted = await opened();
    aborted.peer.send(abortPdu);
    await aborted.peer.closed;
    const released = await opened();
    released.peer.send(releaseRequest);
    await released.peer.next();
    const marker = await opened();
    marker.peer.send(pdata(pdv(1, 2, Buffer.alloc(10))));
    await listed(`ae=${marker.calling}`);
    expect(await list(`ae=${aborted.calling}`)).toEqual([]);
    expect(await list(`ae=${released.calling}`)).toEqual([]);
  });
});

it('a thousand objects with the same fault are one row', async () => {
  const { peer, calling } = await opened();
  const objects = Array.from({ length: 1000 }, () => anObject());
  for (const [n, { sop, dataSet }] of objects.entries()) {
    peer.send(
      pdata(pdv(1, 3, storeCommand(n + 1, sop, CT))),
      pdata(pdv(1, 2, dataSet.subarray(0, dataSet.length - 2 - 2 * (n % 100)))),
    );
    expect((await peer.response()).status).toBe(0xc000);
  }
  const row = await eventually(async () => {
    const [found] = await list(`ae=${calling}`);
    return found?.times === 1000 ? found : undefined;
  }, 'all of them');
  expect(row).toMatchObject({ code: 'unreadable', sop: objects.at(-1)!.sop });
  expect(await list(`ae=${calling}`)).toHaveLength(1);
});
