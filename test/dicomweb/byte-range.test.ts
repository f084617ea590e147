/** Byte ranges (RFC 9110 14) of single frames and bulk data: every range is that part of the whole answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clipped, rangeOf, within } from '../../src/dicomweb/byte-range.ts';
import { uint16 } from '../dicom/elements.ts';
import { type House, openHouse } from '../support/house.ts';
import { get, stow } from './door.ts';
import { EXPLICIT_BE, madeObject } from './made-object.ts';

const RLE = '1.2.840.10008.1.2.5';
const JPEG_LS = '1.2.840.10008.1.2.4.80';
const be = { bigEndian: true };

describe('a Range header', () => {
  it.each([
    ['bytes=0-9', '', { offset: 0, length: 10 }],
    ['bytes=95-200', '', { offset: 95, length: 5 }],
    ['bytes=-7', '', { offset: 93, length: 7 }],
    ['bytes=90-', '', { offset: 90, length: 10 }],
    ['bytes=100-', '', 'outside'],
    ['bytes=-0', '', 'outside'],
    ['bytes=5-2', '', undefined],
    ['bytes=0-1,4-5', '', undefined],
    ['lines=1-2', '', undefined],
    ['bytes=-', '', undefined],
    ['', '', undefined],
    ['bytes=0-9', '"e"', { offset: 0, length: 10 }],
    ['bytes=0-9', '"old"', undefined],
    ['bytes=0-9', 'W/"e"', undefined],
    ['bytes=0-9', 'Tue, 15 Nov 1994 12:45:26 GMT', undefined],
  ])('%s, If-Range %s', (header, ifRange, expected) => {
    expect(rangeOf(header, ifRange, '"e"', 100)).toEqual(expected);
  });
});

it('a range of several pieces is the same as of their whole, at every split', async () => {
  const whole = Buffer.from('abcdefghij');
  const places = [
    { offset: 0, length: 3 },
    { offset: 3, length: 1 },
    { offset: 4, length: 6 },
  ];
  for (let offset = 0; offset < 10; offset++)
    for (let length = 1; length <= 10 - offset; length++) {
      const expected = whole.toString('latin1', offset, offset + length);
      const found = clipped(places, { offset, length });
      expect(found.map((one) => whole.toString('latin1', one.offset, one.offset + one.length)).join('')).toBe(
        expected,
      );
      async function* pieces() {
        for (const place of places) yield whole.subarray(place.offset, place.offset + place.length);
      }
      const parts: Uint8Array[] = [];
      for await (const part of within(pieces(), { offset, length })) parts.push(part);
      expect(Buffer.concat(parts).toString('latin1')).toBe(expected);
    }
});

describe('over HTTP', () => {
  const LONG = Buffer.from(Uint8Array.from({ length: 3000 }, (_, index) => index * 7));
  let house: House;
  const url = (sop: string, what: string): string =>
    `${house.url}/dicom-web/studies/8.3/series/8.3.1/instances/${sop}/${what}`;
  beforeAll(async () => {
    house = await openHouse();
    const bits = [
      ['00280008', 'IS', '2'],
      ['00280010', 'US', uint16(3)],
      ['00280011', 'US', uint16(7)],
      ['00280100', 'US', uint16(1)],
      ['00280101', 'US', uint16(1)],
      ['00280102', 'US', uint16(0)],
    ] as const;
    const { status } = await stow(house.url, [
      madeObject({
        study: '8.3',
        instance: '8.3.9.1',
        elements: [
          ['00091001', 'OB', LONG],
          ['00090010', 'LO', 'MADE'],
        ],
      }),
      madeObject({
        study: '8.3',
        instance: '8.3.9.2',
        transferSyntax: JPEG_LS,
        fragments: [Buffer.alloc(0), Buffer.from('first piece '), Buffer.from('second piece')],
      }),
      madeObject({
        study: '8.3',
        instance: '8.3.9.3',
        transferSyntax: EXPLICIT_BE,
        elements: [['00280103', 'US', uint16(1, be)]],
      }),
      madeObject({
        study: '8.3',
        instance: '8.3.9.4',
        elements: bits,
        pixels: Buffer.from([0xa5, 0x33, 0xff, 0x0f, 0xf0, 0x01]),
      }),
    ]);
    expect(status).toBe(200);
    // A frame of 4 × 4 that an RLE decoder reads: sixteen samples in two planes, each one literal run (PS3.5 Annex G).
    const run = Buffer.concat([Buffer.from([15]), Buffer.alloc(16, 3), Buffer.alloc(1)]);
    const header = Buffer.alloc(64);
    for (const [index, value] of [2, 64, 64 + run.length].entries()) header.writeUInt32LE(value, 4 * index);
    const rle = madeObject({
      study: '8.3',
      instance: '8.3.9.5',
      transferSyntax: RLE,
      fragments: [Buffer.alloc(0), Buffer.concat([header, run, run])],
    });
    expect((await stow(house.url, [rle])).status).toBe(200);
  });
  afterAll(() => house?.close());

  it.each([
    ['a native frame', '8.3.9.1', 'frames/1', 'application/octet-stream'],
    ['a frame of two fragments', '8.3.9.2', 'frames/1', 'image/jls'],
    ['a Big Endian frame', '8.3.9.3', 'frames/1', 'application/octet-stream'],
    ['a frame of single bits that begins inside a byte', '8.3.9.4', 'frames/2', 'application/octet-stream'],
    ['a value of the header', '8.3.9.1', 'bulkdata/00091001', 'application/octet-stream'],
    ['native Pixel Data', '8.3.9.1', 'bulkdata/7FE00010', 'application/octet-stream'],
    ['Big Endian Pixel Data', '8.3.9.3', 'bulkdata/7FE00010', 'application/octet-stream'],
    ['the only frame as bulk data', '8.3.9.2', 'bulkdata/7FE00010', 'image/jls'],
  ])('%s comes by ranges', async (_name, sop, what, accept) => {
    const whole = await get(url(sop, what), accept);
    expect(whole.status).toBe(200);
    expect(whole.headers.get('accept-ranges')).toBe('bytes');
    expect(Number(whole.headers.get('content-length'))).toBe(whole.bytes.length);
    const etag = whole.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"/);
    const { length } = whole.bytes;
    const ask = async (headers: Record<string, string>, method = 'GET') => {
      const response = await fetch(url(sop, what), { method, headers: { Accept: accept, ...headers } });
      return { response, bytes: Buffer.from(await response.arrayBuffer()) };
    };
    for (const [range, from, to] of [
      ['bytes=1-2', 1, 3],
      ['bytes=0-0', 0, 1],
      [`bytes=${length - 1}-`, length - 1, length],
      ['bytes=-2', length - 2, length],
      [`bytes=1-${length + 9}`, 1, length],
    ] as const) {
      const { response, bytes } = await ask({ Range: range, 'If-Range': etag });
      expect([response.status, response.headers.get('content-range')]).toEqual([
        206,
        `bytes ${from}-${to - 1}/${length}`,
      ]);
      expect(bytes.equals(whole.bytes.subarray(from, to)), range).toBe(true);
    }
    expect((await ask({ Range: 'bytes=0-0', 'If-Range': '"older"' })).bytes.length).toBe(length);
    const outside = await ask({ Range: `bytes=${length}-` });
    expect([outside.response.status, outside.response.headers.get('content-range')]).toEqual([
      416,
      `bytes */${length}`,
    ]);
    expect(JSON.parse(outside.bytes.toString())).toMatchObject({ message: expect.stringContaining('range') });
    expect((await ask({ 'If-None-Match': etag, Range: 'bytes=0-0' })).response.status).toBe(304);
    const head = await ask({ Range: 'bytes=0-0' }, 'HEAD');
    expect([head.response.status, head.response.headers.get('content-length')]).toEqual([
      200,
      String(length),
    ]);
  });

  it.each([
    [
      'a decoded frame',
      '8.3.9.5',
      '/frames/1',
      'application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1',
    ],
    ['a frame in parts', '8.3.9.1', '/frames/1', 'multipart/related; type="application/octet-stream"'],
    [
      'bulk data in parts',
      '8.3.9.1',
      '/bulkdata/00091001',
      'multipart/related; type="application/octet-stream"',
    ],
    ['a rendered frame', '8.3.9.1', '/frames/1/rendered', 'image/png'],
    ['a rendered instance', '8.3.9.1', '/rendered', 'image/jpeg'],
    ['a thumbnail', '8.3.9.1', '/thumbnail', 'image/jpeg'],
    ['metadata', '8.3.9.1', '/metadata', 'application/dicom+json'],
    ['an instance', '8.3.9.1', '', 'application/dicom'],
    ['an instance that is converted', '8.3.9.3', '', 'application/dicom'],
    ['an instance that is decoded', '8.3.9.5', '', 'application/dicom'],
    ['an instance in parts', '8.3.9.1', '', 'multipart/related; type="application/dicom"'],
  ])('%s comes whole, and promises no ranges', async (_name, sop, what, accept) => {
    const resource = url(sop, '').slice(0, -1) + what;
    for (const method of ['GET', 'HEAD']) {
      const headers = { Accept: accept, Range: 'bytes=0-0' };
      const response = await fetch(resource, { method, headers });
      const { length } = Buffer.from(await response.arrayBuffer());
      expect([response.status, response.headers.get('content-range')]).toEqual([200, null]);
      expect(response.headers.get('accept-ranges') ?? 'none').toBe('none');
      if (method === 'GET') expect(length).toBeGreaterThan(16);
    }
  });

  it('a study, a series and what is found come whole, and promise no ranges', async () => {
    for (const path of [
      'studies/8.3',
      'studies/8.3/series/8.3.1',
      'studies/8.3/metadata',
      'studies?StudyInstanceUID=8.3',
    ]) {
      const response = await fetch(`${house.url}/dicom-web/${path}`, { headers: { Range: 'bytes=0-0' } });
      const { length } = Buffer.from(await response.arrayBuffer());
      expect([path, response.status, response.headers.get('accept-ranges') ?? 'none']).toEqual([
        path,
        200,
        'none',
      ]);
      expect(length).toBeGreaterThan(16);
    }
  });
});
