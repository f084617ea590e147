/**
 * Ultrasound of three machines goes to research by one rule: native, RLE and baseline JPEG, each with its mask, to DCMTK
 * over DIMSE. What no mask is for waits until a person has looked at it. The archived objects stay as they were.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, JPEG_BASELINE, RLE_LOSSLESS } from '../../src/dicom/transfer-syntax.ts';
import { decodedPixel } from '../../src/pixels/decodable.ts';
import { createPixelWorkers, type PixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { imageOf } from '../pixels/image-file.ts';
import { valuesByPixel } from '../pixels/values.ts';
import { corpusFolder } from '../support/corpus.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { originalDataSet, type SentObject, sendObjects } from '../support/modality.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';

const NATIVE = 'dicom-test-files/data/pydicom/OBXXXX1A.dcm';
const RLE = 'dcm4che/dcm4che-test-data/src/main/resources/YBR_FULL-RLE.dcm';
const JPEG = 'pydicom/src/pydicom/data/test_files/examples_ybr_color.dcm';
const OTHER = 'dicom-test-files/data/WG04/REF/US1_UNC';
const BAR = 40;

interface Delivery {
  id: number;
  study: string;
  state: string;
  toLook: number;
  lastError: string | null;
}

describe.skipIf(!corpusFolder || !peer('dcmtk'))('masked ultrasound (needs dcmtk and the corpus)', () => {
  let house: House;
  let scp: StoreScp;
  let workers: PixelWorkers;
  const sent = new Map<string, SentObject>();

  beforeAll(async () => {
    house = await openHouse({
      DICOM_PROMISCUOUS: '1',
      DEIDENTIFY_KEY: 'a key of the test, long enough for it',
    });
    scp = await startStoreScp();
    workers = createPixelWorkers({ threads: 1 });
    await call('PUT', 'destinations/research', {
      kind: 'dimse',
      host: scp.host,
      port: scp.port,
      aeTitle: scp.aeTitle,
    });
    const bar = { regions: [{ edge: 'top', pixels: BAR }] };
    await call('PUT', 'rules/research', {
      when: { Modality: 'US' },
      send: ['research'],
      transform: [
        { deidentify: { retain: ['device'] } },
        {
          mask: [
            {
              when: { Rows: 600, Columns: 800, PhotometricInterpretation: 'PALETTE*' },
              ...bar,
              textFree: true,
            },
            { when: { Rows: [480, 240], PhotometricInterpretation: 'YBR*' }, ...bar },
          ],
        },
      ],
    });
    for (const file of [NATIVE, RLE, JPEG, OTHER]) sent.set(file, objectOf(file));
    const answers = await sendObjects(house, 'US1', [...sent.values()]);
    expect(answers.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
  });
  afterAll(async () => {
    await house?.close();
    await workers?.stop();
    await scp?.stop();
  });

  async function call(method: string, what: string, body?: object): Promise<unknown> {
    const response = await fetch(`${house.url}/api/${what}`, {
      method,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    expect(response.status, answer).toBeLessThan(300);
    return JSON.parse(answer);
  }
  const ended = (count: number, state: string): Promise<Delivery[]> =>
    eventually(
      async () => {
        const all = (await call('GET', 'deliveries')) as Delivery[];
        const there = all.filter((one) => one.state === state);
        return there.length === count ? there : undefined;
      },
      `${count} ${state}`,
      60_000,
    );
  const received = async (): Promise<Buffer[]> => (await scp.received()).map((file) => readFileSync(file));

  test('arrives blanked, in the stored compression or without one; the rest waits for a person', async () => {
    await ended(3, 'delivered');
    const [waiting] = await ended(1, 'parked');
    expect(waiting).toMatchObject({ toLook: 1, lastError: expect.stringContaining('a person has to look') });
    const files = await received();
    expect(files.map((file) => readFileMeta(file).transferSyntaxUid).sort()).toEqual(
      [EXPLICIT_LE, EXPLICIT_LE, RLE_LOSSLESS].sort(),
    );
    for (const file of files) {
      const { header, pixel, frameCount, frame } = imageOf(file);
      const now = decodedPixel(pixel);
      const source = frameCount === 30 ? JPEG : pixel.photometricInterpretation === 'YBR_FULL' ? RLE : NATIVE;
      const before = imageOf(path.join(corpusFolder!, source));
      for (const number of new Set([1, frameCount])) {
        const values = valuesByPixel(await workers.decode(pixel, await frame(number)), now);
        const others = valuesByPixel(
          await workers.decode(before.pixel, await before.frame(number)),
          decodedPixel(before.pixel),
        );
        const barEnd = BAR * pixel.columns * pixel.samplesPerPixel;
        const black = source === RLE ? [0, 128, 128] : [0];
        expect(
          Array.from(values).findIndex((value, at) => at < barEnd && value !== black[at % black.length]),
        ).toBe(-1);
        expect(Array.from(values).findIndex((value, at) => at >= barEnd && value !== others[at])).toBe(-1);
      }
      expect(text(header, '00280301')).toBe(source === NATIVE ? 'NO' : undefined);
      expect(text(header, '00282110')).toBe(source === JPEG ? '01' : text(before.header, '00282110'));
    }
  });

  test('goes when a person lets it; what is stored is what came', async () => {
    const [waiting] = await ended(1, 'parked');
    await call('POST', `deliveries/${waiting!.id}/instances/release`, {
      why: 'a heart, and nothing written',
    });
    await ended(4, 'delivered');
    expect(await received()).toHaveLength(4);
    for (const { declared, dataSet } of sent.values())
      expect((await originalDataSet(house, declared.sopInstanceUid)).equals(dataSet)).toBe(true);
    expect(readFileMeta(readFileSync(path.join(corpusFolder!, JPEG))).transferSyntaxUid).toBe(JPEG_BASELINE);
  });
});

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
