/**
 * The same SOP Instance UID again, through the whole house and its real doors: the same bytes, the same pixels in other
 * transfer syntaxes (made by DCMTK), other content under each CONFLICT_POLICY, the same UID elsewhere, and what a person
 * decides afterwards.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { settleConflict } from '../../src/archive/settle-conflict.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { type AnImage, anImage } from '../support/an-image.ts';
import { type AnObject, anObject, uid } from '../support/an-object.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import {
  fileOf,
  multipart,
  originalDataSet,
  type SentObject,
  sendObjects,
  stow,
} from '../support/modality.ts';
import { startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');
const SUCCESS = 0;
const REFUSED = 0xc000;

let house: House;
afterEach(async () => {
  await house?.close();
});

// biome-ignore lint/suspicious/noExplicitAny: answers of the API, looked at field by field
type Json = any;
async function api(where: string, method = 'GET'): Promise<Json> {
  const response = await fetch(`${house.url}/api${where}`, { method });
  return response.json();
}
const rows = async (sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> =>
  (await house.db.database.query(sql, values)).rows;
const send = async (...objects: SentObject[]): Promise<number[]> =>
  (await sendObjects(house, 'CT_1', objects)).map(({ status }) => status);
const versions = (sop: string): Promise<{ version: string; role: string }[]> =>
  api(`/instances/${sop}/versions`);
const roles = async (sop: string): Promise<string[]> => (await versions(sop)).map(({ role }) => role);
/** All comparisons that are queued have been made. */
const compared = () =>
  eventually(
    async () => ((await rows('select 1 from comparison')).length === 0 ? true : undefined),
    'the end of the comparisons',
  );
/** Nothing is on its way from the journal any more. */
const inStore = () =>
  eventually(
    async () =>
      (await rows("select 1 from object where location = 'journal'")).length === 0 ? true : undefined,
    'the end of placing',
  );
const currentIs = async (object: SentObject): Promise<boolean> =>
  (await originalDataSet(house, object.declared.sopInstanceUid)).equals(object.dataSet);
const changes = async (kind: string): Promise<number> =>
  (await rows('select 1 from change where kind = $1', [kind])).length;

describe('the same bytes', () => {
  it.each(['keep-first', 'replace', 'refuse'])(
    'are Success and nothing else (%s)',
    async (CONFLICT_POLICY) => {
      house = await openHouse({ CONFLICT_POLICY });
      const object = anObject();
      expect(await send(object, object)).toEqual([SUCCESS, SUCCESS]);
      expect((await stow(house, multipart([fileOf(object)]))).status).toBe(200);
      expect(await roles(object.sop)).toEqual(['current']);
      expect(await api('/conflicts?settled=all')).toEqual([]);
      expect(await changes('instance-stored')).toBe(1);
    },
  );
});

/** The image in other encodings of the same values; DCMTK's programs and their options. */
const LOSSLESS: [string, boolean, string, string[]][] = [
  ['Implicit VR', false, 'dcmconv', ['+ti']],
  ['Explicit Big Endian', false, 'dcmconv', ['+tb']],
  ['Deflated', false, 'dcmconv', ['+td']],
  ['Explicit, sequences of undefined length, group lengths', false, 'dcmconv', ['+te', '-e', '+g']],
  ['RLE', false, 'dcmcrle', []],
  ['JPEG lossless', false, 'dcmcjpeg', []],
  ['JPEG-LS', false, 'dcmcjpls', []],
  ['Big Endian, colour', true, 'dcmconv', ['+tb']],
  ['RLE, colour', true, 'dcmcrle', []],
  ['JPEG lossless, colour', true, 'dcmcjpeg', []],
  ['JPEG-LS, colour', true, 'dcmcjpls', []],
];

