/** What a rule changes on the way out, as the peers get it: a folder, a STOW-RS server, DCMTK over DIMSE. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { changeObject, NotLookedAt } from '../../src/forwarding/changed-object.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';
import { element, encapsulated } from '../dicom/elements.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';
import { startStowReceiver } from './stow-receiver.ts';

let door: BackDoor;
let root: TempFolder;

beforeEach(async () => {
  root = await tempFolder('changed');
  door = await openBackDoor({ folderRoot: root.path, deidentifyKey: KEY });
});
afterEach(async () => {
  await door.close();
  await root.remove();
});

const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
function filesBelow(where: string): Buffer[] {
  return readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(path.join(entry.parentPath, entry.name)));
}
function dataSetOf(file: Buffer) {
  const meta = readFileMeta(file);
  return parseDataSet(file.subarray(meta.dataSetOffset), meta.transferSyntaxUid);
}
const KEY = 'a key of the test, which is long enough';
const EDIT = [
  { set: { InstitutionName: 'Klinik Süd', SeriesNumber: 7 } },
  { remove: ['StudyDescription', 'private'] },
  { patient: { prefix: 'SITE-', issuer: 'SITE' } },
];

describe('a rule with a transform', () => {
  test('changes what is sent and not what is stored; the pixels pass', async () => {
    await door.destination('research', { kind: 'folder', path: 'r' });
    await door.rule('all', { send: ['research'], transform: EDIT });
    const { dataSets, sopUids } = await given({ instances: 3, pixelBytes: 300_000 });
    await door.settled('delivered');
    const files = filesBelow(root.path);
    expect(files).toHaveLength(3);
    for (const file of files) {
      const sent = dataSetOf(file);
      expect(sent.fault).toBeUndefined();
      expect(text(sent, '00080080')).toBe('Klinik Süd');
      expect(text(sent, '00080005')).toBe('ISO_IR 192');
      expect(text(sent, '00200011')).toBe('7');
      expect(text(sent, '00081030')).toBeUndefined();
      expect(text(sent, '00100020')).toBe('SITE-PAT-1');
      expect(text(sent, '00100021')).toBe('SITE');
      const stored = dataSets.get(text(sent, '00080018')!)!;
      expect(file.subarray(-300_000).equals(stored.subarray(-300_000))).toBe(true);
    }
    expect(sopUids).toHaveLength(3);
  });

  test('and one without owe the same study twice, once in each form; two alike owe it once', async () => {
    await door.destination('research', { kind: 'folder', path: 'r', enabled: false });
    await door.rule('a', {
      send: ['research'],
      transform: [{ set: { StudyID: '1', InstitutionName: 'A' } }],
    });
    await door.rule('b', {
      send: ['research'],
      transform: [{ set: { InstitutionName: 'A', StudyID: '1' } }],
    });
    await door.rule('c', { send: ['research'] });
    await given({ instances: 1 });
    const owed = await door.settled('owed');
    expect(owed.map(({ rule }) => rule).sort()).toEqual(['a, b', 'c']);
  });

  test('is paid as it was owed when the rule is another by then', async () => {
    await door.destination('research', { kind: 'folder', path: 'r', enabled: false });
    await door.rule('a', { send: ['research'], transform: [{ set: { InstitutionName: 'First' } }] });
    await given({ instances: 1 });
    await door.settled('owed');
    await door.rule('a', { send: ['research'], transform: [{ set: { InstitutionName: 'Second' } }] });
    await door.destination('research', { kind: 'folder', path: 'r' });
    await door.settled('delivered');
    expect(text(dataSetOf(filesBelow(root.path)[0]!), '00080080')).toBe('First');
  });

  test('reaches a STOW-RS server with its length right', async () => {
    const cloud = await startStowReceiver();
    try {
      await door.destination('cloud', { kind: 'stow', url: cloud.url });
      await door.rule('all', { send: ['cloud'], transform: EDIT });
      await given({ instances: 9, transferSyntax: '1.2.840.10008.1.2' });
      await door.settled('delivered');
      expect(cloud.kept.size).toBe(9);
      for (const file of cloud.kept.values()) expect(text(dataSetOf(file), '00100021')).toBe('SITE');
    } finally {
      await cloud.stop();
    }
  });

  test('that refuses unknown patients sends them nowhere and says why without naming them', async () => {
    await door.destination('research', { kind: 'folder', path: 'r' });
    const table = { OTHER: { id: 'X1' } };
    await door.rule('all', { send: ['research'], transform: [{ patient: { table, otherwise: 'refuse' } }] });
    await given({ instances: 1 });
    await door.settled('parked');
    expect((await door.instances())[0]).toMatchObject({
      state: 'failed',
      comment:
        "it is not sent as the rule asks: its (0010,0020) PatientID is not in the rule's table of patients",
    });
    expect(filesBelow(root.path)).toEqual([]);
  });

  test('is refused with every fault when it cannot be done', async () => {
    await door.destination('research', { kind: 'folder', path: 'r' });
    await expect(
      door.rule('all', {
        send: ['research'],
        transform: [
          { set: { NoSuchThing: 'x', SOPInstanceUID: '1.2', Rows: 3 } },
          { set: { SeriesNumber: 'seven' } },
          { prefix: { Rows: 'A' } },
        ],
      }),
    ).rejects.toThrow(
      /^The rule has 5 faults: transform\.0\.set: "NoSuchThing" is no keyword.*\(0028,0010\) Rows says which object.*SOPInstanceUID says/,
    );
  });
});

const DEIDENTIFY = [{ deidentify: {} }];
/** Of the study that given-study.ts makes. */
const ORIGINAL = /PAT-1|Doe|20240131|CT Thorax/;

