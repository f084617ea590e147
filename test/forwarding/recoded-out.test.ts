/**
 * Objects that leave in another compression than they are stored in, as the peers get them: because the peer does not
 * take the stored one, or because a rule says so. Through the whole house, from a modality to DCMTK and a folder.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DataSet, parseDataSet, text } from '../../src/dicom/data-set.ts';
import { textValues } from '../../src/dicom/data-set-values.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import {
  EXPLICIT_LE,
  IMPLICIT_LE,
  JPEG_2000,
  JPEG_2000_LOSSLESS,
  JPEG_BASELINE,
  JPEG_LOSSLESS_SV1,
  JPEG_LS_LOSSLESS,
  RLE_LOSSLESS,
} from '../../src/dicom/transfer-syntax.ts';
import { decodedPixel } from '../../src/pixels/decodable.ts';
import { createPixelWorkers, type PixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { imageOf } from '../pixels/image-file.ts';
import { byDcmtk, byGdcm } from '../pixels/other-decoder.ts';
import { furthest, valuesByPixel } from '../pixels/values.ts';
import { corpusFolder } from '../support/corpus.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { type SentObject, sendObjects } from '../support/modality.ts';
import { startOrthanc } from '../support/orthanc.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let house: House;
let root: TempFolder;
let workers: PixelWorkers;
let scp: StoreScp | undefined;

beforeEach(async () => {
  root = await tempFolder('recoded-out');
  house = await openHouse({ DICOM_PROMISCUOUS: '1', FOLDER_ROOT: root.path });
  workers = createPixelWorkers({ threads: 1 });
});
afterEach(async () => {
  await house.close();
  await workers.stop();
  await scp?.stop();
  scp = undefined;
  await root.remove();
});

const CT = 'pydicom/src/pydicom/data/test_files/CT_small.dcm';
const BASELINE = 'pydicom/src/pydicom/data/test_files/SC_rgb_dcmtk_+eb+cy+n2.dcm';
/** RLE, JPEG 2000 and JPEG-LS with frames, JPEG lossless of 8 bits in 16, baseline JPEG, HTJ2K, and what is native. */
const FILES = [
  'pydicom/src/pydicom/data/test_files/rtdose_rle_1frame.dcm',
  'dicom-test-files/data/pydicom/emri_small_jpeg_2k_lossless.dcm',
  'highdicom/data/test_files/sm_image_jpegls.dcm',
  'dcm4che/dcm4che-test-data/src/main/resources/MR-JPEGLosslessSV1.dcm',
  BASELINE,
  'synth/htj2k/us-rgb-lossless.dcm',
  CT,
];

function objectOf(file: string): SentObject {
  const bytes = readFileSync(path.join(corpusFolder ?? '', file));
  const meta = readFileMeta(bytes);
  const dataSet = bytes.subarray(meta.dataSetOffset);
  const header = parseDataSet(dataSet, meta.transferSyntaxUid, { stopAtPixelData: true });
  return {
    declared: {
      sopClassUid: text(header, '00080016')!,
      sopInstanceUid: text(header, '00080018')!,
      transferSyntaxUid: meta.transferSyntaxUid,
    },
    dataSet,
  };
}

