/**
 * What a modality can do wrong, sent byte by byte: each object is answered with its status and its words, nothing of a
 * refused one is kept, and the association goes on with the next.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { element } from '../dicom/elements.ts';
import {
  associateRequest,
  connectRaw,
  pdata,
  pdv,
  type RawPeer,
  releaseRequest,
  storeCommand,
} from '../dimse/raw-peer.ts';
import { type AnObject, anObject, CT, EXPLICIT, uid } from '../support/an-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse({ RECEIVERS: '1', DRAIN_S: '1' });
});
afterAll(() => house?.close());

const query = async (text: string, values: unknown[] = []) =>
  (await house.db.database.query(text, values)).rows;
const instances = async (sop: string): Promise<number> =>
  Number((await query('select count(*) as n from object where sop_uid = $1', [sop]))[0]!.n);
const refusals = (sop: string) =>
  eventually(async () => {
    const rows = await query('select status, reason, calling_ae from refusal where sop_uid = $1', [sop]);
    return rows.length > 0 ? rows : undefined;
  }, `the refusal of ${sop}`);

let messageId = 0;
/** A C-STORE of these bytes; `last` false leaves it open. */
function message(sop: string, dataSet: Buffer, { last = true, contextId = 1 } = {}): Buffer {
  const parts = [pdata(pdv(contextId, 3, storeCommand(++messageId, sop, CT)))];
  for (let at = 0; at < dataSet.length || at === 0; at += 16_000) {
    const final = last && at + 16_000 >= dataSet.length;
    parts.push(pdata(pdv(contextId, final ? 2 : 0, dataSet.subarray(at, at + 16_000))));
  }
  return Buffer.concat(parts);
}
async function opened(): Promise<RawPeer> {
  const peer = await connectRaw(house.dicomPort);
  await peer.associate();
  return peer;
}
async function stored(peer: RawPeer, object: AnObject): Promise<void> {
  peer.send(message(object.sop, object.dataSet));
  expect((await peer.response()).status).toBe(0);
}
async function release(peer: RawPeer): Promise<void> {
  peer.send(releaseRequest);
  expect((await peer.next())?.type).toBe(6);
  peer.socket.destroy(); // closing is the requestor's part (PS3.8 9.2)
}
const without = (object: AnObject, tag: string): Buffer => {
  const header = Buffer.alloc(4);
  header.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
  header.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
  const at = object.dataSet.indexOf(header);
  return Buffer.concat([
    object.dataSet.subarray(0, at),
    object.dataSet.subarray(at + 8 + object.dataSet.readUInt16LE(at + 6)),
  ]);
};

/** Name, the command's UID, the data set, status, words. */
const cases: [string, (object: AnObject) => [sop: string, dataSet: Buffer], number, RegExp][] = [
  [
    'without SOP Instance UID',
    (o) => [o.sop, without(o, '00080018')],
    0xc000,
    /\(0008,0018\) SOPInstanceUID is missing/,
  ],
  [
    'without Study UID',
    (o) => [o.sop, without(o, '0020000D')],
    0xc000,
    /\(0020,000D\) StudyInstanceUID is missing/,
  ],
  ['without Series UID', (o) => [o.sop, without(o, '0020000E')], 0xc000, /\(0020,000E\)/],
  ['without SOP Class UID', (o) => [o.sop, without(o, '00080016')], 0xc000, /\(0008,0016\)/],
  [
    'cut off in its pixels',
    (o) => [o.sop, o.dataSet.subarray(0, -100)],
    0xc000,
    /truncated inside \(7FE0,0010\)/,
  ],
  ['cut off in its header', (o) => [o.sop, o.dataSet.subarray(0, 60)], 0xc000, /truncated/],
  ['of noise', (o) => [o.sop, Buffer.alloc(5000, 0xa7)], 0xc000, /data set cannot be read/],
  ['of one byte', (o) => [o.sop, Buffer.alloc(1, 8)], 0xc000, /./],
  [
    'with a value that claims 4 GB',
    (o) => [o.sop, Buffer.concat([o.dataSet, element('7FE10010', 'OB', 'x', { length: 0xfffffffe })])],
    0xc000,
    /truncated/,
  ],
  [
    'announced under another UID',
    (o) => [uid(), o.dataSet],
    0xa900,
    /\(0008,0018\) SOPInstanceUID is .* in the data set/,
  ],
];