async function converted(image: AnImage, program: string, options: string[]): Promise<SentObject> {
  const folder = await tempFolder('twins');
  try {
    const [from, to] = [path.join(folder.path, 'from.dcm'), path.join(folder.path, 'to.dcm')];
    await writeFile(from, fileOf(image));
    await run(program, [...options, from, to]);
    const file = await readFile(to);
    const meta = readFileMeta(file);
    const declared = { ...image.declared, transferSyntaxUid: meta.transferSyntaxUid };
    return { declared, dataSet: file.subarray(meta.dataSetOffset) };
  } finally {
    await folder.remove();
  }
}

/** A file as a sender has it; undefined when its File Meta does not say what it is. */
async function partTen(file: string): Promise<SentObject | undefined> {
  const bytes = await readFile(file);
  const { sopClassUid, sopInstanceUid, transferSyntaxUid, dataSetOffset } = readFileMeta(bytes);
  if (sopClassUid === undefined || sopInstanceUid === undefined) return undefined;
  return {
    declared: { sopClassUid, sopInstanceUid, transferSyntaxUid },
    dataSet: bytes.subarray(dataSetOffset),
  };
}

describe.skipIf(!dcmtk)('the same values in another encoding (dcmtk)', () => {
  it('are variants, whatever the encoding, and no alarm under any policy', async () => {
    for (const CONFLICT_POLICY of ['keep-first', 'replace', 'refuse']) {
      house = await openHouse({ CONFLICT_POLICY });
      for (const colour of [false, true]) {
        const image = anImage({ colour });
        expect(await send(image)).toEqual([SUCCESS]);
        // Other bytes in the same transfer syntax are judged at once, by their bytes, where the policy acts on them.
        const atOnce = CONFLICT_POLICY !== 'keep-first';
        const twins = LOSSLESS.filter((one) => one[1] === colour && !(atOnce && one[3][0] === '+te'));
        for (const [name, , program, options] of twins) {
          const twin = await converted(image, program, options);
          expect(await send(twin), `${name}, ${CONFLICT_POLICY}`).toEqual([SUCCESS]);
        }
        await compared();
        expect(await api('/conflicts')).toEqual([]);
        const found = await roles(image.sop);
        expect(
          found.filter((role) => role === 'current'),
          CONFLICT_POLICY,
        ).toHaveLength(1);
        expect(
          found.filter((role) => role === 'variant'),
          CONFLICT_POLICY,
        ).toHaveLength(twins.length);
      }
      expect(await changes('instance-stored')).toBe(2);
      if (CONFLICT_POLICY !== 'refuse') await house.close();
    }
  });

  it('can be fetched one by one, byte for byte', async () => {
    house = await openHouse();
    const image = anImage();
    const twin = await converted(image, dcmtk!.dcmcrle!, []);
    await send(image, twin);
    await compared();
    const [, variant] = await versions(image.sop);
    expect(variant).toMatchObject({ role: 'variant', transferSyntax: '1.2.840.10008.1.2.5' });
    const response = await fetch(
      `${house.url}/api/instances/${image.sop}/original?version=${variant!.version}`,
    );
    const file = Buffer.from(await response.arrayBuffer());
    expect(file.subarray(readFileMeta(file).dataSetOffset).equals(twin.dataSet)).toBe(true);
    expect(await currentIs(image)).toBe(true);
    const unknown = await fetch(`${house.url}/api/instances/${image.sop}/original?version=${'0'.repeat(64)}`);
    expect(unknown.status).toBe(404);
  });

  it('of a lossy version are other content: a conflict that names what differs', async () => {
    house = await openHouse();
    const image = anImage({ colour: true });
    const lossy = await converted(image, 'dcmcjpeg', ['+eb', '+un']);
    expect(lossy.declared.transferSyntaxUid).toBe('1.2.840.10008.1.2.4.50');
    expect(await send(image, lossy)).toEqual([SUCCESS, SUCCESS]);
    await compared();
    const [conflict] = await api('/conflicts');
    expect(conflict).toMatchObject({ kind: 'content', sop: image.sop, came: { role: 'conflict' } });
    const tags = conflict.difference.map(({ keyword }: { keyword: string }) => keyword);
    expect(tags).toContain('PixelData');
    expect(tags).toContain('LossyImageCompression');
    expect(await currentIs(image)).toBe(true);
  });

  it('with one pixel or one attribute changed are other content, by frame and by name', async () => {
    house = await openHouse();
    const image = anImage();
    const pixel = await converted(anImage({ ...image, change: 1 }), 'dcmcrle', []);
    const attribute = await converted(anImage({ ...image, description: 'SECRET' }), 'dcmconv', ['+ti']);
    await send(image, pixel, attribute);
    await compared();
    const [second, first] = await api('/conflicts');
    expect(first.difference).toEqual([
      { tag: '7FE00010', keyword: 'PixelData', vr: expect.any(String), what: 'changed', frame: 2 },
    ]);
    expect(second.difference).toEqual([
      { tag: '00081030', keyword: 'StudyDescription', vr: 'LO', what: 'changed' },
    ]);
    expect(JSON.stringify(await api(`/conflicts/${second.id}`))).not.toContain('SECRET');
    expect((await api(`/conflicts/${second.id}?values=true`)).difference).toEqual([
      expect.objectContaining({ before: ['chest'], came: ['SECRET'] }),
    ]);
    const [disclosure] = await api('/disclosures');
    expect(disclosure).toMatchObject({
      channel: 'api',
      sop: image.sop,
      detail: { action: 'conflict-values' },
    });
  });

  it('that cannot be decoded are a conflict that says why', async () => {
    house = await openHouse();
    const image = anImage();
    const broken = await converted(image, 'dcmcjpeg', []);
    // In the middle of the second frame's entropy-coded bytes.
    broken.dataSet.fill(0xff, broken.dataSet.length - 200, broken.dataSet.length - 60);
    await send(image, broken);
    await compared();
    const [conflict] = await api('/conflicts');
    const said = conflict.notCompared ?? conflict.difference;
    expect(said).toBeTruthy();
    expect(await roles(image.sop)).toEqual(['current', 'conflict']);
  });

  it('are compared after a restart, when the comparison was broken off', async () => {
    house = await openHouse();
    const image = anImage();
    const twin = await converted(image, 'dcmcrle', []);
    await send(image);
    // As if another process had taken it up and died.
    await rows(
      `create function leave_alone() returns trigger language plpgsql as
      $$ begin new.due_at = now() + interval '1 hour'; new.node = $1$nobody$1$; return new; end $$`.replaceAll(
        '$1$',
        "'",
      ),
    );
    await rows(
      'create trigger leave_alone before insert on comparison for each row execute function leave_alone()',
    );
    await send(twin);
    expect(await roles(image.sop)).toEqual(['current', 'undecided']);
    expect(await api('/conflicts')).toEqual([]);
    await rows('drop trigger leave_alone on comparison');
    await rows('update comparison set node = (select name from node)');
    await house.restart();
    await compared();
    expect(await roles(image.sop)).toEqual(['current', 'variant']);
  });
});

