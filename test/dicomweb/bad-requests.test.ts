/**
 * Bad requests in bulk: what is wrong with a request has a status and a sentence that says so, never a stack, never a
 * value of a patient, and the next request is answered as if nothing had been.
 */
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse } from '../support/house.ts';
import { get, stow } from './door.ts';
import { madeObject } from './made-object.ts';

const VIDEO = '1.2.840.10008.1.2.4.102';
const I = '/dicom-web/studies/8.6/series/8.6.1/instances/8.6.9.1';
const V = '/dicom-web/studies/8.6/series/8.6.1/instances/8.6.9.2';
const HUGE = '/dicom-web/studies/8.6/series/8.6.1/instances/8.6.9.3';

let house: House;
beforeAll(async () => {
  house = await openHouse();
  const large = Buffer.from(new Uint16Array([65_535]).buffer);
  const { status } = await stow(house.url, [
    madeObject({ study: '8.6', instance: '8.6.9.1' }),
    madeObject({
      study: '8.6',
      instance: '8.6.9.2',
      transferSyntax: VIDEO,
      fragments: [Buffer.alloc(0), Buffer.from('video!')],
    }),
    madeObject({
      study: '8.6',
      instance: '8.6.9.3',
      transferSyntax: '1.2.840.10008.1.2.5',
      elements: [
        ['00280010', 'US', large],
        ['00280011', 'US', large],
      ],
      fragments: [Buffer.alloc(0), Buffer.alloc(80)],
    }),
  ]);
  expect(status).toBe(200);
});
afterAll(() => house?.close());

