/** STOW-RS in its metadata and bulk data form over the real archive: what is stored is what was said, value for value. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse } from '../support/house.ts';
import { get, getJson, getParts, type Json, value } from './door.ts';
import { madeObject, RAMP } from './made-object.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house?.close());

interface BulkPart {
  location?: string;
  type?: string;
  body: Buffer;
  length?: number;
}

function requestBody(metadata: unknown, bulk: readonly BulkPart[], boundary = 'b'): Buffer {
  const text = typeof metadata === 'string' ? metadata : JSON.stringify(metadata);
  const parts = [{ type: 'application/dicom+json', body: Buffer.from(text) } as BulkPart, ...bulk];
  return Buffer.concat([
    ...parts.flatMap(({ location, type = 'application/octet-stream', body, length }) => [
      Buffer.from(
        `\r\n--${boundary}\r\nContent-Type: ${type}\r\n` +
          `${location === undefined ? '' : `Content-Location: ${location}\r\n`}` +
          `${length === undefined ? '' : `Content-Length: ${length}\r\n`}\r\n`,
      ),
      body,
    ]),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
}

async function post(metadata: unknown, bulk: readonly BulkPart[] = [], study = '') {
  const response = await fetch(`${house.url}/dicom-web/studies${study && `/${study}`}`, {
    method: 'POST',
    headers: { 'Content-Type': 'multipart/related; type="application/dicom+json"; boundary=b' },
    body: new Uint8Array(requestBody(metadata, bulk)),
  });
  const json = (await response.json()) as Json;
  return { status: response.status, headers: response.headers, json };
}

const items = (json: Json, tag: string): Json[] => (json[tag]?.Value ?? []) as Json[];
const instances = (json: Json, tag: string): unknown[] =>
  items(json, tag).map((item) => value(item, '00081155'));
const ui = (text: string) => ({ vr: 'UI', Value: [text] });
const us = (number: number) => ({ vr: 'US', Value: [number] });

function image(uid: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const study = uid.split('.').slice(0, 2).join('.');
  return {
    '00080016': ui('1.2.840.10008.5.1.4.1.1.7'),
    '00080018': ui(uid),
    '00080060': { vr: 'CS', Value: ['OT'] },
    '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jörg', Ideographic: '山田^太郎' }] },
    '00100020': { vr: 'LO', Value: ['P1'] },
    '0020000D': ui(study),
    '0020000E': ui(`${study}.1`),
    '00200013': { vr: 'IS', Value: [1] },
    '00280002': us(1),
    '00280004': { vr: 'CS', Value: ['MONOCHROME2'] },
    '00280010': us(4),
    '00280011': us(4),
    '00280100': us(16),
    '00280101': us(16),
    '00280102': us(15),
    '00280103': us(0),
    '7FE00010': { vr: 'OW', BulkDataURI: `bulk/${uid}` },
    ...more,
  };
}

const frame = async (uid: string, number = 1, type = 'application/octet-stream'): Promise<Buffer> => {
  const study = uid.split('.').slice(0, 2).join('.');
  const url = `${house.url}/dicom-web/studies/${study}/series/${study}.1/instances/${uid}/frames/${number}`;
  return (await getParts(url, `multipart/related; type="${type}"; transfer-syntax=*`))[0]!.body;
};

describe('metadata with bulk data', () => {
  it('becomes instances with their pixels, found at once, in UTF-8', async () => {
    const uids = ['6.1.1', '6.1.2', '6.1.3'];
    const { status, json } = await post(
      uids.map((uid) => image(uid)),
      uids.map((uid, n) => ({ location: `bulk/${uid}`, body: Buffer.alloc(32, n) })),
    );
    expect([status, instances(json, '00081199')]).toEqual([200, uids]);
    expect(value(json, '00081190')).toBe(`${house.url}/dicom-web/studies/6.1`);
    const found = await getJson(`${house.url}/dicom-web/studies/6.1/metadata`);
    expect(found.json).toHaveLength(3);
    expect(found.json[0]!['00100010']).toEqual(image('6.1.1')['00100010']);
    expect(await frame('6.1.2')).toEqual(Buffer.alloc(32, 1));
  });

  it('is the same object as its Part 10 file, value for value', async () => {
    const file = madeObject({ study: '6.2', instance: '6.2.1' });
    const dataSet = file.subarray(file.indexOf(Buffer.from('08000500', 'hex')));
    const json = {
      ...image('6.2.1'),
      '00080005': { vr: 'CS', Value: ['ISO_IR 192'] },
      '00080020': { vr: 'DA', Value: ['20240102'] },
      '00080030': { vr: 'TM', Value: ['101112'] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Doe^Jane' }] },
    };
    expect((await post(json, [{ location: 'bulk/6.2.1', body: RAMP }])).status).toBe(200);
    const { bytes } = await get(`${house.url}/api/instances/6.2.1/original`);
    expect(bytes.subarray(bytes.length - dataSet.length).equals(dataSet)).toBe(true);
  });

  it('may name its values by whole addresses, in any order, share them, and nest them', async () => {
    const base = `${house.url}/dicom-web/bulk`;
    const icon = { vr: 'SQ', Value: [{ '7FE00010': { vr: 'OB', BulkDataURI: `${base}/icon` } }] };
    const both = ['6.3.1', '6.3.2'].map((uid) =>
      image(uid, { '00880200': icon, '7FE00010': { vr: 'OW', BulkDataURI: `${base}/shared` } }),
    );
    const { status } = await post(both, [
      { location: 'bulk/shared', body: RAMP },
      { location: `${base}/icon`, body: Buffer.from([1, 2, 3]) },
    ]);
    expect(status).toBe(200);
    expect(await frame('6.3.1')).toEqual(RAMP);
    expect(await frame('6.3.2')).toEqual(RAMP);
    const { bytes } = await get(`${house.url}/api/instances/6.3.2/original`);
    expect(bytes.includes(Buffer.from('E07F10004F42000004000000010203', 'hex'))).toBe(true);
  });

  it('keeps compressed frames as fragments of the transfer syntax they come in', async () => {
    const frames = [randomBytes(101), randomBytes(64)];
    const uid = '6.4.1';
    const { status } = await post(
      image(uid, { '00280008': { vr: 'IS', Value: [2] } }),
      frames.map((body, n) => ({
        location: `bulk/${uid}/frames/${n + 1}`,
        type: 'image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91',
        body,
      })),
    );
    expect(status).toBe(200);
    const kept = await frame(uid, 2, 'image/jp2');
    expect(kept).toEqual(frames[1]);
    const { rows } = await house.db.database.query('select transfer_syntax from object where sop_uid = $1', [
      uid,
    ]);
    expect(rows).toEqual([{ transfer_syntax: '1.2.840.10008.1.2.4.91' }]);
  });

  it('needs no bulk data where there are no pixels, and takes values inline', async () => {
    const { '7FE00010': _pixels, ...report } = image('6.5.1', {
      '00091001': { vr: 'OB', InlineBinary: 'AQI=' },
    });
    expect((await post([report])).status).toBe(200);
    expect((await getJson(`${house.url}/dicom-web/studies/6.5/metadata`)).json[0]!['00091001']).toEqual({
      vr: 'OB',
      InlineBinary: 'AQI=',
    });
  });

  it('is held in no memory: a value much larger than a chunk goes by the disk, and leaves nothing there', async () => {
    const body = randomBytes(24 * 1024 * 1024);
    const rows = { '00280010': us(4096), '00280011': us(3072), '7FE00010': { vr: 'OW', BulkDataURI: 'big' } };
    expect((await post(image('6.6.1', rows), [{ location: 'big', body }])).status).toBe(200);
    expect((await frame('6.6.1')).equals(body)).toBe(true);
  });

  it('says that a decimal was rounded', async () => {
    const { status, json } = await post(image('6.7.1', { '00281053': { vr: 'DS', Value: [1 / 3] } }), [
      { location: 'bulk/6.7.1', body: RAMP },
    ]);
    expect([status, value(items(json, '00081199')[0], '00081196')]).toEqual([202, 0xb000]);
  });
});

describe('an instance that cannot be stored', () => {
  const good = image('6.8.9');
  const goodPart = { location: 'bulk/6.8.9', body: RAMP };
  const { '0020000D': _study, ...studyless } = image('6.8.3');

  it.each<[string, Record<string, unknown>, BulkPart[], number, string]>([
    ['lacks its bulk data', image('6.8.1'), [], 0xc000, 'BulkDataURI'],
    ['has a value against its VR', image('6.8.2', { '00280010': us(-1) }), [], 0xc000, '(0028,0010) Rows'],
    [
      'has no study',
      studyless,
      [{ location: 'bulk/6.8.3', body: RAMP }],
      0xc000,
      '(0020,000D) StudyInstanceUID',
    ],
    [
      'has pixels of a media type without transfer syntax',
      image('6.8.4'),
      [{ location: 'bulk/6.8.4', type: 'image/png', body: RAMP }],
      0xc122,
      'PixelData',
    ],
    [
      'has fewer frames than it says',
      image('6.8.5', { '00280008': { vr: 'IS', Value: [3] } }),
      [{ location: 'bulk/6.8.5', type: 'image/jp2', body: RAMP }],
      0xc000,
      'NumberOfFrames',
    ],
    [
      'has bulk data that was cut',
      image('6.8.6'),
      [{ location: 'bulk/6.8.6', body: RAMP.subarray(0, 10), length: 32 }],
      0xc000,
      'Content-Length',
    ],
  ])('because it %s fails alone', async (_what, bad, bulk, reason, sentence) => {
    const { status, json, headers } = await post([bad, good], [...bulk, goodPart]);
    expect([status, instances(json, '00081199')]).toEqual([202, ['6.8.9']]);
    const [failed] = items(json, '00081198');
    expect([value(failed, '00081155'), value(failed, '00081197')]).toEqual([
      value(bad as Json, '00080018'),
      reason,
    ]);
    expect(headers.get('warning')).toContain(sentence);
  });

  it('because it is of another study than the URL says makes 409', async () => {
    const { status, json } = await post([good], [goodPart], '6.99');
    expect([status, value(items(json, '00081198')[0], '00081197')]).toEqual([409, 0xa900]);
  });

  it('a part that nothing names is told, beside what was stored', async () => {
    const { status, json } = await post([good], [goodPart, { location: 'nobody', body: RAMP }, goodPart]);
    expect([status, items(json, '0008119A').length]).toEqual([202, 2]);
  });
});

describe('a request that is refused', () => {
  const send = (type: string, body: Buffer) =>
    fetch(`${house.url}/dicom-web/studies`, {
      method: 'POST',
      headers: { 'Content-Type': type },
      body: new Uint8Array(body),
    });
  const JSON_FORM = 'multipart/related; type="application/dicom+json"; boundary=b';

  it.each([
    ['its metadata is no JSON', requestBody('{"00100010": Doe', []), 400, 'no JSON'],
    [
      'it ends inside a part',
      requestBody([image('6.9.1')], [{ location: 'x', body: RAMP }]).subarray(0, -20),
      400,
      'closing boundary',
    ],
    ['it holds nothing', requestBody([], []), 400, 'no part'],
  ])('because %s', async (_what, body, status, sentence) => {
    const response = await send(JSON_FORM, body);
    const { message } = (await response.json()) as { message: string };
    expect([response.status, message]).toEqual([status, expect.stringContaining(sentence)]);
    expect(message).not.toContain('Doe');
  });
});
