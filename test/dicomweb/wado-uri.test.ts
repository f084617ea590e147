/** WADO-URI (PS3.18 9): the same instances and pictures as by WADO-RS, asked for by query. */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseWadoUri, viewportOf } from '../../src/dicomweb/wado-uri-query.ts';
import { type House, openHouse } from '../support/house.ts';
import { get, refusal, stow } from './door.ts';
import { EXPLICIT_LE, madeObject } from './made-object.ts';

const RLE = '1.2.840.10008.1.2.5';
const three = Buffer.concat([0, 1, 255].map((value) => Buffer.alloc(32, value)));
const UIDS = { studyUID: '8.5', seriesUID: '8.5.1', objectUID: '8.5.9.1' };

let house: House;
const wado = (more: Record<string, string> = {}, from: Record<string, string> = UIDS): string =>
  `${house.url}/wado?${new URLSearchParams({ requestType: 'WADO', ...from, ...more })}`;

beforeAll(async () => {
  house = await openHouse();
  const { status } = await stow(house.url, [
    madeObject({
      study: '8.5',
      instance: '8.5.9.1',
      elements: [['00280008', 'IS', '3']],
      pixels: three,
    }),
    madeObject({
      study: '8.5',
      instance: '8.5.9.2',
      transferSyntax: RLE,
      fragments: [Buffer.alloc(0), rleOfZeros()],
    }),
  ]);
  expect(status).toBe(200);
});
afterAll(() => house?.close());

/** Two planes of 16 zeros (PS3.5 Annex G): a run each. */
function rleOfZeros(): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(2, 0);
  header.writeUInt32LE(64, 4);
  header.writeUInt32LE(66, 8);
  return Buffer.concat([header, Buffer.from([241, 0, 241, 0])]);
}

describe('WADO-URI', () => {
  it('gives a JPEG when nothing is said, and what contentType names', async () => {
    const plain = await get(wado());
    expect([plain.status, plain.type]).toEqual([200, 'image/jpeg']);
    expect((await sharp(plain.bytes).metadata()).width).toBe(4);
    expect((await get(wado({ contentType: 'image/png' }))).type).toBe('image/png');
    expect((await get(wado({ contentType: 'image/avif,image/webp' }))).type).toBe('image/webp');
    // The parameter goes before the header, which browsers fill.
    expect((await get(wado({ contentType: 'image/png' }), 'text/html,*/*')).type).toBe('image/png');
  });

  it('gives the whole instance in Explicit VR Little Endian, or as it is stored', async () => {
    const whole = await get(wado({ contentType: 'application/dicom' }));
    const original = await get(`${house.url}/api/instances/8.5.9.1/original`);
    expect(whole.type).toBe(`application/dicom; transfer-syntax=${EXPLICIT_LE}`);
    expect(whole.bytes.equals(original.bytes)).toBe(true);
    const rle = { ...UIDS, objectUID: '8.5.9.2' };
    expect((await get(wado({ contentType: 'application/dicom' }, rle))).type).toContain(EXPLICIT_LE);
    expect((await get(wado({ contentType: 'application/dicom', transferSyntax: RLE }, rle))).type).toContain(
      RLE,
    );
  });

  it('takes frame, size, region and window', async () => {
    const gray = async (more: Record<string, string>) => {
      const { bytes } = await get(wado({ contentType: 'image/png', ...more }));
      return sharp(bytes).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
    };
    const window = { windowCenter: '257', windowWidth: '514' };
    expect((await gray({ frameNumber: '1', ...window })).data[0]).toBe(0);
    expect((await gray({ frameNumber: '2', ...window })).data[0]).toBe(128);
    expect((await gray({ frameNumber: '3', ...window })).data[0]).toBe(255);
    expect((await gray({ rows: '2' })).info).toMatchObject({ width: 2, height: 2 });
    expect((await gray({ columns: '8', rows: '8' })).info).toMatchObject({ width: 8, height: 8 });
    expect((await gray({ region: '0.5,0,1,0.5' })).info).toMatchObject({ width: 2, height: 2 });
  });

  it('has validators and HEAD as the others', async () => {
    const { headers } = await get(wado());
    const again = await fetch(wado(), { headers: { 'If-None-Match': headers.get('etag') ?? '' } });
    expect([again.status, headers.get('cache-control')]).toEqual([304, 'private, no-cache']);
    expect((await fetch(wado(), { method: 'HEAD' })).status).toBe(200);
  });

  it.each([
    ['no requestType', { requestType: 'QIDO' }, 400, 'requestType'],
    ['anonymize', { anonymize: 'yes' }, 406, 'anonymize'],
    ['a presentation state', { presentationUID: '1.2' }, 406, 'presentationUID'],
    ['a UID that is none', { studyUID: 'x' }, 400, '(0020,000D)'],
    ['an instance that is elsewhere', { seriesUID: '8.5.2' }, 404, 'no instance 8.5.9.1'],
    ['a frame of a DICOM file', { contentType: 'application/dicom', frameNumber: '1' }, 400, 'frameNumber'],
    [
      'a transfer syntax of a picture',
      { contentType: 'image/png', transferSyntax: RLE },
      400,
      'transferSyntax',
    ],
    [
      'a transfer syntax it is not in',
      { contentType: 'application/dicom', transferSyntax: RLE },
      406,
      EXPLICIT_LE,
    ],
    ['a format that is not made', { contentType: 'image/avif' }, 406, 'image/jpeg'],
    ['half a window', { windowCenter: '40' }, 400, 'windowWidth'],
    ['a window of nothing', { windowCenter: '40', windowWidth: '0' }, 400, 'windowWidth'],
    ['frame 0', { frameNumber: '0' }, 400, 'frameNumber'],
    ['frame 4 of 3', { frameNumber: '4' }, 404, 'frame 4'],
    ['rows', { rows: '99999' }, 400, 'rows'],
    ['a region inside out', { region: '1,0,0,1' }, 400, 'region'],
    ['a region beyond', { region: '0,0,2,1' }, 400, 'region'],
    ['imageQuality', { imageQuality: '101' }, 400, 'imageQuality'],
    ['annotation', { annotation: 'everything' }, 400, 'annotation'],
  ])('%s is refused in words', async (_name, more, status, sentence) => {
    expect(await refusal(wado(more as Record<string, string>))).toMatchObject({
      status,
      message: expect.stringContaining(sentence),
    });
  });

  it.each(['studyUID', 'seriesUID', 'objectUID'])('without %s is 400', async (name) => {
    const { [name]: _left, ...rest } = UIDS as Record<string, string>;
    expect(await refusal(wado({}, rest))).toMatchObject({
      status: 400,
      message: expect.stringContaining(name),
    });
  });
});

it('a region is the same part of any image', () => {
  const query = parseWadoUri(
    new URLSearchParams({ requestType: 'WADO', ...UIDS, region: '0.25,0.5,0.75,1', rows: '100' }),
  );
  expect(viewportOf(query, { rows: 200, columns: 400 })).toEqual({
    width: 16_384,
    height: 100,
    source: { x: 100, y: 100, width: 200, height: 100 },
  });
});