describe.skipIf(!dcmtk || !corpusFolder)(
  'one file of each kind in the corpus, in seven encodings (dcmtk, corpus)',
  () => {
    const PROGRAMS: [string, string[]][] = [
      ['dcmconv', ['+ti']],
      ['dcmconv', ['+tb']],
      ['dcmconv', ['+td']],
      ['dcmcrle', []],
      ['dcmcjpeg', []],
      ['dcmcjpls', []],
      ['dcmdjpeg', []],
    ];
    /** DCMTK reads them without complaint; their file names are the corpus' own. */
    const chosen = [
      ...new Map(
        corpusIndex()
          .filter(
            ({ dcmdump_rc, size, sop_uid, sop_uid_shared_by }) =>
              dcmdump_rc === '0' && Number(size) < 2e6 && sop_uid !== '' && sop_uid_shared_by === '1',
          )
          .map((row) => [[row.sop_class, row.ts, row.photometric, row.bits].join(' '), row]),
      ).values(),
    ].slice(0, 40);

    it('makes variants, and a conflict only where the transfer syntax is the same', async () => {
      house = await openHouse();
      const folder = await tempFolder('twins-of-the-corpus');
      const to = path.join(folder.path, 'to.dcm');
      let sent = 0;
      try {
        for (const row of chosen) {
          const from = path.join(corpusFolder!, row.file!);
          const original = await partTen(from);
          if (!original || original.declared.sopInstanceUid !== row.sop_uid) continue;
          await send(original);
          for (const [program, options] of PROGRAMS) {
            // What a program cannot encode it refuses: nothing to compare then.
            const made = await run(program, [...options, from, to]).then(
              () => true,
              () => false,
            );
            const twin = made ? await partTen(to) : undefined;
            if (!twin || twin.declared.sopInstanceUid !== row.sop_uid) continue;
            await send(twin);
            sent++;
          }
        }
      } finally {
        await folder.remove();
      }
      expect(sent).toBeGreaterThan(40);
      await eventually(
        async () => ((await rows('select 1 from comparison')).length === 0 ? true : undefined),
        'the end of the comparisons',
        60_000,
      );
      const conflicts = await api('/conflicts?limit=1000');
      const otherSyntax = conflicts.filter(
        ({ came, before }: Json) => came.transferSyntax !== before.transferSyntax,
      );
      expect(otherSyntax).toEqual([]);
      for (const { difference } of conflicts) expect(difference.length).toBeGreaterThan(0);
      const variants = await rows("select 1 from object where role = 'variant'");
      expect(variants.length).toBeGreaterThan(30);
    }, 180_000);
  },
);

