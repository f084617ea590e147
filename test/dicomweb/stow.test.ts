/** STOW-RS over the real archive: what is stored, what fails alone, what refuses the whole, and what a cut leaves. */
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { corpusFolder } from '../support/corpus.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import {
  corpusFile,
  dicomwebClient,
  get,
  getJson,
  type Json,
  refusal,
  stow,
  stowBody,
  value,
} from './door.ts';
import { madeObject } from './made-object.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house?.close());

const items = (json: Json, tag: string): Json[] => (json[tag]?.Value ?? []) as Json[];
const post = (body: Buffer | string, contentType: string): RequestInit => ({
  method: 'POST',
  headers: { 'Content-Type': contentType },
  body: new Uint8Array(Buffer.from(body)),
});
const MULTIPART = 'multipart/related; type="application/dicom"; boundary="b"';

describe('objects', () => {
  it('are stored, named in the answer and found at once', async () => {
    const files = [1, 2].map((n) => madeObject({ study: '2.1', instance: `2.1.9.${n}` }));
    const { status, json } = await stow(house.url, files);
    expect(status).toBe(200);
    expect(value(json, '00081190')).toBe(`${house.url}/dicom-web/studies/2.1`);
    expect(items(json, '00081199').map((item) => [value(item, '00081155'), value(item, '00081190')])).toEqual(
      [1, 2].map((n) => [
        `2.1.9.${n}`,
        `${house.url}/dicom-web/studies/2.1/series/2.1.1/instances/2.1.9.${n}`,
      ]),
    );
    expect(json).not.toHaveProperty('00081198');
    const found = await getJson(`${house.url}/dicom-web/studies/2.1/instances`);
    expect(found.json).toHaveLength(2);
  });

  it('keep their data sets bit for bit', async () => {
    const file = madeObject({ study: '2.2', instance: '2.2.9.1' });
    await stow(house.url, [file]);
    const { bytes } = await get(`${house.url}/api/instances/2.2.9.1/original`);
    const dataSet = file.subarray(file.indexOf(Buffer.from('08000500', 'hex')));
    expect(bytes.subarray(bytes.length - dataSet.length).equals(dataSet)).toBe(true);
  });

  it('may come again: success, and no second instance', async () => {
    const file = madeObject({ study: '2.3', instance: '2.3.9.1' });
    for (let n = 0; n < 3; n++) expect((await stow(house.url, [file])).status).toBe(200);
    expect((await getJson(`${house.url}/dicom-web/studies/2.3/instances`)).json).toHaveLength(1);
  });

  it('are taken to the study of the URL', async () => {
    expect((await stow(house.url, [madeObject({ study: '2.4', instance: '2.4.9.1' })], '2.4')).status).toBe(
      200,
    );
  });

  it('are taken from dicomweb-client', async () => {
    const file = madeObject({ study: '2.5', instance: '2.5.9.1' });
    const datasets = [new Uint8Array(file).buffer];
    await dicomwebClient(house.url).storeInstances({ datasets });
    expect((await getJson(`${house.url}/dicom-web/studies/2.5/instances`)).json).toHaveLength(1);
  });

  it('are taken alone, without multipart', async () => {
    const file = madeObject({ study: '2.6', instance: '2.6.9.1' });
    const response = await fetch(`${house.url}/dicom-web/studies`, post(file, 'application/dicom'));
    expect(response.status).toBe(200);
  });

  it('are named by their data set where File Meta does not', async () => {
    const { status, json } = await stow(house.url, [
      madeObject({ study: '2.7', instance: '2.7.9.1', bareMeta: true }),
    ]);
    expect([status, value(items(json, '00081199')[0], '00081155')]).toEqual([200, '2.7.9.1']);
  });

  it.skipIf(!corpusFolder)('of a real CT study make 29 instances in two series (corpus)', async () => {
    const { corpusIndex } = await import('../support/corpus.ts');
    const files = corpusIndex()
      .filter((row) => row.file!.startsWith('dcm_qa_ct/'))
      .map((row) => corpusFile(row.file!));
    const { status, json } = await stow(house.url, files);
    expect([status, items(json, '00081199').length]).toEqual([200, 29]);
    const study = String(value(json, '00081190'));
    const series = (await getJson(`${study}/series`)).json;
    expect(series.map((item) => value(item, '00201209')).sort()).toEqual([1, 28]);
  });
});

