/**
 * Objects that leave with loss, and so as other instances, to a peer that breaks off: whatever is sent again is sent
 * under the UIDs that it was sent under before, and those are in the ledger.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE, JPEG_2000 } from '../../src/dicom/transfer-syntax.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';
import { type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

let door: BackDoor;
let pacs: ScriptedPacs | undefined;
beforeEach(async () => {
  door = await openBackDoor();
});
afterEach(async () => {
  await door.close();
  await pacs?.stop();
  pacs = undefined;
});

test.each(['abort', 'close'] as const)(
  'after associations that end by %s each instance is there under one UID',
  async (deed) => {
    let begun = 0;
    pacs = await startScriptedPacs({
      // In the middle of an association, of two in a row, and of an instance that was broken off before.
      answer: (_, nth) => ([3, 4, 7, 8].includes(++begun) || (nth === 1 && begun > 9) ? deed : 0),
    });
    const { port } = pacs;
    await door.destination('pacs', { kind: 'dimse', host: '127.0.0.1', port, aeTitle: 'PACS' });
    await door.rule('all', {
      send: ['pacs'],
      transform: [{ transcode: { to: 'JPEG2000', ratio: 5, otherwise: 'refuse' } }],
    });
    const { sopUids } = await givenStableStudy(door.database, { store: door.store, instances: 7, side: 64 });
    expect(await door.settled('delivered')).toMatchObject([{ total: 7, delivered: 7 }]);
    expect(begun).toBeGreaterThan(7 + 4);
    expect(pacs.asked.every(({ transferSyntaxUid }) => transferSyntaxUid === JPEG_2000)).toBe(true);

    const { rows } = await door.database.query<{ sop_uid: string; sent_sop_uid: string }>(
      'select sop_uid, sent_sop_uid from delivery_instance',
    );
    expect(rows.map((row) => row.sop_uid).sort()).toEqual([...sopUids].sort());
    const sent = rows.map((row) => row.sent_sop_uid).sort();
    expect(new Set(sent).size).toBe(7);
    // Those that were broken off as well: the peer might have had the whole of them.
    const asked = pacs.asked.map(({ affectedSopInstanceUid }) => affectedSopInstanceUid);
    expect([...new Set(asked)].sort()).toEqual(sent);
    expect([...pacs.kept.keys()].sort()).toEqual(sent);
    const sourceOf = new Map(rows.map((row) => [row.sent_sop_uid, row.sop_uid]));
    for (const [uid, bytes] of pacs.kept) {
      const dataSet = parseDataSet(bytes, EXPLICIT_LE);
      expect(text(dataSet, '00080018')).toBe(uid);
      const [source] = dataSet.elements.get('00082112')!.items!;
      expect(text(source!, '00081155')).toBe(sourceOf.get(uid));
    }
  },
  60_000,
);
