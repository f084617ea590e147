/**
 * dicomweb-client, the library under OHIF and Slim, against the whole program: every call it has. That none is left
 * out is read from its prototype at the end.
 */
import { api } from 'dicomweb-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { type House, openHouse } from '../support/house.ts';
import { dicomwebClient, type Json, value } from './door.ts';
import { EXPLICIT_LE, madeObject, RAMP } from './made-object.ts';

type Options = Record<string, unknown>;
type Calls = Record<string, (options?: Options) => Promise<unknown>>;

const RLE = '1.2.840.10008.1.2.5';
const OCTETS = { mediaType: 'application/octet-stream', transferSyntaxUID: EXPLICIT_LE };
const AS_RLE = { mediaType: 'image/x-dicom-rle', transferSyntaxUID: RLE };
const FRAMES = Buffer.concat([RAMP, Buffer.alloc(32, 1), Buffer.alloc(32, 2)]);
const LONG = Buffer.alloc(3000, 'isocenter');
/** The ramp (PS3.5 G): two segments, the upper bytes first, each one literal run of sixteen. */
const CODESTREAM = Buffer.concat([
  Buffer.from(new Uint32Array([2, 64, 82, ...Array<number>(13).fill(0)]).buffer),
  ...[1, 0].map((of) => Buffer.from([15, ...RAMP.filter((_, n) => n % 2 === of), 0])),
]);

const image = madeObject({
  study: '8.1',
  series: '8.1.1',
  instance: '8.1.9.1',
  elements: [
    ['00090010', 'LO', 'TEST'],
    ['00091001', 'OB', LONG],
    ['00280008', 'IS', '3'],
  ],
  pixels: FRAMES,
});
const compressed = madeObject({
  study: '8.1',
  series: '8.1.2',
  instance: '8.1.9.2',
  transferSyntax: RLE,
  fragments: [Buffer.alloc(0), CODESTREAM],
});
const OF_IMAGE = { studyInstanceUID: '8.1', seriesInstanceUID: '8.1.1', sopInstanceUID: '8.1.9.1' };
const OF_COMPRESSED = { studyInstanceUID: '8.1', seriesInstanceUID: '8.1.2', sopInstanceUID: '8.1.9.2' };

let house: House;
let client: Calls;
const called = new Set<string>();

beforeAll(async () => {
  house = await openHouse();
  const target = dicomwebClient(house.url) as unknown as Calls;
  client = new Proxy(target, {
    get(library, name: string) {
      called.add(name);
      return library[name]?.bind(library);
    },
  });
});
afterAll(() => house.close());

const dataSetOf = (file: Buffer): Buffer => file.subarray(readFileMeta(file).dataSetOffset);
const arrayBuffer = (file: Buffer): ArrayBuffer => new Uint8Array(file).buffer;
const bytes = (answer: unknown): Buffer[] => [answer].flat().map((part) => Buffer.from(part as ArrayBuffer));
const uids = (answer: unknown, tag: string): unknown[] => (answer as Json[]).map((json) => value(json, tag));
const JPEG = [0xff, 0xd8, 0xff];
const PNG = [0x89, 0x50, 0x4e];