describe('a part that cannot be stored', () => {
  const good = madeObject({ study: '3.1', instance: '3.1.9.1' });

  it.each([
    ['is not DICOM', Buffer.from('<html>not DICOM</html>'), 'not a DICOM file', undefined],
    ['is empty', Buffer.alloc(0), 'not a DICOM file', undefined],
    [
      'has no SOP Instance UID',
      madeObject({ instance: '3.1.9.2', without: ['00080018'] }),
      '(0008,0018) SOPInstanceUID',
      '3.1.9.2',
    ],
    [
      'has no Study Instance UID',
      madeObject({ instance: '3.1.9.3', without: ['0020000D'] }),
      '(0020,000D) StudyInstanceUID',
      '3.1.9.3',
    ],
    [
      'is truncated',
      madeObject({ instance: '3.1.9.4' }).subarray(0, -10),
      'truncated inside (7FE0,0010) PixelData',
      '3.1.9.4',
    ],
    [
      'has a broken header',
      madeObject({ instance: '3.1.9.5', elements: [['00100020', '\0\0', 'x']] }),
      'value representation',
      '3.1.9.5',
    ],
    ['would leave its folder', madeObject({ instance: '../../../etc/passwd' }), 'UID', undefined],
    [
      'says no transfer syntax',
      madeObject({ instance: '3.1.9.8', transferSyntax: '' }),
      '(0002,0010) TransferSyntaxUID',
      undefined,
    ],
    [
      'says a transfer syntax that would be a header line of its own',
      madeObject({ instance: '3.1.9.10', transferSyntax: '1.2\r\nX-Mine: 1' }),
      '(0002,0010) TransferSyntaxUID',
      undefined,
    ],
  ])('because it %s fails alone, with its reason', async (_what, bad, sentence, sopUid) => {
    const { status, json, headers } = await stow(house.url, [bad, good]);
    expect(status).toBe(202);
    expect(items(json, '00081199').map((item) => value(item, '00081155'))).toEqual(['3.1.9.1']);
    const failed = sopUid === undefined ? items(json, '0008119A') : items(json, '00081198');
    expect(failed).toHaveLength(1);
    expect(value(failed[0], '00081155')).toBe(sopUid);
    expect([0xc000, 0xa900]).toContain(value(failed[0], '00081197'));
    expect(headers.get('warning')).toContain(sentence);
    await listedRefusal('part', sentence);
    if (sopUid) expect((await get(`${house.url}/api/instances/${sopUid}/original`)).status).toBe(404);
  });

  it('is not one whose File Meta is of another object: what the data set says of itself stands', async () => {
    const { status, json } = await stow(house.url, [
      madeObject({ instance: '3.1.9.6', metaSopInstance: '3.1.9.7' }),
    ]);
    expect(status).toBe(200);
    expect(items(json, '00081199').map((item) => value(item, '00081155'))).toEqual(['3.1.9.6']);
  });

  it('because it is of another study than the URL says fails with A900', async () => {
    const { status, json } = await stow(house.url, [good], '3.2');
    expect(status).toBe(409);
    expect(value(items(json, '00081198')[0], '00081197')).toBe(0xa900);
  });

  it('makes 409 when none is stored', async () => {
    const { status, json } = await stow(house.url, [Buffer.from('no'), Buffer.from('neither')]);
    expect([status, items(json, '0008119A').length]).toEqual([409, 2]);
    expect(json).not.toHaveProperty('00081199');
  });

  it('is one that ends before its Content-Length, though what came is an object; more than it says is none', async () => {
    const at = (instance: string, more: number) => {
      const file = madeObject({ instance });
      return stowBody([file], 'b', `application/dicom\r\nContent-Length: ${file.length + more}`);
    };
    const store = (body: Buffer) => fetch(`${house.url}/dicom-web/studies`, post(body, MULTIPART));
    expect((await store(at('3.1.9.11', 2))).status).toBe(409);
    await listedRefusal('part', 'of its Content-Length');
    expect((await get(`${house.url}/api/instances/3.1.9.11/original`)).status).toBe(404);
    for (const more of [0, -2]) expect((await store(at('3.1.9.12', more))).status).toBe(200);
  });

  it('is one that its own Content-Type calls something else', async () => {
    const response = await fetch(
      `${house.url}/dicom-web/studies`,
      post(stowBody([good], 'b', 'application/pdf'), MULTIPART),
    );
    expect(response.status).toBe(409);
  });
});