describe('an object', () => {
  it.each(cases)('%s is refused in words, and the next one is stored', async (_, make, status, words) => {
    const peer = await opened();
    const object = anObject({ pixelBytes: 40_000 });
    const [sop, dataSet] = make(object);
    peer.send(message(sop, dataSet));
    const answer = await peer.response();
    expect(answer.status).toBe(status);
    expect(answer.comment).not.toBe('');
    expect(answer.comment.length).toBeLessThanOrEqual(64);
    const [refused] = await refusals(sop);
    expect(refused).toMatchObject({ status, calling_ae: 'RAW' });
    expect(String(refused!.reason)).toMatch(words);
    expect(String(refused!.reason)).not.toMatch(/Example|Anna|P1/);
    const next = anObject();
    await stored(peer, next);
    await release(peer);
    expect([await instances(sop), await instances(object.sop), await instances(next.sop)]).toEqual([0, 0, 1]);
  });

  it.each([
    '../../../../tmp/x',
    '1.2/../../3',
    '..',
    '.',
    '1..2',
    '1.2.3\\4',
    '/etc/passwd',
    '1.2.a',
    '1'.repeat(65),
  ])('with the UID %s does not leave its folder', async (bad) => {
    const peer = await opened();
    for (const object of [anObject({ sop: bad }), anObject({ study: bad }), anObject({ series: bad })]) {
      peer.send(message(object.sop, object.dataSet));
      expect((await peer.response()).status).not.toBe(0);
    }
    const next = anObject();
    await stored(peer, next);
    await release(peer);
    expect(await query('select 1 from object where key ~ $1', ['\\.\\.'])).toEqual([]);
    expect(
      readdirSync(join(house.dataFolder, 'objects')).filter(
        (name) => name !== '.incoming' && !/^[0-9a-f]{2}$/.test(name),
      ),
    ).toEqual([]);
  });

  it('whose association is aborted in the middle leaves nothing, what came before stays', async () => {
    const peer = await opened();
    const first = anObject();
    await stored(peer, first);
    const cut = anObject({ pixelBytes: 900_000 });
    peer.send(message(cut.sop, cut.dataSet.subarray(0, 500_000), { last: false }));
    peer.send(Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
    await peer.closed;
    await eventually(async () => {
      const rows = await query(
        `select r.outcome from reception r join object o on o.reception = r.id where o.sop_uid = $1`,
        [first.sop],
      );
      return rows[0]?.outcome === 'aborted' ? true : undefined;
    }, 'the end of the association');
    expect([await instances(first.sop), await instances(cut.sop)]).toEqual([1, 0]);
    await stored(await opened(), cut);
  });

  it('whose last PDV says that it ends before its pixels is not taken for an object without any', async () => {
    const peer = await opened();
    const object = anObject();
    const changed = pdata(pdv(1, 2, object.dataSet));
    const pixels = object.dataSet.indexOf(Buffer.from([0xe0, 0x7f, 0x10, 0x00]));
    changed.writeUInt32BE(pixels + 2, 6);
    peer.send(Buffer.concat([pdata(pdv(1, 3, storeCommand(++messageId, object.sop, CT))), changed]));
    expect(await peer.next()).toMatchObject({ type: 7 });
    await peer.closed;
    expect(await instances(object.sop)).toBe(0);
    await stored(await opened(), object);
  });

  it('deflated and cut far behind its beginning is refused in words, whole it is stored and found', async () => {
    const object = anObject({ pixelBytes: 2_000_000 });
    const deflated = deflateRawSync(object.dataSet);
    const peer = await connectRaw(house.dicomPort);
    const contexts = [{ id: 1, abstractSyntax: CT, transferSyntaxes: ['1.2.840.10008.1.2.1.99'] }];
    peer.send(associateRequest({ contexts }));
    await peer.next();
    peer.send(message(object.sop, deflated.subarray(0, -200_000)));
    const { status, comment } = await peer.response();
    expect([status, comment]).toEqual([0xc000, expect.stringMatching(/its end is missing/)]);
    peer.send(message(object.sop, deflated));
    expect((await peer.response()).status).toBe(0);
    await release(peer);
    expect(await instances(object.sop)).toBe(1);
  });

  it('whose connection is lost in the middle leaves nothing', async () => {
    const peer = await opened();
    const first = anObject();
    await stored(peer, first);
    const cut = anObject({ pixelBytes: 900_000 });
    peer.send(message(cut.sop, cut.dataSet.subarray(0, 500_000), { last: false }));
    peer.socket.destroy();
    await eventually(async () => {
      const rows = await query(
        `select r.outcome from reception r join object o on o.reception = r.id where o.sop_uid = $1`,
        [first.sop],
      );
      return rows[0]?.outcome === 'lost' ? true : undefined;
    }, 'the end of the association');
    expect([await instances(first.sop), await instances(cut.sop)]).toEqual([1, 0]);
  });

  it('is stored and found before its release is answered', async () => {
    for (let n = 0; n < 5; n++) {
      const peer = await opened();
      const object = anObject();
      await stored(peer, object);
      await release(peer);
      const answer = await fetch(`${house.url}/api/instances/${object.sop}/original`);
      const file = Buffer.from(await answer.arrayBuffer());
      expect(file.subarray(-object.dataSet.length).equals(object.dataSet)).toBe(true);
    }
  });

  it('refused counts at its association, stored ones too', async () => {
    const peer = await opened();
    const object = anObject();
    await stored(peer, object);
    const bad = anObject();
    peer.send(message(bad.sop, bad.dataSet.subarray(0, -10)));
    expect((await peer.response()).status).toBe(0xc000);
    await release(peer);
    const counted = await eventually(async () => {
      const rows = await query(
        `select r.stored, r.refused, r.outcome from reception r join object o on o.reception = r.id
         where o.sop_uid = $1 and r.closed_at is not null`,
        [object.sop],
      );
      return rows[0];
    }, 'the closed reception');
    expect(counted).toEqual({ stored: 1, refused: 1, outcome: 'released' });
  });
});

describe('an association', () => {
  it('on a context that was refused is aborted, and harms no other', async () => {
    const other = await opened();
    const peer = await connectRaw(house.dicomPort);
    const { results } = await peer.associate({
      contexts: [
        { id: 1, abstractSyntax: CT, transferSyntaxes: [EXPLICIT] },
        { id: 3, abstractSyntax: CT, transferSyntaxes: ['1.2.3.4.5'] },
      ],
    });
    expect([results.get(1)?.result, results.get(3)?.result]).toEqual([0, 4]);
    const object = anObject();
    peer.send(message(object.sop, object.dataSet, { contextId: 3 }));
    expect((await peer.next())?.type).toBe(7);
    expect(await instances(object.sop)).toBe(0);
    await stored(other, object);
    await release(other);
  });

  it('whose calling AE title holds a NUL is refused: the index would take nothing of it', async () => {
    const peer = await connectRaw(house.dicomPort);
    peer.send(associateRequest({ calling: 'CT\0EVIL' }));
    const answer = await peer.next();
    expect(answer?.type).toBe(3);
    expect([...answer!.body.subarray(1, 4)]).toEqual([1, 1, 3]);
    const rows = await eventually(async () => {
      const found = await query(
        "select calling_ae, code, answer from refusal where what = 'association' and code = 'calling-ae'",
      );
      return found.length > 0 ? found : undefined;
    }, 'the refusal');
    expect(rows[0]).toMatchObject({
      calling_ae: 'CT?EVIL',
      answer: 'rejected permanently by the service user: calling AE title not recognized',
    });
  });
});

describe('at the limits', () => {
  it('MAX_ASSOCIATIONS: one more is told to come later, and let in when one has gone', async () => {
    const small = await openHouse({ MAX_ASSOCIATIONS: '2', RECEIVERS: '2', DRAIN_S: '1' });
    try {
      const open: RawPeer[] = [];
      for (let n = 0; n < 2; n++) {
        const peer = await connectRaw(small.dicomPort);
        await peer.associate();
        open.push(peer);
      }
      const third = await connectRaw(small.dicomPort);
      third.send(associateRequest());
      const answer = await third.next();
      expect(answer?.type).toBe(3);
      expect([...answer!.body.subarray(1, 4)]).toEqual([2, 3, 2]); // transient, local limit
      await release(open[0]!);
      await eventually(async () => {
        const again = await connectRaw(small.dicomPort);
        again.send(associateRequest());
        const accepted = (await again.next())?.type === 2;
        if (accepted) await release(again);
        return accepted ? true : undefined;
      }, 'a free place');
      // Not released by us: the drain must end it.
      await small.restart();
      expect((await open[1]!.next())?.type).toBe(7);
    } finally {
      await small.close();
    }
  });

  it('KNOWN_AES: only those are let in', async () => {
    const strict = await openHouse({ KNOWN_AES: 'CT_1@127.0.0.1,MR_1@10.9.9.9', RECEIVERS: '1' });
    try {
      const types: (number | undefined)[] = [];
      for (const calling of ['CT_1', 'MR_1', 'XX_1']) {
        const peer = await connectRaw(strict.dicomPort);
        peer.send(associateRequest({ calling }));
        types.push((await peer.next())?.type);
        peer.socket.destroy();
      }
      expect(types).toEqual([2, 3, 3]);
    } finally {
      await strict.close();
    }
  });

  it('a full journal: 0xA700 in words, for this object; when there is room the same is stored', async () => {
    const full = await openHouse({ JOURNAL_LIMIT: '128MB', RECEIVERS: '1' });
    try {
      const peer = await connectRaw(full.dicomPort);
      await peer.associate();
      // 160 MB do not fit the journal at all, and it is known only after 128 of them.
      const large = anObject();
      const pixels = Buffer.alloc(16_000, 1);
      const header = large.dataSet.subarray(0, large.dataSet.length - 512 - 12);
      peer.send(pdata(pdv(1, 3, storeCommand(1, large.sop, CT))));
      peer.send(
        pdata(pdv(1, 0, Buffer.concat([header, element('7FE00010', 'OW', '', { length: 160_000_000 })]))),
      );
      for (let n = 0; n < 10_000; n++) {
        peer.send(pdata(pdv(1, n === 9999 ? 2 : 0, pixels)));
        if (peer.socket.writableNeedDrain) await new Promise((resolve) => peer.socket.once('drain', resolve));
      }
      const answer = await peer.response();
      expect(answer.status).toBe(0xa700);
      expect(answer.comment).toContain('journal');
      const object = anObject();
      peer.send(message(object.sop, object.dataSet));
      expect((await peer.response()).status).toBe(0);
      await release(peer);
      const left = readdirSync(join(full.dataFolder, 'journal'), { recursive: true, encoding: 'utf8' });
      expect(left.filter((name) => name.endsWith('.obj'))).toEqual([]);
      const rows = await eventually(async () => {
        const found = await full.db.database.query(
          "select status, reason, code from refusal where what = 'object'",
        );
        return found.rows.length > 0 ? found.rows : undefined;
      }, 'the refusal');
      expect(rows).toEqual([
        { status: 0xa700, code: 'no-space', reason: expect.stringContaining('(JOURNAL_LIMIT)') },
      ]);
    } finally {
      await full.close();
    }
  });
});