describe('a rule that de-identifies', () => {
  test('sends the same pseudonyms by folder and STOW-RS, under the new UIDs, which the ledger has', async () => {
    const cloud = await startStowReceiver();
    try {
      await door.destination('research', { kind: 'folder', path: 'r' });
      await door.destination('cloud', { kind: 'stow', url: cloud.url });
      await door.rule('all', { send: ['research', 'cloud'], transform: DEIDENTIFY });
      const { sopUids, studyUid } = await given({ instances: 3 });
      await given({ instances: 1 });
      await door.settled('delivered');
      const files = filesBelow(root.path);
      expect(files).toHaveLength(4);
      const sent = files.map(dataSetOf);
      for (const file of [...files, ...cloud.kept.values()]) {
        expect(ORIGINAL.test(file.toString('latin1'))).toBe(false);
        expect(file.includes(studyUid)).toBe(false);
      }
      expect(new Set(sent.map((one) => text(one, '00100020'))).size).toBe(1);
      expect(new Set(sent.map((one) => text(one, '0020000D'))).size).toBe(2);
      const uids = sent.map((one) => text(one, '00080018')!);
      expect([...cloud.kept.keys()].sort()).toEqual([...uids].sort());
      const { rows } = await door.database.query<{ sop_uid: string; sent_sop_uid: string }>(
        'select distinct sop_uid, sent_sop_uid from delivery_instance',
      );
      expect(rows.map((row) => row.sent_sop_uid).sort()).toEqual([...uids].sort());
      expect(rows.map((row) => row.sop_uid)).toEqual(expect.arrayContaining(sopUids));
      for (const { path: asked, parts } of cloud.requests)
        for (const part of parts) {
          const one = sent.find((each) => text(each, '00080018') === part.sopUid)!;
          expect(asked).toBe(`/dicom-web/studies/${text(one, '0020000D')}`);
        }
    } finally {
      await cloud.stop();
    }
  });

  test('sends a study again as it went before, never as it is stored', async () => {
    await door.destination('research', { kind: 'folder', path: 'r' });
    await door.rule('all', { when: { Modality: 'CT' }, send: ['research'], transform: DEIDENTIFY });
    const { studyUid } = await given({ instances: 1 });
    await door.settled('delivered');
    await door.routing.orders.resend(studyUid, undefined, 'test');
    expect(await door.settled('delivered')).toHaveLength(1);
    expect(filesBelow(root.path)).toHaveLength(1);
    const other = await given({ instances: 1, modality: 'MR' });
    await expect(door.routing.orders.resend(other.studyUid, ['research'], 'test')).rejects.toThrow(
      /The rule all changes what goes to research/,
    );
  });

  test('parks what may show text, and sends the others', async () => {
    await door.destination('research', { kind: 'folder', path: 'r' });
    await door.rule('all', { send: ['research'], transform: DEIDENTIFY });
    const ULTRASOUND = '1.2.840.10008.5.1.4.1.1.6.1';
    await given({
      instances: 3,
      sopClassOf: (index) => (index === 2 ? ULTRASOUND : '1.2.840.10008.5.1.4.1.1.2'),
    });
    expect(await door.settled('parked')).toMatchObject([{ delivered: 2, failed: 1 }]);
    expect((await door.instances())[1]!.comment).toMatch(/a person has to look: it is ultrasound/);
    expect(filesBelow(root.path)).toHaveLength(2);
  });
});

test('a rule that de-identifies is refused without DEIDENTIFY_KEY', async () => {
  await door.close();
  door = await openBackDoor({ folderRoot: root.path });
  await door.destination('research', { kind: 'folder', path: 'r' });
  await expect(door.rule('all', { send: ['research'], transform: DEIDENTIFY })).rejects.toThrow(
    /DEIDENTIFY_KEY/,
  );
});