/** Two objects of one identity that differ in their pixels. */
function pair(): [AnObject, AnObject] {
  const first = anObject();
  return [first, anObject({ study: first.study, series: first.series, sop: first.sop, pixels: 1 })];
}

describe('other content', () => {
  it('is kept beside the first (keep-first), from DIMSE and STOW alike, with its sender', async () => {
    house = await openHouse();
    const [first, second] = pair();
    expect(await send(first)).toEqual([SUCCESS]);
    expect((await stow(house, multipart([fileOf(second)]))).status).toBe(200);
    expect(await roles(first.sop)).toEqual(['current', 'conflict']);
    expect(await currentIs(first)).toBe(true);
    await compared();
    const [conflict] = await api('/conflicts');
    expect(conflict).toMatchObject({
      kind: 'content',
      study: first.study,
      sop: first.sop,
      settledAt: null,
      held: null,
      came: {
        role: 'conflict',
        length: expect.any(Number),
        source: { kind: 'stow', actor: expect.any(String) },
      },
      before: { role: 'current', source: { kind: 'dimse', ae: 'CT_1' } },
      difference: [{ keyword: 'PixelData', what: 'changed' }],
    });
    expect(await changes('instance-replaced')).toBe(0);
  });

  it('takes its place (replace): served, announced, and the older is a version; counts stay', async () => {
    house = await openHouse({ CONFLICT_POLICY: 'replace' });
    const [first, second] = pair();
    await send(first);
    expect(await send(second)).toEqual([SUCCESS]);
    // Whoever stores and then asks, finds.
    expect(await currentIs(second)).toBe(true);
    expect(await roles(first.sop)).toEqual(['current', 'replaced']);
    expect(await api('/conflicts')).toEqual([]);
    expect(await api('/conflicts?settled=true')).toMatchObject([
      {
        settlement: 'replaced',
        settledBy: 'CONFLICT_POLICY',
        came: { role: 'current' },
        before: { role: 'replaced' },
      },
    ]);
    expect(await changes('instance-replaced')).toBe(1);
    expect(await rows('select instance_count, series_count, version from study')).toEqual([
      { instance_count: 1, series_count: 1, version: 2 },
    ]);
    // The older once more is the same again: it does not come back by itself.
    expect(await send(first)).toEqual([SUCCESS]);
    expect(await currentIs(second)).toBe(true);
    expect(await changes('instance-replaced')).toBe(1);
  });

  it('is refused (refuse): the sender hears why, nothing new is kept, and it is listed', async () => {
    house = await openHouse({ CONFLICT_POLICY: 'refuse' });
    const [first, second] = pair();
    expect(await send(first)).toEqual([SUCCESS]);
    const other = anObject({ study: first.study });
    expect(await send(second, other)).toEqual([REFUSED, SUCCESS]);
    const response = await stow(house, multipart([fileOf(second), fileOf(anObject({ study: first.study }))]));
    expect(response.status).toBe(202);
    expect(await roles(first.sop)).toEqual(['current']);
    expect(await api('/conflicts?settled=all')).toEqual([]);
    const refusals = await eventually(async () => {
      const listed = await api('/refusals');
      return listed.length >= 2 ? listed : undefined;
    }, 'two refusals');
    for (const refusal of refusals) expect(refusal).toMatchObject({ sop: first.sop });
    expect(refusals[0].reason).toContain('SOPInstanceUID');
    await house.restart();
    expect(await roles(first.sop)).toEqual(['current']);
    expect(await currentIs(first)).toBe(true);
  });

  it.skipIf(!dcmtk)('in another transfer syntax is compared before a refusing house answers', async () => {
    house = await openHouse({ CONFLICT_POLICY: 'refuse' });
    const image = anImage({ colour: true });
    await send(image);
    const lossy = await converted(image, 'dcmcjpeg', ['+eb', '+un']);
    expect(await send(lossy)).toEqual([REFUSED]);
    expect(await roles(image.sop)).toEqual(['current']);
    // Its sender is answered, and then its bytes go.
    await eventually(
      async () => ((await rows('select 1 from removal')).length === 0 ? true : undefined),
      'the removal of its bytes',
    );
    expect(await rows('select 1 from conflict')).toEqual([]);
  });

  it('that was told Success before the policy became refuse is never dropped', async () => {
    house = await openHouse({ CONFLICT_POLICY: 'keep-first' });
    const [first, second] = pair();
    await send(first, second);
    await house.restart({ CONFLICT_POLICY: 'refuse' });
    expect(await send(second)).toEqual([SUCCESS]);
    expect(await roles(first.sop)).toEqual(['current', 'conflict']);
  });
});