describe('a request that is refused', () => {
  const body = stowBody([madeObject()]);

  it.each([
    ['is no multipart', 'application/octet-stream', body, 415, 'multipart/related'],
    ['has no Content-Type', '', body, 415, 'multipart/related'],
    [
      'brings metadata in XML',
      'multipart/related; type="application/dicom+xml"; boundary=b',
      body,
      415,
      'metadata in XML',
    ],
    ['has no boundary', 'multipart/related; type="application/dicom"', body, 400, 'boundary'],
    [
      'has another boundary than its body',
      'multipart/related; type="application/dicom"; boundary=other',
      body,
      400,
      'the boundary that its Content-Type names',
    ],
    ['is empty', MULTIPART, Buffer.alloc(0), 400, 'empty'],
    ['holds no part', MULTIPART, Buffer.from('--b--\r\n'), 400, 'no part'],
    ['ends inside a part', MULTIPART, body.subarray(0, -60), 400, 'closing boundary'],
  ])('because it %s', async (_what, type, bytes, status, sentence) => {
    expect(await refusal(`${house.url}/dicom-web/studies`, post(bytes, type))).toMatchObject({
      status,
      message: expect.stringContaining(sentence),
    });
  });

  it('because it is compressed', async () => {
    const headers = { 'Content-Type': MULTIPART, 'Content-Encoding': 'gzip' };
    expect(
      await refusal(`${house.url}/dicom-web/studies`, {
        method: 'POST',
        headers,
        body: new Uint8Array(body),
      }),
    ).toMatchObject({
      status: 415,
      message: expect.stringContaining('Content-Encoding'),
    });
    await listedRefusal('request', 'Content-Encoding');
  });

  it('because its study is no UID', async () => {
    expect(await refusal(`${house.url}/dicom-web/studies/..%2f..`, post(body, MULTIPART))).toMatchObject({
      status: 400,
      message: expect.stringContaining('(0020,000D) StudyInstanceUID'),
    });
  });
});

async function listedRefusal(what: string, sentence: string): Promise<void> {
  await eventually(async () => {
    const { rows } = await house.db.database.query<{ reason: string }>(
      'select reason from refusal where what = $1',
      [what],
    );
    return rows.find(({ reason }) => reason.includes(sentence));
  }, `the refusal "${sentence}"`);
}

describe('a client that goes away in the middle of a part', () => {
  it('leaves nothing of it, and what came whole before it stays', async () => {
    const whole = madeObject({ study: '4.1', instance: '4.1.9.1' });
    const cut = madeObject({ study: '4.1', instance: '4.1.9.2', pixels: Buffer.alloc(4_000_000) });
    const body = stowBody([whole, cut]);
    const request = http.request(`${house.url}/dicom-web/studies`, {
      method: 'POST',
      headers: { 'Content-Type': MULTIPART, 'Content-Length': body.length },
    });
    request.on('error', () => undefined);
    await new Promise((resolve) => request.write(body.subarray(0, 2_000_000), resolve));
    request.destroy();
    const outcome = await eventually(async () => {
      const { rows } = await house.db.database.query<{ outcome: string | null }>(
        `select r.outcome from reception r join reception_study s on s.reception = r.id where s.study_uid = '4.1'`,
      );
      return rows[0]?.outcome ?? undefined;
    }, 'the end of the reception');
    expect(outcome).toBe('aborted');
    const found = await getJson(`${house.url}/dicom-web/studies/4.1/instances`);
    expect(found.json.map((item) => value(item, '00080018'))).toEqual(['4.1.9.1']);
    expect((await get(`${house.url}/api/instances/4.1.9.2/original`)).status).toBe(404);
  });
});

describe('the index away', () => {
  it('is 503 with Retry-After, and the object is found once it is back', async () => {
    const file = madeObject({ study: '5.1', instance: '5.1.9.1' });
    const locker = house.db.database.transaction(
      async (tx) => {
        await tx.query('lock table study in access exclusive mode');
        await tx.query('select pg_sleep(8)');
      },
      { statementTimeoutMs: 0 },
    );
    const response = await fetch(`${house.url}/dicom-web/studies`, post(stowBody([file]), MULTIPART));
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    await locker;
    expect((await stow(house.url, [file])).status).toBe(200);
    expect((await getJson(`${house.url}/dicom-web/studies/5.1/instances`)).json).toHaveLength(1);
  }, 60_000);
});