describe.skipIf(!peer('dcmtk'))('to DCMTK storescp (needs dcmtk)', () => {
  test.each(['1.2.840.10008.1.2.1', '1.2.840.10008.1.2'])('stored in %s', async (transferSyntax) => {
    const scp = await startStoreScp();
    try {
      await door.destination('pacs', { kind: 'dimse', host: scp.host, port: scp.port, aeTitle: scp.aeTitle });
      await door.rule('all', { send: ['pacs'], transform: DEIDENTIFY });
      const { dataSets } = await given({ instances: 5, transferSyntax, pixelBytes: 300_000 });
      await door.settled('delivered');
      const received = (await scp.received()).map((file) => readFileSync(file));
      expect(received).toHaveLength(5);
      const pixels = [...dataSets.values()].map((one) => one.subarray(-300_000).toString('base64'));
      for (const file of received) {
        const meta = readFileMeta(file);
        const sent = dataSetOf(file);
        expect(meta.transferSyntaxUid).toBe(transferSyntax);
        expect(meta.sopInstanceUid).toBe(text(sent, '00080018'));
        expect(ORIGINAL.test(file.toString('latin1'))).toBe(false);
        expect(pixels).toContain(file.subarray(-300_000).toString('base64'));
      }
    } finally {
      await scp.stop();
    }
  });
});

describe('the bytes of a changed object', () => {
  const header = Buffer.concat([
    element('00080018', 'UI', '1.2.3.4\0'),
    element('00100010', 'PN', 'SECRET^NAME '),
    element('0020000D', 'UI', '1.2.3\0'),
    element('0020000E', 'UI', '1.2.3.9\0'),
  ]);
  const behind = element('FFFCFFFC', 'OB', 'SECRET');
  // SOI, SOS, coded data, EOI.
  const frame = Buffer.concat([
    Buffer.from('ffd8ffda0002', 'hex'),
    Buffer.alloc(5000, 7),
    Buffer.from('ffd9', 'hex'),
  ]);
  const pixels = encapsulated([Buffer.alloc(0), frame]);
  const whole = Buffer.concat([header, pixels, behind]);
  const JPEG = '1.2.840.10008.1.2.4.70';
  async function made(
    transform: Transform,
    size: number,
    bytes = whole,
    { syntax = JPEG, released = false } = {},
  ): Promise<Buffer> {
    const compiled = compileTransform(transform, KEY);
    if ('faults' in compiled) throw new Error(compiled.faults.join());
    async function* pieces() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    }
    const object = await changeObject(pieces(), syntax, compiled, { released });
    const out: Buffer[] = [];
    for await (const chunk of object.bytes) out.push(Buffer.from(chunk));
    return Buffer.concat(out);
  }

  test.each([1, 100, 100_000])(
    'in pieces of %i: nothing stands behind de-identified pixels',
    async (size) => {
      const sent = await made([{ deidentify: { retain: [], burnedIn: 'hold' } }], size);
      expect(sent.subarray(-pixels.length).equals(pixels)).toBe(true);
      expect(sent.includes('SECRET')).toBe(false);
      const edited = await made([{ set: { PatientName: 'OTHER' } }], size);
      expect(edited.subarray(-pixels.length - behind.length).equals(Buffer.concat([pixels, behind]))).toBe(
        true,
      );
    },
  );

  test.each([
    ['1.2.840.10008.1.2.4.102', 'MPEG-4 AVC/H.264 High Profile / Level 4.1'],
    ['1.2.840.10008.1.2.4.110', 'JPEG XL Lossless'],
    ['1.2.3.4.5.6', 'Unknown transfer syntax'],
  ])('whose pixels are in %s, with words nobody sees, wait for a person', async (syntax, name) => {
    const film = encapsulated([Buffer.alloc(0), Buffer.from('....moov....udta....SECRET^NAME.')]);
    const bytes = Buffer.concat([header, film]);
    const transform = (burnedIn: 'hold' | 'send'): Transform => [{ deidentify: { retain: [], burnedIn } }];
    const held = made(transform('hold'), 1000, bytes, { syntax });
    await expect(held).rejects.toThrow(`its pixels are ${name}, in which more may be written than is seen`);
    await expect(held).rejects.toThrow(NotLookedAt);
    await made(transform('hold'), 1000, bytes, { syntax, released: true });
    await made(transform('send'), 1000, bytes, { syntax });
    await made(transform('hold'), 1000, bytes, { syntax: '1.2.840.10008.1.2.5' });
  });

  test('that are broken, or whose header is beyond the bound, are not sent', async () => {
    const remove: Transform = [{ remove: ['PatientName'] }];
    await expect(made(remove, 1000, header.subarray(0, 40))).rejects.toThrow(/cannot be read to its end/);
    const long = Buffer.concat([header, element('00420011', 'OB', Buffer.alloc(33 * 1024 * 1024))]);
    await expect(made(remove, 1024 * 1024, long)).rejects.toThrow(/its header is longer than/);
    const cut = whole.subarray(0, header.length + 3000);
    await expect(made([{ deidentify: { retain: [], burnedIn: 'hold' } }], 500, cut)).rejects.toThrow(
      /not sent as the rule asks: its pixels are cut short/,
    );
  });
});
