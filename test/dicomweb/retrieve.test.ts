/** WADO-RS of instances and metadata, and the stored originals, over the real archive. */
import { readdirSync, readlinkSync } from 'node:fs';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { element, item, uint16 } from '../dicom/elements.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { dicomwebClient, get, getJson, getParts, type Json, refusal, stow, value } from './door.ts';
import { EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, madeObject, RAMP } from './made-object.ts';

const JPEG_LS = '1.2.840.10008.1.2.4.80';
const DICOM = 'multipart/related; type="application/dicom"';
const ANY_DICOM = `${DICOM}; transfer-syntax=*`;
/** A value long enough to go by BulkDataURI. */
const LONG = Buffer.alloc(3000, 7);
/** A document long enough to be stepped over: its header is read in pieces. */
const DOCUMENT = Buffer.from(Uint8Array.from({ length: 5_000_000 }, (_, index) => index * 31));

const explicit = madeObject({
  study: '6.1',
  series: '6.1.1',
  instance: '6.1.9.1',
  elements: [
    ['00090010', 'LO', 'MADE'],
    ['00091001', 'OB', LONG],
    ['00200013', 'IS', '2'],
  ],
});
const implicit = madeObject({
  study: '6.1',
  series: '6.1.1',
  instance: '6.1.9.2',
  transferSyntax: IMPLICIT_LE,
});
const bigEndian = madeObject({
  study: '6.1',
  series: '6.1.2',
  instance: '6.1.9.3',
  transferSyntax: EXPLICIT_BE,
});
const encapsulated = madeObject({
  study: '6.2',
  series: '6.2.1',
  instance: '6.2.9.1',
  transferSyntax: JPEG_LS,
  fragments: [Buffer.alloc(0), Buffer.from('not really JPEG-LS')],
});
const document = madeObject({
  study: '6.3',
  series: '6.3.1',
  instance: '6.3.9.1',
  without: ['7FE00010', '00280010', '00280011'],
  elements: [
    ['00420011', 'OB', DOCUMENT],
    ['00420012', 'LO', 'application/pdf '],
    ['00420010', 'ST', 'Ärztlicher Bericht'],
  ],
});

let house: House;
let base: string;
beforeAll(async () => {
  house = await openHouse();
  base = `${house.url}/dicom-web`;
  const files = [explicit, implicit, bigEndian, encapsulated, document];
  const { status, json } = await stow(house.url, files);
  if (status !== 200) throw new Error(`STOW: ${status} ${JSON.stringify(json)}`);
});
afterAll(() => house?.close());

const instance = (study: string, series: string, sop: string): string =>
  `${base}/studies/${study}/series/${series}/instances/${sop}`;
const dataSetOf = (file: Buffer): Buffer => file.subarray(file.indexOf(Buffer.from([8, 0, 5, 0])));

