/**
 * One study, all the way: a modality sends a CT; the archive keeps and indexes it; DICOMweb and the viewer show it;
 * a PACS gets it byte for byte; the EHR holds one valid ImagingStudy, also after the study is sent twice more.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { openBrowser } from '../support/chromium.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { type FhirPeer, startFhirPeer } from '../support/fhir-peer.ts';
import { validateFhir } from '../support/fhir-validate.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');
const chromium = peer('chromium');
const STUDY = '1.3.46.670589.33.1.27492712521914879309.27169771283235650014';

type Json = Record<string, { Value?: unknown[] }>;

describe.skipIf(!dcmtk || !corpusFolder)('one study, all the way (dcmtk, corpus)', () => {
  let house: House;
  let pacs: StoreScp;
  let ehr: FhirPeer;
  const folder = path.join(corpusFolder ?? '', 'dcm_qa_ct');

  const json = async <T>(where: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${house.url}${where}`, init);
    if (!response.ok) throw new Error(`${where}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const put = (where: string, body: unknown): Promise<unknown> =>
    json(where, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const send = () =>
    run(dcmtk!.storescu!, ['-aec', 'ISOCENTER', '127.0.0.1', String(house.dicomPort), '+sd', '+r', folder], {
      env: { ...process.env, TCP_NODELAY: '1' },
    });
  const imagingStudies = () => ehr.search('ImagingStudy', { identifier: `urn:dicom:uid|urn:oid:${STUDY}` });

  beforeAll(async () => {
    [pacs, ehr] = await Promise.all([startStoreScp({ aeTitle: 'PACS' }), startFhirPeer()]);
    await ehr.create({
      resourceType: 'Patient',
      identifier: [{ system: 'http://hospital.example/patients', value: 'PLASTIC' }],
    });
    house = await openHouse({
      FHIR_BASE_URL: ehr.url,
      FHIR_PATIENT_SYSTEM: 'http://hospital.example/patients',
      PUBLIC_URL: 'http://127.0.0.1:8080',
    });
    await put('/api/destinations/pacs', {
      kind: 'dimse',
      host: '127.0.0.1',
      port: pacs.port,
      aeTitle: 'PACS',
    });
    await put('/api/rules/ct-to-pacs', { when: { Modality: 'CT' }, at: 'study-stable', send: ['pacs'] });
    await send();
  });
  afterAll(async () => {
    await house?.close();
    await pacs?.stop();
    await ehr?.stop();
  });

  it('is listed by QIDO as 29 instances in two series', async () => {
    const studies = await json<Json[]>(`/dicom-web/studies?StudyInstanceUID=${STUDY}`);
    expect(studies.map((study) => [study['00201206']?.Value, study['00201208']?.Value])).toEqual([
      [[2], [29]],
    ]);
    const series = await json<Json[]>(`/dicom-web/studies/${STUDY}/series`);
    expect(series.map((one) => one['00201209']?.Value?.[0]).sort()).toEqual([1, 28]);
  });

  it('gives back frames that equal the pixels of the source', async () => {
    const instances = await json<Json[]>(`/dicom-web/studies/${STUDY}/instances?limit=100`);
    expect(instances).toHaveLength(29);
    const files = new Map(
      corpusIndex()
        .filter((row) => row.file?.startsWith('dcm_qa_ct/'))
        .map((row) => [row.sop_uid, row.file!]),
    );
    for (const instance of instances) {
      const [series, sop] = ['0020000E', '00080018'].map((tag) => String(instance[tag]?.Value?.[0]));
      const response = await fetch(
        `${house.url}/dicom-web/studies/${STUDY}/series/${series}/instances/${sop}/frames/1`,
        { headers: { accept: 'application/octet-stream; transfer-syntax=*' } },
      );
      const frame = Buffer.from(await response.arrayBuffer());
      // Native pixels are the last element of these files: an independent way to find them.
      const source = await readFile(path.join(corpusFolder!, files.get(sop!)!));
      const at = source.lastIndexOf(Buffer.from([0xe0, 0x7f, 0x10, 0x00]));
      const pixels = source.subarray(
        source.length - source.readUInt32LE(at + (source[at + 4]! > 64 && source[at + 4]! < 91 ? 8 : 4)),
      );
      expect(frame.equals(pixels), `frame of ${sop}`).toBe(true);
    }
  });

  it('reaches the PACS as 29 objects whose data sets equal the stored originals byte for byte', async () => {
    const received = await eventually(async () => {
      const files = await pacs.received();
      return files.length === 29 ? files : undefined;
    }, '29 objects at the PACS');
    const [delivery] = await eventually(async () => {
      const found = await json<{ state: string; total: number; delivered: number }[]>(
        `/api/deliveries?study=${STUDY}`,
      );
      return found[0]?.state === 'delivered' ? found : undefined;
    }, 'the delivery');
    expect(delivery).toMatchObject({ destination: 'pacs', total: 29, delivered: 29, failed: 0 });
    for (const file of received) {
      const got = await readFile(file);
      const sop = path.basename(file).replace(/^[A-Z]+\./, '');
      const stored = Buffer.from(
        await (await fetch(`${house.url}/api/instances/${sop}/original`)).arrayBuffer(),
      );
      const gotSet = got.subarray(readFileMeta(got).dataSetOffset);
      expect(gotSet.equals(stored.subarray(readFileMeta(stored).dataSetOffset)), sop).toBe(true);
    }
  });

  it('is one valid ImagingStudy in the EHR, with its series, counts, subject and endpoint', async () => {
    const [study] = await eventually(async () => {
      const found = await imagingStudies();
      return found.length > 0 ? found : undefined;
    }, 'the ImagingStudy');
    expect(validateFhir(study)).toEqual([]);
    expect(study).toMatchObject({ status: 'available', numberOfSeries: 2, numberOfInstances: 29 });
    const endpoint = (study!.endpoint as { reference: string }[])[0]!.reference;
    expect(await ehr.get(endpoint)).toMatchObject({ address: 'http://127.0.0.1:8080/dicom-web' });
  });

  it('changes nothing anywhere when it is sent twice more', async () => {
    const before = (await imagingStudies())[0]!;
    await send();
    await send();
    // Long enough for a wrong second stability, delivery or version to show: the feed is followed to its end.
    await eventually(async () => {
      const { rows } = await house.db.database.query<{ n: number }>(
        'select count(*) as n from study where stable_version is distinct from version',
      );
      return rows[0]!.n === 0 ? true : undefined;
    }, 'stability');
    await house.restart();
    const after = await imagingStudies();
    expect(after).toHaveLength(1);
    expect(after[0]!.meta?.versionId).toBe(before.meta?.versionId);
    const deliveries = await json<{ total: number; delivered: number }[]>(`/api/deliveries?study=${STUDY}`);
    expect(deliveries).toMatchObject([{ total: 29, delivered: 29 }]);
    const { rows } = await house.db.database.query('select count(*) as n from conflict');
    expect(rows).toEqual([{ n: 0 }]);
  });

  it('tells its whole story in the timeline, without the patient', async () => {
    const timeline = await json<{ events?: unknown[] } | unknown[]>(`/api/studies/${STUDY}/timeline`);
    const text = JSON.stringify(timeline);
    for (const word of ['STORESCU', 'stable', 'ct-to-pacs', 'pacs', 'ImagingStudy'])
      expect(text).toContain(word);
    expect(text).not.toContain('PLASTIC');
  });

  describe.skipIf(!chromium)('in Chromium (chromium)', () => {
    it('stands in the study list and shows its images', async () => {
      const browser = await openBrowser();
      try {
        const { page, complaints, close } = await browser.open(house.url, '/', { width: 1440, height: 900 });
        await page.getByText('HEAD', { exact: false }).first().waitFor();
        await page.goto(`${house.url}/viewer?study=${STUDY}`);
        const canvas = page.locator('canvas').first();
        await canvas.waitFor();
        const shades = await eventually(async () => {
          const counted = await canvas.evaluate((element) => {
            const copy = document.createElement('canvas');
            const source = element as HTMLCanvasElement;
            copy.width = source.width;
            copy.height = source.height;
            const context = copy.getContext('2d')!;
            context.drawImage(source, 0, 0);
            const { data } = context.getImageData(0, 0, copy.width, copy.height);
            const seen = new Set<number>();
            for (let at = 0; at < data.length; at += 4) seen.add(data[at]!);
            return seen.size;
          });
          return counted > 40 ? counted : undefined;
        }, 'a picture with more than 40 shades of grey');
        expect(shades).toBeGreaterThan(40);
        const screenshot = process.env.SCREENSHOT_FOLDER;
        if (screenshot) await page.screenshot({ path: path.join(screenshot, 'viewer.png') });
        expect(complaints()).toEqual([]);
        await close();
      } finally {
        await browser.close();
      }
    });
  });
});
