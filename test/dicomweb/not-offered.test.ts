/** What PS3.18 knows and is not done here: the answer says so in words, with what there is instead. */
import http from 'node:http';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse } from '../support/house.ts';
import { refusal, stow } from './door.ts';
import { madeObject } from './made-object.ts';

const VIDEO = '1.2.840.10008.1.2.4.102';
const XML = 'multipart/related; type="application/dicom+xml"';

let house: House;
const instance = (sop: string): string => `${house.url}/dicom-web/studies/8.9/series/8.9.1/instances/${sop}`;
beforeAll(async () => {
  house = await openHouse();
  const { status } = await stow(house.url, [
    madeObject({ study: '8.9', instance: '8.9.9.1' }),
    madeObject({
      study: '8.9',
      instance: '8.9.9.2',
      transferSyntax: VIDEO,
      fragments: [Buffer.alloc(0), Buffer.from('video!')],
    }),
  ]);
  expect(status).toBe(200);
});
afterAll(() => house?.close());

/** As it comes over the wire: fetch would unpack it. */
function raw(url: string, encodings: string): Promise<{ encoding: string | undefined; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const headers = { Accept: 'application/dicom+json', 'Accept-Encoding': encodings };
    http
      .get(url, { headers }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () =>
          resolve({ encoding: response.headers['content-encoding'], bytes: Buffer.concat(pieces) }),
        );
        response.on('error', reject);
      })
      .on('error', reject);
  });
}

describe('metadata', () => {
  it('in XML are 406, at each level', async () => {
    for (const url of [
      instance('8.9.9.1'),
      `${house.url}/dicom-web/studies/8.9/series/8.9.1`,
      `${house.url}/dicom-web/studies/8.9`,
    ])
      expect(await refusal(`${url}/metadata`, { headers: { Accept: XML } })).toMatchObject({
        status: 406,
        message: expect.stringContaining('application/dicom+json'),
      });
  });

  it('leave in gzip where that is taken, and as text to who takes zstd alone', async () => {
    const url = `${instance('8.9.9.1')}/metadata`;
    const text = await raw(url, 'identity');
    expect([text.encoding, JSON.parse(text.bytes.toString())]).toEqual([undefined, [expect.anything()]]);
    for (const [encodings, encoding] of [
      ['zstd, gzip', 'gzip'],
      ['gzip, deflate, br, zstd', 'gzip'],
      ['zstd', undefined],
    ] as const) {
      const answer = await raw(url, encodings);
      expect(answer.encoding, encodings).toBe(encoding);
      expect((encoding ? gunzipSync(answer.bytes) : answer.bytes).equals(text.bytes), encodings).toBe(true);
    }
  });
});

describe('video', () => {
  it('is not rendered (501) and not given as MP4 (406), and as it is stored it is there', async () => {
    for (const [what, status, words] of [
      ['/rendered', 501, VIDEO],
      ['/frames/1/rendered', 501, VIDEO],
      ['/bulkdata/7FE00010', 406, 'application/octet-stream'],
    ] as const)
      expect(
        await refusal(`${instance('8.9.9.2')}${what}`, { headers: { Accept: 'video/mp4' } }),
      ).toMatchObject({ status, message: expect.stringContaining(words) });
    const response = await fetch(instance('8.9.9.2'), { headers: { Accept: 'application/dicom' } });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      `application/dicom; transfer-syntax=${VIDEO}`,
    ]);
    await response.arrayBuffer();
  });

  it('does not stand for a study that has images, and a series of video alone says that it has none', async () => {
    const one = (instance: string) => ({
      instance,
      transferSyntax: VIDEO,
      fragments: [Buffer.alloc(0), Buffer.from('video!')],
    });
    const { status } = await stow(house.url, [
      // The middle one of three is the one that would stand for them all.
      madeObject({ study: '8.10', series: '8.10.1', instance: '8.10.9.1' }),
      madeObject({ study: '8.10', series: '8.10.2', ...one('8.10.9.2') }),
      madeObject({ study: '8.10', series: '8.10.2', ...one('8.10.9.3') }),
    ]);
    expect(status).toBe(200);
    const study = `${house.url}/dicom-web/studies/8.10`;
    const thumbnail = await fetch(`${study}/thumbnail`);
    expect([thumbnail.status, thumbnail.headers.get('content-type')]).toEqual([200, 'image/jpeg']);
    await thumbnail.arrayBuffer();
    for (const what of ['rendered', 'thumbnail'])
      expect(await refusal(`${study}/series/8.10.2/${what}`)).toMatchObject({
        status: 406,
        message: expect.stringContaining('None of the 2 instances of this series is an image'),
      });
  });
});

describe('STOW', () => {
  it('of metadata in XML is 415', async () => {
    const answer = await refusal(`${house.url}/dicom-web/studies`, {
      method: 'POST',
      headers: { 'Content-Type': `${XML}; boundary=b` },
      body: '--b\r\nContent-Type: application/dicom+xml\r\n\r\n<NativeDicomModel/>\r\n--b--\r\n',
    });
    expect(answer).toMatchObject({ status: 415, message: expect.stringContaining('XML') });
  });
});