describe('instances', () => {
  it('leave as they are stored, and as the original is', async () => {
    const original = await get(`${house.url}/api/instances/6.1.9.1/original`);
    expect(dataSetOf(original.bytes).equals(dataSetOf(explicit))).toBe(true);
    const [part] = await getParts(instance('6.1', '6.1.1', '6.1.9.1'), DICOM);
    expect(part?.type).toBe(`application/dicom; transfer-syntax=${EXPLICIT_LE}`);
    expect(part?.body.equals(original.bytes)).toBe(true);
  });

  it('leave without multipart where that is asked for', async () => {
    const { type, bytes, headers } = await get(instance('6.1', '6.1.1', '6.1.9.1'), 'application/dicom');
    expect(type).toBe(`application/dicom; transfer-syntax=${EXPLICIT_LE}`);
    expect(Number(headers.get('content-length'))).toBe(bytes.length);
    expect(dataSetOf(bytes).equals(dataSetOf(explicit))).toBe(true);
  });

  it('of a study come all, each in a part that says its transfer syntax', async () => {
    const parts = await getParts(`${base}/studies/6.1`, `${DICOM}; transfer-syntax=*`);
    expect(parts).toHaveLength(3);
    expect(new Set(parts.map((part) => part.type))).toEqual(
      new Set([`application/dicom; transfer-syntax=${EXPLICIT_LE}`]),
    );
    expect(await getParts(`${base}/studies/6.1/series/6.1.2`, DICOM)).toHaveLength(1);
  });

  it.each([
    ['Implicit VR', '6.1.1', '6.1.9.2'],
    ['Big Endian', '6.1.2', '6.1.9.3'],
  ])('of %s leave in Explicit VR Little Endian, value for value', async (_name, series, sop) => {
    const [part] = await getParts(instance('6.1', series, sop), `${DICOM}; transfer-syntax=*`);
    const dataSet = dataSetOf(part!.body);
    const rows = element('00280010', 'US', uint16(4));
    expect(dataSet.includes(rows)).toBe(true);
    const pixels = element('7FE00010', 'OW', RAMP);
    expect(dataSet.subarray(-pixels.length).equals(pixels)).toBe(true);
    expect(part!.body.toString('latin1', 0, 400)).toContain(`${EXPLICIT_LE}\0`);
  });

  it('that are compressed leave as stored where that is taken, and where they do not decode', async () => {
    const url = instance('6.2', '6.2.1', '6.2.9.1');
    for (const syntax of ['*', JPEG_LS]) {
      const [part] = await getParts(url, `${DICOM}; transfer-syntax=${syntax}`);
      expect(part?.type).toContain(JPEG_LS);
      expect(dataSetOf(part!.body).equals(dataSetOf(encapsulated))).toBe(true);
    }
    expect(
      await refusal(url, { headers: { Accept: `${DICOM}; transfer-syntax=1.2.840.10008.1.2.4.90` } }),
    ).toMatchObject({ status: 406, message: expect.stringContaining(JPEG_LS) });
    // Who names no transfer syntax gets what there is (PS3.18 8.7.3.4); who names one does not get another.
    const [part] = await getParts(url, DICOM);
    expect(part?.type).toContain(JPEG_LS);
    const whole = await get(url, 'application/dicom');
    expect(whole.type).toBe(`application/dicom; transfer-syntax=${JPEG_LS}`);
    expect(Number(whole.headers.get('content-length'))).toBe(whole.bytes.length);
    expect(
      [part, { body: whole.bytes }].every((one) => dataSetOf(one!.body).equals(dataSetOf(encapsulated))),
    ).toBe(true);
    const head = await fetch(url, { method: 'HEAD', headers: { Accept: 'application/dicom' } });
    expect(head.headers.get('content-type')).toBe(whole.type);
    for (const accept of [DICOM, 'application/dicom'])
      expect(
        await refusal(url, { headers: { Accept: `${accept}; transfer-syntax=${EXPLICIT_LE}` } }),
      ).toMatchObject({
        status: 406,
        message: expect.stringContaining('no codestream of its transfer syntax'),
      });
  });

  it('reach dicomweb-client', async () => {
    const client = dicomwebClient(house.url);
    const one = await client.retrieveInstance({
      studyInstanceUID: '6.1',
      seriesInstanceUID: '6.1.1',
      sopInstanceUID: '6.1.9.1',
    });
    expect(dataSetOf(Buffer.from(one as ArrayBuffer)).equals(dataSetOf(explicit))).toBe(true);
    expect(await client.retrieveStudy({ studyInstanceUID: '6.1' })).toHaveLength(3);
    expect(
      await client.retrieveSeriesMetadata({ studyInstanceUID: '6.1', seriesInstanceUID: '6.1.1' }),
    ).toHaveLength(2);
  });
});