describe('dicomweb-client', () => {
  it('stores', async () => {
    await client.storeInstances!({ datasets: [arrayBuffer(image)] });
    await client.storeInstances!({ datasets: [arrayBuffer(compressed)], studyInstanceUID: '8.1' });
  });

  it('is told what was not stored', async () => {
    const refused = client.storeInstances!({ datasets: [arrayBuffer(image)], studyInstanceUID: '8.2' });
    await expect(refused).rejects.toMatchObject({ status: 409 });
  });

  it('searches at every level', async () => {
    const queryParams = { PatientID: 'P1', limit: 5, offset: 0, includefield: 'all' };
    expect(uids(await client.searchForStudies!({ queryParams }), '0020000D')).toEqual(['8.1']);
    expect(uids(await client.searchForStudies!(), '0020000D')).toEqual(['8.1']);
    expect(await client.searchForStudies!({ queryParams: { PatientID: 'P2' } })).toEqual([]);
    const inStudy = { studyInstanceUID: '8.1' };
    expect(uids(await client.searchForSeries!(inStudy), '0020000E').sort()).toEqual(['8.1.1', '8.1.2']);
    expect(uids(await client.searchForSeries!(), '0020000E')).toHaveLength(2);
    const inSeries = { ...inStudy, seriesInstanceUID: '8.1.2' };
    expect(uids(await client.searchForInstances!(inSeries), '00080018')).toEqual(['8.1.9.2']);
    expect(uids(await client.searchForInstances!(inStudy), '00080018')).toHaveLength(2);
    const byUid = { queryParams: { SOPInstanceUID: '8.1.9.1' } };
    expect(uids(await client.searchForInstances!(byUid), '00080018')).toEqual(['8.1.9.1']);
    await expect(client.searchForStudies!({ queryParams: { Nonsense: 1 } })).rejects.toMatchObject({
      status: 400,
    });
  });

  it('reads metadata at every level', async () => {
    expect(uids(await client.retrieveStudyMetadata!(OF_IMAGE), '00080018')).toHaveLength(2);
    expect(uids(await client.retrieveSeriesMetadata!(OF_IMAGE), '00080018')).toEqual(['8.1.9.1']);
    expect(uids(await client.retrieveInstanceMetadata!(OF_COMPRESSED), '00080018')).toEqual(['8.1.9.2']);
  });

  it('retrieves instances at every level', async () => {
    const [one] = bytes(await client.retrieveInstance!(OF_IMAGE));
    expect(dataSetOf(one!).equals(dataSetOf(image))).toBe(true);
    expect(bytes(await client.retrieveSeries!(OF_IMAGE))).toHaveLength(1);
    // It has no way to ask for what is stored: RLE comes decoded, in Explicit VR Little Endian.
    const all = bytes(await client.retrieveStudy!(OF_IMAGE));
    expect(all.map((file) => readFileMeta(file).transferSyntaxUid)).toEqual([EXPLICIT_LE, EXPLICIT_LE]);
    expect(all[1]!.subarray(-RAMP.length)).toEqual(RAMP);
  });

  it('retrieves frames, uncompressed and as stored', async () => {
    const frames = bytes(await client.retrieveInstanceFrames!({ ...OF_IMAGE, frameNumbers: [3, 1] }));
    expect(frames.map((frame) => frame.length)).toEqual([32, 32]);
    const wanted = [
      [OF_IMAGE, [OCTETS], RAMP],
      [OF_IMAGE, [OCTETS, AS_RLE], RAMP],
      [OF_COMPRESSED, [AS_RLE], CODESTREAM],
      [OF_COMPRESSED, [OCTETS, AS_RLE], CODESTREAM],
    ] as const;
    for (const [where, mediaTypes, expected] of wanted) {
      const found = await client.retrieveInstanceFrames!({ ...where, frameNumbers: [1], mediaTypes });
      expect(bytes(found)).toEqual([expected]);
    }
  });

  it('has instances, frames and thumbnails rendered', async () => {
    const asPng = { mediaTypes: [{ mediaType: 'image/png' }] };
    const small = { queryParams: { viewport: '2,2' } };
    const first = (answer: unknown): number[] => [...bytes(answer)[0]!.subarray(0, 3)];
    expect(first(await client.retrieveInstanceRendered!(OF_IMAGE))).toEqual(JPEG);
    expect(first(await client.retrieveInstanceRendered!({ ...OF_IMAGE, ...asPng, ...small }))).toEqual(PNG);
    expect(first(await client.retrieveInstanceThumbnail!(OF_IMAGE))).toEqual(JPEG);
    const second = { ...OF_IMAGE, frameNumbers: [2] };
    expect(first(await client.retrieveInstanceFramesRendered!({ ...second, ...small }))).toEqual(JPEG);
    expect(first(await client.retrieveInstanceFramesRendered!({ ...second, ...asPng }))).toEqual(PNG);
    expect(first(await client.retrieveInstanceFramesThumbnail!(second))).toEqual(JPEG);
  });

  it('reads bulk data in parts, alone, and by a range', async () => {
    const [json] = (await client.retrieveInstanceMetadata!(OF_IMAGE)) as Json[];
    const { BulkDataURI } = json!['00091001']!;
    expect(bytes(await client.retrieveBulkData!({ BulkDataURI }))).toEqual([LONG]);
    const alone = dicomwebClient(house.url) as unknown as Calls & { singlepart: string };
    alone.singlepart = 'bulkdata';
    const headers = { Accept: 'application/octet-stream' };
    expect(bytes(await alone.retrieveBulkData!({ BulkDataURI, headers }))).toEqual([LONG]);
    const ranged = { ...headers, Range: 'bytes=9-17' };
    const [part] = bytes(await alone.retrieveBulkData!({ BulkDataURI, headers: ranged }));
    expect(part!.toString()).toBe('isocenter');
  });

  it('makes addresses for WADO-URI that lead to the object', async () => {
    const target = new api.DICOMwebClient({ url: house.url, wadoURLPrefix: 'wado' } as never);
    const address = target.buildInstanceWadoURIUrl(OF_COMPRESSED as never);
    called.add('buildInstanceWadoURIUrl');
    const response = await fetch(address);
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('application/dicom'),
    ]);
    const file = Buffer.from(await response.arrayBuffer());
    // Its default is transferSyntax=*.
    expect(dataSetOf(file).equals(dataSetOf(compressed))).toBe(true);
  });

  it('was asked everything it can do', () => {
    // The rest of them says how much the library itself says.
    const others = [
      'constructor',
      'setDebug',
      'getDebug',
      'setVerbose',
      'getVerbose',
      'buildInstanceWadoURIUrl',
    ];
    const all = Object.getOwnPropertyNames(api.DICOMwebClient.prototype).filter(
      (name) => !name.startsWith('_') && !others.includes(name),
    );
    expect(all.filter((name) => !called.has(name))).toEqual([]);
    expect(all.length).toBeGreaterThan(14);
  });
});