describe.skipIf(!dcmtk)('a version that takes the place of another (dcmtk)', () => {
  it('is sent on, once; what was delivered of the older stays on record', async () => {
    const pacs = await startStoreScp({ aeTitle: 'PACS' });
    try {
      house = await openHouse({ CONFLICT_POLICY: 'replace' });
      const put = (where: string, body: object): Promise<Response> =>
        fetch(`${house.url}/api${where}`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
      await put('/destinations/pacs', { kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' });
      await put('/rules/all', { when: { Modality: 'CT' }, at: 'study-stable', send: ['pacs'] });
      const [first, second] = pair();
      const delivered = (times: number): Promise<unknown> =>
        eventually(async () => {
          const states = await rows('select i.state, i.content_hash from delivery_instance i order by i.id');
          return states.length === times && states.every(({ state }) => state === 'delivered')
            ? states
            : undefined;
        }, `delivery ${times}`);
      const received = async (): Promise<Buffer> => {
        const [file] = await pacs.received();
        const bytes = await readFile(file!);
        return bytes.subarray(readFileMeta(bytes).dataSetOffset);
      };
      await send(first);
      await delivered(1);
      expect((await received()).equals(first.dataSet)).toBe(true);
      await send(second, second);
      await delivered(2);
      expect((await received()).equals(second.dataSet)).toBe(true);
      expect(await pacs.received()).toHaveLength(1);
      const { steps } = await api(`/studies/${first.study}/timeline`);
      expect(steps.map(({ step }: { step: string }) => step)).toContain('instances-replaced');
    } finally {
      await pacs.stop();
    }
  });

  it('before the older was sent leaves one debt: the older is no longer owed', async () => {
    house = await openHouse({ CONFLICT_POLICY: 'replace' });
    const nowhere = { kind: 'dimse', host: '127.0.0.1', port: await freePort(), aeTitle: 'PACS' };
    for (const [where, body] of [
      ['/destinations/pacs', nowhere],
      ['/rules/all', { when: { Modality: 'CT' }, at: 'instance', send: ['pacs'] }],
    ] as const)
      await fetch(`${house.url}/api${where}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const [first, second] = pair();
    const owed = (hash: string): Promise<unknown> =>
      eventually(async () => {
        const debts = await rows("select encode(content_hash, 'hex') as hash from delivery_instance");
        return debts.length === 1 && debts[0]!.hash === hash ? true : undefined;
      }, 'the one debt');
    await send(first);
    await owed(first.contentHash);
    await send(second);
    await owed(second.contentHash);
  });
});

describe('a person', () => {
  const settle = (id: number, action: string, version?: string): Promise<Json> =>
    api(`/conflicts/${id}/${action}${version ? `?version=${version}` : ''}`, 'POST');

  it('keeps, makes current, turns back and drops; each twice changes nothing', async () => {
    house = await openHouse();
    const [first, second] = pair();
    await send(first, second);
    await compared();
    const [{ id }] = await api('/conflicts');
    const kept = await settle(id, 'keep');
    expect(kept).toMatchObject({ settlement: 'kept', settledBy: expect.any(String) });
    expect(await settle(id, 'keep')).toEqual(kept);
    expect(await changes('conflict-settled')).toBe(1);
    expect(await api('/conflicts')).toEqual([]);

    expect(await settle(id, 'make-current')).toMatchObject({ settlement: 'made-current' });
    await settle(id, 'make-current');
    expect(await currentIs(second)).toBe(true);
    expect(await changes('instance-replaced')).toBe(1);
    expect(await settle(id, 'make-current', first.contentHash)).toMatchObject({ settlement: 'kept' });
    expect(await currentIs(first)).toBe(true);

    expect(await settle(id, 'drop', first.contentHash)).toMatchObject({ error: 'conflict' });
    await inStore();
    expect(await settle(id, 'drop')).toMatchObject({ settlement: 'dropped' });
    expect(await settle(id, 'drop')).toMatchObject({ settlement: 'dropped' });
    expect(await roles(first.sop)).toEqual(['current']);
    expect(await currentIs(first)).toBe(true);
    const gone = await fetch(
      `${house.url}/api/instances/${first.sop}/original?version=${second.contentHash}`,
    );
    expect(gone.status).toBe(404);
    expect(await settle(id, 'make-current')).toMatchObject({ error: 'conflict' });
    // What was dropped is taken again like anything that comes for the first time.
    expect(await send(second)).toEqual([SUCCESS]);
    expect(await roles(first.sop)).toEqual(['current', 'conflict']);
    const back = await fetch(
      `${house.url}/api/instances/${first.sop}/original?version=${second.contentHash}`,
    );
    expect(back.status).toBe(200);
  });

  it('drops, and the same comes again before its bytes are removed: they stay', async () => {
    house = await openHouse();
    const [first, second] = pair();
    await send(first, second);
    await compared();
    await inStore();
    const { archive } = house.isocenter;
    const [{ id }] = await api('/conflicts');
    // As after a crash between the two: the row is gone, and the bytes are still to be removed.
    await settleConflict({ ...archive, removeBytes: async () => undefined }, id, {
      action: 'drop',
      actor: 'anna',
    });
    const [removal] = await rows('select key, dropped_by from removal');
    expect(removal).toMatchObject({ dropped_by: 'anna' });
    await send(second);
    await inStore();
    await archive.removeBytes(String(removal!.key));
    expect(await rows('select 1 from removal')).toEqual([]);
    const file = await fetch(
      `${house.url}/api/instances/${first.sop}/original?version=${second.contentHash}`,
    );
    const bytes = Buffer.from(await file.arrayBuffer());
    expect(bytes.subarray(readFileMeta(bytes).dataSetOffset).equals(second.dataSet)).toBe(true);
  });

  it('many at once, over and over, never lose the current version or its bytes', async () => {
    house = await openHouse();
    const first = anObject();
    const others = [1, 2, 3].map((pixels) => anObject({ ...first, pixels }));
    await send(first, ...others);
    await compared();
    const all = [first, ...others];
    const ids: number[] = (await api('/conflicts')).map((one: { id: number }) => one.id);
    for (let round = 0; round < 4; round++) {
      const calls = ids.flatMap((id, n) => [
        settle(id, 'drop'),
        settle(id, 'make-current'),
        settle(id, 'drop', all[(n + round) % all.length]!.contentHash),
        settle(id, 'keep'),
      ]);
      await Promise.all([...calls, send(...others), send(first)]);
      const found = await versions(first.sop);
      expect(found.filter(({ role }) => role === 'current')).toHaveLength(1);
      for (const { version } of found) {
        const sent = all.find(({ contentHash }) => contentHash === version)!;
        const file = await fetch(`${house.url}/api/instances/${first.sop}/original?version=${version}`);
        const bytes = Buffer.from(await file.arrayBuffer());
        expect(bytes.subarray(readFileMeta(bytes).dataSetOffset).equals(sent.dataSet)).toBe(true);
      }
    }
  });

  it('says that two patients of a study are one, once for all of their objects, now and later', async () => {
    house = await openHouse();
    const study = uid();
    await send(
      anObject({ study }),
      anObject({ study, patientId: 'P2' }),
      anObject({ study, patientId: 'P2' }),
    );
    const open = await api('/conflicts');
    expect(open.map(({ kind }: { kind: string }) => kind)).toEqual(['patient', 'patient']);
    expect(open[0].held).toContain('(0010,0020)');
    expect(await settle(open[0].id, 'release')).toMatchObject({
      settlement: 'released',
      studyReleased: true,
    });
    expect(await api('/conflicts')).toEqual([]);
    await send(anObject({ study, patientId: 'P2' }));
    expect(await api('/conflicts')).toEqual([]);
    expect(await rows('select instance_count, held from study')).toEqual([{ instance_count: 4, held: null }]);
  });

  it('shows both patients to the person who decides, and marks the study until then', async () => {
    house = await openHouse();
    const study = uid();
    await send(anObject({ study, birthDate: '19700101' }), anObject({ study, patientId: 'P2' }));
    const [{ id }] = await api('/conflicts');
    expect(JSON.stringify(await api(`/conflicts/${id}`))).not.toContain('P2');
    const asked = await api(`/conflicts/${id}?values=true`);
    const anna = { PatientName: [{ Alphabetic: 'Example^Anna' }], IssuerOfPatientID: null, PatientSex: null };
    expect(asked.patients).toEqual({
      study: { ...anna, PatientID: ['P1'], PatientBirthDate: ['19700101'] },
      came: { ...anna, PatientID: ['P2'], PatientBirthDate: null },
    });
    const [disclosure] = await api('/disclosures');
    expect(disclosure).toMatchObject({ study, detail: { action: 'conflict-values', conflict: id } });
    const found = async () => (await fetch(`${house.url}/dicom-web/studies`)).json();
    const mark = [
      { vr: 'LO', Value: ['ISOCENTER'] },
      { vr: 'LT', Value: [expect.stringContaining('(0010,0020) PatientID')] },
    ];
    const [held] = await found();
    expect([held['00090010'], held['00091001']]).toEqual(mark);
    await settle(id, 'release');
    const [released] = await found();
    expect(released).not.toHaveProperty('00091001');
    expect(released).not.toHaveProperty('00090010');
  });

  it('keeps another patient apart: the objects leave the study, stay stored, and so do later ones', async () => {
    house = await openHouse();
    const study = uid();
    const [own, stray, later] = [undefined, 'P2', 'P2'].map((patientId) =>
      anObject({ study, ...(patientId && { patientId }) }),
    ) as [AnObject, AnObject, AnObject];
    await send(own, stray);
    const [{ id }] = await api('/conflicts');
    expect(await settle(id, 'set-aside')).toMatchObject({ settlement: 'set-aside', studyReleased: true });
    expect(await settle(id, 'set-aside')).toMatchObject({ settlement: 'set-aside' });
    await send(later);
    expect(await rows('select instance_count, series_count, held from study')).toEqual([
      { instance_count: 1, series_count: 1, held: null },
    ]);
    for (const object of [stray, later]) {
      expect(await roles(object.sop)).toEqual(['conflict']);
      const file = await fetch(
        `${house.url}/api/instances/${object.sop}/original?version=${object.contentHash}`,
      );
      expect(file.status).toBe(200);
    }
    // The only copy is never dropped.
    expect(await settle(id, 'drop')).toMatchObject({ error: 'conflict' });
    expect(await changes('instance-removed')).toBe(1);
  });

  it('settles a whole study at once', async () => {
    house = await openHouse();
    const study = uid();
    const objects = [1, 2, 3].map(() => anObject({ study }));
    const others = objects.map((object) => anObject({ ...object, pixels: 9 }));
    await send(...objects, ...others);
    expect(await api(`/studies/${study}/conflicts/make-current`, 'POST')).toEqual({ settled: 3, left: [] });
    for (const other of others) expect(await currentIs(other)).toBe(true);
    expect(await api(`/studies/${study}/conflicts/make-current`, 'POST')).toEqual({ settled: 0, left: [] });
  });
});

describe('the same UID elsewhere', () => {
  it('SOP UID in a study that has nothing else: listed under both, held when it gets an instance, moved by a person', async () => {
    house = await openHouse();
    const first = anObject();
    const study = uid();
    const stray = anObject({ study, sop: first.sop, pixels: 3 });
    await send(first, stray);
    const [conflict] = await api(`/conflicts?study=${study}`);
    expect(conflict).toMatchObject({ kind: 'instance-series', otherStudy: first.study, held: null });
    expect(await api(`/conflicts?study=${first.study}`)).toHaveLength(1);
    expect(
      (await api(`/studies/${study}/timeline`)).steps.map(({ step }: { step: string }) => step),
    ).toContain('conflict');
    // The study that had it first is whole as it is and goes on.
    expect(await rows('select held from study where study_uid = $1', [first.study])).toEqual([
      { held: null },
    ]);
    await send(anObject({ study }));
    const [held] = await rows('select held from study where study_uid = $1', [study]);
    expect(held!.held).toContain('(0008,0018)');
    expect(await changes('study-held')).toBe(1);
    expect(await api(`/conflicts/${conflict.id}/make-current`, 'POST')).toMatchObject({
      settlement: 'made-current',
      studyReleased: true,
    });
    expect(await currentIs(stray)).toBe(true);
    expect(await rows('select study_uid, instance_count, series_count from study order by id')).toEqual([
      { study_uid: first.study, instance_count: 0, series_count: 0 },
      { study_uid: study, instance_count: 2, series_count: 2 },
    ]);
  });

  it('Series UID under another study: held; set aside, all of the series leaves', async () => {
    house = await openHouse();
    const first = anObject();
    const study = uid();
    const strays = [1, 2].map(() => anObject({ study, series: first.series }));
    await send(first, anObject({ study }), ...strays);
    const [conflict] = await api('/conflicts');
    expect(conflict).toMatchObject({ kind: 'series-study', study, otherStudy: first.study });
    expect(conflict.held).toContain('(0020,000E)');
    expect(await api(`/conflicts/${conflict.id}/set-aside`, 'POST')).toMatchObject({ studyReleased: true });
    expect(
      await rows('select instance_count, series_count from study where study_uid = $1', [study]),
    ).toEqual([{ instance_count: 1, series_count: 1 }]);
    for (const { sop } of strays) expect(await roles(sop)).toEqual(['conflict']);
  });
});