describe('metadata', () => {
  it('come in the order of the instances, at three levels', async () => {
    const names = async (url: string) =>
      (await getJson(`${url}/metadata`)).json.map((json) => value(json, '00080018'));
    expect(await names(`${base}/studies/6.1/series/6.1.1`)).toEqual(['6.1.9.2', '6.1.9.1']);
    expect(await names(`${base}/studies/6.1`)).toEqual(['6.1.9.2', '6.1.9.1', '6.1.9.3']);
    expect(await names(instance('6.1', '6.1.2', '6.1.9.3'))).toEqual(['6.1.9.3']);
  });

  it('hold the whole header, whatever its encoding, and say where the rest is', async () => {
    const { json, headers } = await getJson(`${base}/studies/6.1/metadata`);
    expect(headers.get('content-type')).toContain('application/dicom+json');
    for (const object of json) {
      expect(object).toMatchObject({
        '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Doe^Jane' }] },
        '00280010': { vr: 'US', Value: [4] },
        '7FE00010': { vr: 'OW', BulkDataURI: expect.stringMatching(/\/bulkdata\/7FE00010$/) },
      });
      const pixels = await get(String(object['7FE00010']?.BulkDataURI), 'application/octet-stream');
      expect(pixels.bytes.equals(RAMP)).toBe(true);
    }
    const [long] = json.filter((object) => '00091001' in object);
    const [part] = await getParts(
      String(long?.['00091001']?.BulkDataURI),
      'multipart/related; type="application/octet-stream"',
    );
    expect(part?.body.equals(LONG)).toBe(true);
  });

  it('step over a long document and read what stands behind it', async () => {
    const { json } = await getJson(`${base}/studies/6.3/metadata`);
    expect(json[0]).toMatchObject({
      '00420010': { vr: 'ST', Value: ['Ärztlicher Bericht'] },
      '00420012': { vr: 'LO', Value: ['application/pdf'] },
      '0020000D': { Value: ['6.3'] },
    });
    const { bytes } = await get(String(json[0]?.['00420011']?.BulkDataURI), 'application/octet-stream');
    expect(bytes.equals(DOCUMENT)).toBe(true);
  });

  it('are not sent again to a client that has them', async () => {
    const first = await fetch(`${base}/studies/6.1/metadata`);
    const etag = first.headers.get('etag') ?? '';
    await first.text();
    expect(first.headers.get('cache-control')).toBe('private, no-cache');
    const again = await fetch(`${base}/studies/6.1/metadata`, { headers: { 'If-None-Match': etag } });
    expect(again.status).toBe(304);
    await stow(house.url, [madeObject({ study: '6.1', series: '6.1.1', instance: '6.1.9.9' })]);
    const changed = await fetch(`${base}/studies/6.1/metadata`, { headers: { 'If-None-Match': etag } });
    expect(changed.status).toBe(200);
    expect(((await changed.json()) as Json[]).length).toBe(4);
  });
});

describe('bulk data', () => {
  const url = (path: string): string => `${instance('6.1', '6.1.1', '6.1.9.1')}/bulkdata/${path}`;

  it.each([
    ['nothing', 400],
    ['..%2f..', 400],
    ['00091001/0', 400],
    ['00091099', 404],
    ['00091001/0/00100010', 404],
  ])('at the path %s is %i', async (path, status) => {
    expect((await refusal(url(path), { headers: { Accept: 'application/octet-stream' } })).status).toBe(
      status,
    );
  });

  it('is not given as a picture', async () => {
    expect(await refusal(url('00091001'), { headers: { Accept: 'image/png' } })).toMatchObject({
      status: 406,
    });
  });

  it('inside a sequence is found by its path', async () => {
    const inner = element('00091001', 'OB', LONG);
    const file = madeObject({
      study: '6.4',
      instance: '6.4.9.1',
      elements: [['00081140', 'SQ', item(Buffer.concat([element('00090010', 'LO', 'MADE'), inner]))]],
    });
    await stow(house.url, [file]);
    const { json } = await getJson(`${base}/studies/6.4/metadata`);
    const [nested] = (json[0]?.['00081140']?.Value ?? []) as Json[];
    expect(
      (await get(String(nested?.['00091001']?.BulkDataURI), 'application/octet-stream')).bytes.equals(LONG),
    ).toBe(true);
  });
});