interface Bad {
  path: string;
  status: number;
  words: string | RegExp;
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

const MULTIPART = 'multipart/related; type="application/dicom"';
const LONG = '1.'.repeat(40);

const CASES: readonly Bad[] = [
  // 400: the request cannot be meant so
  { path: '/dicom-web/studies/x', status: 400, words: '(0020,000D)' },
  { path: `/dicom-web/studies/${LONG}1/metadata`, status: 400, words: 'UID' },
  { path: '/dicom-web/studies/8.6/series/1..2', status: 400, words: '(0020,000E)' },
  { path: '/dicom-web/studies/8.6/series/8.6.1/instances/-1', status: 400, words: '(0008,0018)' },
  { path: '/dicom-web/studies/8.6/series/8.6.1/instances/%00/rendered', status: 400, words: 'UID' },
  { path: '/dicom-web/studies/..%2f..%2fetc/metadata', status: 400, words: 'UID' },
  { path: '/dicom-web/studies/%ZZ', status: 400, words: /./ },
  { path: `${I}/frames/0`, status: 400, words: 'from 1 up' },
  { path: `${I}/frames/1,`, status: 400, words: 'separated by commas' },
  { path: `${I}/frames/1-3`, status: 400, words: 'whole numbers' },
  { path: `${I}/frames/1e3`, status: 400, words: 'whole numbers' },
  { path: `${I}/frames/0/rendered`, status: 400, words: 'from 1 up' },
  { path: `${I}/frames/x/thumbnail`, status: 400, words: 'whole numbers' },
  { path: `${I}/bulkdata/PixelData`, status: 400, words: 'tags and item numbers' },
  { path: `${I}/rendered?window=a,b`, status: 400, words: 'window' },
  { path: `${I}/rendered?window=1,2,3,4`, status: 400, words: 'window' },
  { path: `${I}/rendered?viewport=0,0`, status: 400, words: 'viewport' },
  { path: `${I}/rendered?viewport=1,1,-1,0,1,1`, status: 400, words: 'viewport' },
  { path: `${I}/rendered?quality=101`, status: 400, words: 'quality' },
  { path: `${I}/rendered?annotation=name`, status: 400, words: 'patient, technique' },
  { path: `${I}/rendered?iccprofile=srgb`, status: 400, words: 'iccprofile' },
  { path: `${I}/metadata`, headers: { Accept: 'nonsense' }, status: 400, words: 'Accept' },
  { path: '/wado', status: 400, words: 'requestType' },
  // 404: there is no such thing
  { path: '/dicom-web/studies/9.9', status: 404, words: 'no study 9.9' },
  { path: '/dicom-web/studies/9.9/rendered', status: 404, words: 'no study 9.9' },
  { path: '/dicom-web/studies/8.6/series/9.9/thumbnail', status: 404, words: 'no series 9.9' },
  { path: '/dicom-web/studies/8.6/series/9.9/instances/8.6.9.1', status: 404, words: 'no instance' },
  { path: `${I}/frames/2`, status: 404, words: 'no frame 2' },
  { path: `${I}/frames/999999999`, status: 404, words: 'no frame' },
  { path: `${I}/frames/2/rendered`, status: 404, words: 'no frame 2' },
  { path: `${I}/frames/1,2/rendered`, status: 404, words: 'no frame 2' },
  { path: `${I}/bulkdata/00100010/0/00100020`, status: 404, words: 'no binary value' },
  { path: `${I}/bulkdata/00420011`, status: 404, words: 'no binary value' },
  { path: `${I}/nothing`, status: 404, words: 'nothing at' },
  // 405: not by this method
  { path: `${I}/frames/1`, method: 'PUT', status: 405, words: 'but HEAD, GET' },
  { path: '/wado', method: 'POST', status: 405, words: 'but HEAD, GET' },
  // 406: not in this form; the sentence says in which
  { path: I, headers: { Accept: 'image/jpeg' }, status: 406, words: 'application/dicom' },
  { path: I, headers: { Accept: 'application/dicom+xml' }, status: 406, words: 'application/dicom' },
  {
    path: I,
    headers: { Accept: 'application/dicom; transfer-syntax=1.2.840.10008.1.2' },
    status: 406,
    words: '1.2.840.10008.1.2.1',
  },
  {
    path: V,
    headers: { Accept: 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1' },
    status: 406,
    words: VIDEO,
  },
  { path: `${I}/metadata`, headers: { Accept: 'text/html' }, status: 406, words: 'application/dicom+json' },
  { path: `${I}/metadata`, headers: { Accept: '*/*;q=0' }, status: 406, words: 'application/dicom+json' },
  { path: `${I}/frames/1`, headers: { Accept: 'image/jls' }, status: 406, words: 'octet-stream' },
  { path: `${I}/bulkdata/7FE00010`, headers: { Accept: 'image/png' }, status: 406, words: 'octet-stream' },
  { path: `${I}/rendered`, headers: { Accept: 'video/mp4' }, status: 406, words: 'image/jpeg' },
  { path: `${I}/thumbnail`, headers: { Accept: 'text/html' }, status: 406, words: 'image/jpeg' },
  {
    path: '/dicom-web/studies/8.6/rendered',
    headers: { Accept: 'text/html' },
    status: 406,
    words: 'image/gif',
  },
  // 413: more than is worked on at once
  { path: `${HUGE}/rendered`, status: 413, words: 'bytes' },
  {
    path: HUGE,
    headers: { Accept: 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1' },
    status: 413,
    words: 'bytes',
  },
  { path: `${I}/frames/${Array(5_001).fill(1).join(',')}`, status: 413, words: 'at once' },
  // 415: a body of another kind
  {
    path: '/dicom-web/studies',
    method: 'POST',
    headers: { 'Content-Type': 'text/plain' },
    body: 'x',
    status: 415,
    words: 'multipart/related',
  },
  // 416: beyond the end
  {
    path: `${I}/frames/1`,
    headers: { Accept: 'application/octet-stream', Range: 'bytes=32-' },
    status: 416,
    words: '32 bytes',
  },
  {
    path: `${I}/bulkdata/7FE00010`,
    headers: { Accept: 'application/octet-stream', Range: 'bytes=-0' },
    status: 416,
    words: '32 bytes',
  },
  {
    path: '/api/instances/8.6.9.1/original',
    headers: { Range: 'bytes=999999-' },
    status: 416,
    words: 'bytes',
  },
  // 501: a picture that nothing here can make
  { path: `${V}/rendered`, status: 501, words: VIDEO },
];

describe('a bad request', () => {
  it.each(CASES)('$path: $status', async (bad) => {
    const { status, type, body } = await ask(bad);
    expect([status, body]).toEqual([bad.status, body]);
    expect(body).not.toMatch(/Doe|\bat .*\.ts:\d+|select |node_modules/);
    expect(type).toContain('application/json');
    const { message } = JSON.parse(body) as { message: string };
    if (typeof bad.words === 'string') expect(message).toContain(bad.words);
    else expect(message).toMatch(bad.words);
  });

  it('for 5,000 frames is read whole', async () => {
    const frames = Array.from({ length: 5000 }, (_, index) => index + 1).join(',');
    const { status, body } = await ask({ path: `${I}/frames/${frames}`, status: 404, words: '' });
    expect(status).toBe(404);
    expect(body).toContain('no frame 2');
  });

  it('is answered to HEAD with the same status and no body', async () => {
    for (const bad of CASES.filter((one) => !one.method && one.status !== 416 && one.status !== 413)) {
      const { status, body } = await ask({ ...bad, method: 'HEAD' });
      expect([bad.path, status, body]).toEqual([bad.path, bad.status, '']);
    }
  });

  it('that stores under another study is 409', async () => {
    const { status, json } = await stow(
      house.url,
      [madeObject({ study: '8.7', instance: '8.7.9.1' })],
      '8.8',
    );
    expect(status).toBe(409);
    expect(json).toMatchObject({ '00081198': { vr: 'SQ' } });
  });

  it('leaves nothing behind: what is well asked for is answered', async () => {
    expect((await get(`${house.url}${I}/frames/1`, 'application/octet-stream')).bytes.length).toBe(32);
    expect((await get(`${house.url}${I}/rendered`)).status).toBe(200);
    expect((await get(`${house.url}/dicom-web/studies/8.6`, `${MULTIPART}; transfer-syntax=*`)).status).toBe(
      200,
    );
  });
});

/** Not by fetch: that mends a path before it asks. */
function ask({
  path,
  method = 'GET',
  headers = {},
  body,
}: Bad): Promise<{ status: number; type: string; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request(`${house.url}`, { path, method, headers }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          body: Buffer.concat(pieces).toString(),
        }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}