async function put(what: string, body: object): Promise<void> {
  const response = await fetch(`${house.url}/api/${what}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status, await response.text()).toBeLessThan(300);
}

interface Delivery {
  id: number;
  state: string;
  lastError: string | null;
  total: number;
}

/** Until every delivery is at an end. */
async function delivered(count: number): Promise<Delivery[]> {
  return eventually(async () => {
    const list = (await (await fetch(`${house.url}/api/deliveries`)).json()) as Delivery[];
    const ended = list.filter(({ state }) => state === 'delivered' || state === 'parked');
    return ended.length === count ? ended : undefined;
  }, `${count} deliveries`);
}

/** Of all frames. */
async function valuesOf(file: Buffer): Promise<ArrayLike<number>> {
  const image = imageOf(file);
  const values: number[] = [];
  for (let number = 1; number <= image.frameCount; number++) {
    const samples = await workers.decode(image.pixel, await image.frame(number));
    for (const value of Array.from(valuesByPixel(samples, decodedPixel(image.pixel)))) values.push(value);
  }
  return values;
}

const original = (file: string): Buffer => readFileSync(path.join(corpusFolder ?? '', file));

function dataSetOf(file: Buffer): DataSet {
  const meta = readFileMeta(file);
  return parseDataSet(file.subarray(meta.dataSetOffset), meta.transferSyntaxUid);
}

function texts(dataSet: DataSet, tag: string): string[] | undefined {
  const element = dataSet.elements.get(tag);
  return element && textValues(dataSet, element);
}

function filesBelow(where: string): Buffer[] {
  return readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.dcm'))
    .map((entry) => readFileSync(path.join(entry.parentPath, entry.name)));
}

describe.skipIf(!peer('dcmtk') || !corpusFolder)('to DCMTK storescp (needs dcmtk, corpus)', () => {
  async function pacs(...extraArgs: string[]): Promise<StoreScp> {
    scp = await startStoreScp({ extraArgs });
    await put('destinations/pacs', { kind: 'dimse', host: scp.host, port: scp.port, aeTitle: scp.aeTitle });
    return scp;
  }

  const received = async (): Promise<Map<string, Buffer>> =>
    new Map(
      (await scp!.received()).map((file) => {
        const bytes = readFileSync(file);
        return [text(dataSetOf(bytes), '00080018')!, bytes];
      }),
    );

  test('that takes Implicit VR Little Endian alone everything comes decompressed, with its pixels', async () => {
    await pacs('+xi');
    await put('rules/all', { send: ['pacs'], at: 'instance' });
    for (const file of FILES) {
      const sent = objectOf(file);
      expect(await sendObjects(house, 'CT1', [sent])).toMatchObject([{ status: 0 }]);
      const deliveries = await delivered(FILES.indexOf(file) + 1);
      expect(deliveries.map(({ state, lastError }) => [state, lastError])).toEqual(
        deliveries.map(() => ['delivered', null]),
      );
      const got = (await received()).get(sent.declared.sopInstanceUid)!;
      expect(readFileMeta(got).transferSyntaxUid).toBe(IMPLICIT_LE);
      expect(furthest(await valuesOf(got), await valuesOf(original(file))), file).toBe(0);
      if (file === BASELINE) {
        expect(text(dataSetOf(got), '00280004')).toBe('RGB');
        expect(texts(dataSetOf(got), '00282110')).toEqual(['01']);
      }
    }
  });

  test('a rule compresses with loss: another instance, made of the stored one, whose UID the ledger keeps', async () => {
    await pacs();
    await put('rules/all', {
      send: ['pacs'],
      at: 'instance',
      transform: [{ transcode: { to: 'JPEG2000', ratio: 8 } }],
    });
    const sent = objectOf(CT);
    await sendObjects(house, 'CT1', [sent]);
    const [delivery] = await delivered(1);
    expect(delivery).toMatchObject({ state: 'delivered' });
    const [[uid, file] = []] = [...(await received())];
    expect(readFileMeta(file!).transferSyntaxUid).toBe(JPEG_2000);
    const dataSet = dataSetOf(file!);
    expect(uid).not.toBe(sent.declared.sopInstanceUid);
    expect(uid).toMatch(/^2\.25\.\d+$/);
    expect(texts(dataSet, '00080008')?.[0]).toBe('DERIVED');
    expect(texts(dataSet, '00282110')).toEqual(['01']);
    expect(texts(dataSet, '00282114')).toEqual(['ISO_15444_1']);
    const [ratio] = texts(dataSet, '00282112') ?? [];
    expect(Number(ratio)).toBeGreaterThan(6);
    const [source] = dataSet.elements.get('00082112')!.items!;
    expect(text(source!, '00081155')).toBe(sent.declared.sopInstanceUid);
    expect(furthest(await valuesOf(file!), await valuesOf(original(CT)))).toBeLessThan(400);
    const { rows } = await house.isocenter.archive.database.query<{ sent_sop_uid: string }>(
      'select sent_sop_uid from delivery_instance',
    );
    expect(rows).toEqual([{ sent_sop_uid: uid }]);
    // The archived object is as it was.
    const stored = await fetch(`${house.url}/api/instances/${sent.declared.sopInstanceUid}/original`);
    const bytes = Buffer.from(await stored.arrayBuffer());
    expect(bytes.subarray(readFileMeta(bytes).dataSetOffset).equals(sent.dataSet)).toBe(true);
  });

  test.each([
    ['RLELossless', RLE_LOSSLESS],
    ['JPEGLosslessSV1', JPEG_LOSSLESS_SV1],
    ['JPEGLSLossless', JPEG_LS_LOSSLESS],
    ['JPEG2000Lossless', JPEG_2000_LOSSLESS],
  ])('a rule sends in %s, the same pixels under the same UID', async (to, uid) => {
    await pacs();
    await put('rules/all', { send: ['pacs'], at: 'instance', transform: [{ transcode: { to } }] });
    const file = CT;
    const sent = objectOf(file);
    await sendObjects(house, 'CT1', [sent]);
    expect(await delivered(1)).toMatchObject([{ state: 'delivered' }]);
    const got = (await received()).get(sent.declared.sopInstanceUid)!;
    expect(readFileMeta(got).transferSyntaxUid).toBe(uid);
    expect(text(dataSetOf(got), '00282110')).toBeUndefined();
    expect(furthest(await valuesOf(got), await valuesOf(original(file)))).toBe(0);
  });

  const JPLL = 'dicom-test-files/data/WG04/JPLL/MR4_JPLL';
  const JLSL = 'dicom-test-files/data/WG04/JLSL/MR4_JLSL';
  const RLE = 'dicom-test-files/data/WG04/RLE/CT1_RLE';
  test.skipIf(!peer('gdcm')).each([
    ['+xs', JPEG_LOSSLESS_SV1, JLSL, RLE],
    ['+xr', RLE_LOSSLESS, JLSL, JPLL],
    ['+xt', JPEG_LS_LOSSLESS, JPLL, RLE],
    ['+xv', JPEG_2000_LOSSLESS, JPLL, RLE],
  ])(
    'that takes %s and no other compression everything comes so, if it is asked for (needs gdcm)',
    async (option, syntax, one, other) => {
      const { host, port, aeTitle } = await pacs(option);
      const dimse = { kind: 'dimse', host, port, aeTitle };
      await put('destinations/named', { ...dimse, transferSyntaxes: [syntax] });
      let count = 0;
      const sent = async (file: string, rule: object): Promise<Delivery> => {
        await put('rules/all', { at: 'instance', ...rule });
        const before = new Set((await delivered(count)).map(({ id }) => id));
        await sendObjects(house, 'CT1', [objectOf(file)]);
        return (await delivered(++count)).find(({ id }) => !before.has(id))!;
      };
      const comes = async (file: string, as: string): Promise<void> => {
        const got = (await received()).get(objectOf(file).declared.sopInstanceUid)!;
        expect(readFileMeta(got).transferSyntaxUid, file).toBe(as);
        expect(text(dataSetOf(got), '00282110'), file).toBe(text(dataSetOf(original(file)), '00282110'));
        expect(furthest(await valuesByOthers(got), await valuesByOthers(original(file))), file).toBe(0);
      };
      const so = (otherwise: string, to = syntax): object => ({
        transform: [{ transcode: { to, otherwise } }],
      });

      // The destination names it; a rule asks for it; nobody does, and the peer takes no other compression.
      expect(await sent(CT, { send: ['named'] })).toMatchObject({ state: 'delivered', lastError: null });
      await comes(CT, syntax);
      expect(await sent(one, { send: ['pacs'], ...so('refuse') })).toMatchObject({ state: 'delivered' });
      await comes(one, syntax);
      expect(await sent(other, { send: ['pacs'] })).toMatchObject({ state: 'delivered' });
      await comes(other, EXPLICIT_LE);

      const refused = await sent(FILES[5]!, { send: ['pacs'], ...so('refuse', 'HTJ2KLosslessRPCL') });
      expect(refused.state).toBe('parked');
      expect(refused.lastError).toMatch(/the peer does not take .*High-Throughput JPEG 2000/);
      const elsewhere = { ...dimse, transferSyntaxes: [JPEG_BASELINE] };
      await put('destinations/named', elsewhere);
      const unnamed = await sent(FILES[1]!, { send: ['named'] });
      expect(unnamed.state).toBe('parked');
      expect(unnamed.lastError).toMatch(
        /it is stored in JPEG 2000 .* is not among the transferSyntaxes of named .*: no rule says how much may be lost$/,
      );
    },
    60_000,
  );

  test('frames that do not decode leave as they are stored where the rule lets them, never where it masks', async () => {
    await pacs();
    const transcode = { to: 'JPEG2000', ratio: 8 };
    const mask = { regions: [{ edge: 'top', pixels: 9 }] };
    const rule = (transform: object[]): object => ({ send: ['pacs'], at: 'instance', transform });
    await put('rules/a', rule([{ transcode }]));
    await put('rules/b', rule([{ transcode: { ...transcode, otherwise: 'refuse' } }]));
    await put('rules/c', rule([{ mask }, { transcode }]));
    const { declared, dataSet } = objectOf(RLE);
    const scan = new HeaderScan(RLE_LOSSLESS);
    scan.push(dataSet);
    // More segments than there can be (PS3.5 G.5).
    dataSet.writeUInt32LE(999, scan.end().pixelData!.fragments!.offsets.at(-1)!);
    await sendObjects(house, 'CT1', [{ declared, dataSet }]);
    const list = await delivered(3);
    expect(list.map(({ state }) => state).sort()).toEqual(['delivered', 'parked', 'parked']);
    for (const { state, lastError } of list)
      if (state === 'parked') expect(lastError).toMatch(/it cannot be sent in JPEG 2000.*: /);
    const [[uid, file] = [], ...others] = [...(await received())];
    expect(others).toHaveLength(0);
    expect(uid).toBe(declared.sopInstanceUid);
    expect(readFileMeta(file!).transferSyntaxUid).toBe(RLE_LOSSLESS);
    expect(imageOf(file!).pixel).toEqual(imageOf(original(RLE)).pixel);
    const { rows } = await house.isocenter.archive.database.query<{ sent_sop_uid: string | null }>(
      "select sent_sop_uid from delivery_instance where state = 'delivered'",
    );
    expect(rows).toEqual([{ sent_sop_uid: null }]);
  });

  test('what the peer does not take goes as it is stored, or not at all where the rule says so', async () => {
    await pacs('+xi');
    const transcode = { to: 'JPEG2000Lossless' };
    await put('rules/a', { send: ['pacs'], at: 'instance', transform: [{ transcode }] });
    await put('rules/b', {
      send: ['pacs'],
      at: 'instance',
      transform: [{ transcode: { ...transcode, otherwise: 'refuse' } }],
    });
    await sendObjects(house, 'CT1', [objectOf(CT)]);
    const list = await delivered(2);
    expect(list.map(({ state }) => state).sort()).toEqual(['delivered', 'parked']);
    expect(list.find(({ state }) => state === 'parked')!.lastError).toMatch(
      /the peer does not take .*JPEG 2000/,
    );
  });
});

/** As DCMTK decodes it, or GDCM, for JPEG 2000, which DCMTK does not. */
async function valuesByOthers(file: Buffer): Promise<ArrayLike<number>> {
  const where = path.join(root.path, 'to-decode.dcm');
  writeFileSync(where, file);
  const { transferSyntaxUid } = readFileMeta(file);
  const decoded =
    transferSyntaxUid === JPEG_2000_LOSSLESS
      ? await byGdcm(where, root.path)
      : await byDcmtk(where, transferSyntaxUid, root.path);
  return valuesOf(decoded!);
}

describe.skipIf(!peer('orthanc') || !corpusFolder)('to Orthanc (needs orthanc, corpus)', () => {
  test('what a destination names is compressed to without a rule, by DIMSE; by STOW-RS a rule does it', async () => {
    const orthanc = await startOrthanc();
    try {
      await put('destinations/dimse', {
        kind: 'dimse',
        host: orthanc.host,
        port: orthanc.dicomPort,
        aeTitle: orthanc.aeTitle,
        transferSyntaxes: [JPEG_LS_LOSSLESS, IMPLICIT_LE],
      });
      await put('destinations/stow', { kind: 'stow', url: orthanc.dicomWebUrl });
      const SR = 'cornerstone-wado/testImages/no-pixel-data.dcm';
      const transform = [{ transcode: { to: 'JPEG2000', ratio: 5, otherwise: 'refuse' } }];
      await put('rules/a', { send: ['dimse'], at: 'instance' });
      await put('rules/b', { send: ['stow'], at: 'instance', transform });
      await sendObjects(house, 'CT1', [objectOf(CT), objectOf(SR)]);
      expect((await delivered(4)).map(({ state, lastError }) => [state, lastError])).toEqual(
        Array.from({ length: 4 }, () => ['delivered', null]),
      );
      const files = new Map<string, Buffer>();
      for (const id of (await orthanc.get('/instances')) as string[]) {
        const file = await fetch(`${orthanc.url}/instances/${id}/file`);
        const bytes = Buffer.from(await file.arrayBuffer());
        files.set(`${readFileMeta(bytes).transferSyntaxUid} ${text(dataSetOf(bytes), '00080060')}`, bytes);
      }
      // The report, which both ways give alike but for its encoding, is one instance there.
      expect([...files.keys()].filter((key) => key.endsWith('CT')).sort()).toEqual([
        `${JPEG_LS_LOSSLESS} CT`,
        `${JPEG_2000} CT`,
      ]);
      expect(
        furthest(await valuesOf(files.get(`${JPEG_LS_LOSSLESS} CT`)!), await valuesOf(original(CT))),
      ).toBe(0);
      expect([...files.keys()].filter((key) => key.endsWith('SR'))).toHaveLength(1);
    } finally {
      await orthanc.stop();
    }
  });
});

describe.skipIf(!corpusFolder)('to a folder (needs corpus)', () => {
  test('a rule compresses with loss; what cannot be is told in words, or goes as it is', async () => {
    await put('destinations/out', { kind: 'folder', path: 'out' });
    await put('destinations/strict', { kind: 'folder', path: 'strict' });
    const transcode = { to: 'JPEGBaseline8Bit', quality: 80 };
    await put('rules/a', { send: ['out'], at: 'instance', transform: [{ transcode }] });
    await put('rules/b', {
      send: ['strict'],
      at: 'instance',
      transform: [{ transcode: { ...transcode, otherwise: 'refuse' } }],
    });
    await sendObjects(house, 'CT1', [objectOf(CT)]);
    const list = await delivered(2);
    expect(list.map(({ state }) => state).sort()).toEqual(['delivered', 'parked']);
    expect(list.find(({ state }) => state === 'parked')!.lastError).toMatch(
      /it cannot be sent in JPEG Baseline.*: it is made of 8 bits, unsigned, only/,
    );
    const [file] = filesBelow(path.join(root.path, 'out'));
    expect(readFileMeta(file!).transferSyntaxUid).toBe(EXPLICIT_LE);
  });
});

describe('a rule is refused', () => {
  test.each([
    [{ to: 'JPEG3000' }, /"JPEG3000" is no transfer syntax that objects are changed to; these are /],
    [{ to: 'JPEG2000' }, /JPEG2000 loses information; how much is said by "ratio"/],
    [{ to: JPEG_BASELINE, ratio: 4 }, /"ratio" says nothing of JPEGBaseline8Bit; .* "quality"/],
    [{ to: 'RLELossless', quality: 4 }, /RLELossless loses nothing, so "quality" says nothing of it/],
  ])('for %j', async (transcode, words) => {
    await put('destinations/out', { kind: 'folder', path: 'out' });
    const response = await fetch(`${house.url}/api/rules/a`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ send: ['out'], transform: [{ transcode }] }),
    });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { message: string }).message).toMatch(words);
  });
});