describe('the original', () => {
  const url = (): string => `${house.url}/api/instances/6.3.9.1/original`;

  it('comes whole, under a safe name, with its length and validator', async () => {
    const { bytes, headers, type } = await get(url());
    expect(dataSetOf(bytes).equals(dataSetOf(document))).toBe(true);
    expect(type).toBe('application/dicom');
    expect(headers.get('content-disposition')).toBe('attachment; filename="6.3.9.1.dcm"');
    expect(Number(headers.get('content-length'))).toBe(bytes.length);
    const again = await fetch(url(), { headers: { 'If-None-Match': headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
  });

  it.each([
    ['bytes=0-99', 0, 100],
    ['bytes=1000000-1300000', 1_000_000, 1_300_001],
    ['bytes=-10', -10, undefined],
    ['bytes=5000000-', 5_000_000, undefined],
  ])('comes by the range %s', async (range, from, to) => {
    const whole = await get(url());
    const response = await fetch(url(), { headers: { Range: range } });
    const bytes = Buffer.from(await response.arrayBuffer());
    const expected = whole.bytes.subarray(from, to);
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(
      `bytes ${whole.bytes.length - whole.bytes.subarray(from).length}-${(to ?? whole.bytes.length) - 1}/${whole.bytes.length}`,
    );
    expect(bytes.equals(expected)).toBe(true);
  });

  it('says so when a range lies outside it, and passes over one that is none', async () => {
    expect(await refusal(url(), { headers: { Range: 'bytes=99999999-' } })).toMatchObject({ status: 416 });
    for (const range of ['bytes=5-2', 'lines=1-2', 'bytes=0-1,4-5'])
      expect((await fetch(url(), { headers: { Range: range } })).status).toBe(200);
  });

  it.each([
    ['9.9.9', 404],
    ['..%2f..%2fetc%2fpasswd', 400],
    ['%00', 400],
  ])('of %s is %i', async (uid, status) => {
    expect((await refusal(`${house.url}/api/instances/${uid}/original`)).status).toBe(status);
  });
});

describe('a client that goes away in the middle of an answer', () => {
  it('leaves no file open', async () => {
    const openFiles = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(house.dataFolder);
        } catch (thrown) {
          // The descriptor that listed the folder is gone by now.
          if (thrown instanceof Error && 'code' in thrown) return false;
          throw thrown;
        }
      }).length;
    const before = openFiles();
    for (const path of ['/api/instances/6.3.9.1/original', '/dicom-web/studies/6.3']) {
      for (let n = 0; n < 5; n++) {
        await new Promise<void>((resolve) => {
          const request = http.get(`${house.url}${path}`, { headers: { Accept: ANY_DICOM } }, (response) => {
            response.once('data', () => request.destroy());
            response.once('close', resolve);
            response.on('error', () => undefined);
          });
        });
      }
    }
    await eventually(async () => (openFiles() <= before ? true : undefined), 'the closing of the files');
    expect((await get(`${house.url}/api/instances/6.3.9.1/original`)).status).toBe(200);
  });
});

describe('what is not there', () => {
  it.each([
    ['/studies/9.9', 'no study 9.9'],
    ['/studies/6.1/series/9.9', 'no series 9.9'],
    ['/studies/6.1/series/6.1.1/instances/9.9', 'no instance 9.9'],
    ['/studies/6.2/series/6.1.1/instances/6.1.9.1', 'no instance 6.1.9.1'],
    ['/studies/9.9/metadata', 'no study 9.9'],
  ])('%s: 404', async (path, sentence) => {
    expect(await refusal(base + path)).toMatchObject({
      status: 404,
      message: expect.stringContaining(sentence),
    });
  });

  it.each(['/studies/x', '/studies/6.1/series/..%2f', `/studies/${'1.'.repeat(40)}1/metadata`])(
    '%s: 400',
    async (path) => {
      expect(await refusal(base + path)).toMatchObject({
        status: 400,
        message: expect.stringContaining('UID'),
      });
    },
  );
});

describe('every exit', () => {
  it('is recorded once, with its count; HEAD and 304 let nothing out', async () => {
    const last = async (): Promise<number> =>
      (await house.db.database.query<{ id: number }>('select coalesce(max(id), 0) as id from disclosure'))
        .rows[0]!.id;
    const before = await last();
    const head = await fetch(`${base}/studies/6.3/metadata`, { method: 'HEAD' });
    await fetch(`${base}/studies/6.3/metadata`, {
      headers: { 'If-None-Match': head.headers.get('etag') ?? '' },
    });
    expect(await last()).toBe(before);
    expect(head.status).toBe(200);
    await get(`${base}/studies/6.1`, DICOM);
    await get(`${house.url}/api/instances/6.1.9.1/original`);
    const { rows } = await house.db.database.query(
      'select channel, study_uid, sop_uid, instances from disclosure where id > $1 order by id',
      [before],
    );
    expect(rows).toEqual([
      { channel: 'wado', study_uid: '6.1', sop_uid: null, instances: 4 },
      { channel: 'original', study_uid: '6.1', sop_uid: '6.1.9.1', instances: 1 },
    ]);
  });
});

describe('other methods and odd paths', () => {
  it('are answered in words', async () => {
    expect((await fetch(`${base}/studies`, { method: 'DELETE' })).status).toBe(405);
    const options = await fetch(`${base}/studies`, { method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow')]).toEqual([200, expect.stringContaining('GET')]);
    expect((await refusal(`${base}/studies/%ZZ`)).status).toBe(400);
    expect((await refusal(`${base}/studies/6.1/nothing`)).status).toBe(404);
    expect((await refusal(`${base}/studies?%E0%A4%A=1`)).status).toBe(400);
  });
});
