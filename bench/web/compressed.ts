/**
 * Pictures of compressed frames: slices of the synthetic chest of `isocenter modality`, in each compression a modality
 * or PACS sends, stored over STOW-RS and asked for as JPEG. Called by dicomweb.ts: once to store, then in each round.
 * A server that cannot show one of them has no figure there.
 */
import codecs from 'dcmjs-codecs';
import { createPhantom } from '../../src/cli/phantom.ts';
import { createRandom, namedUid } from '../../src/cli/random.ts';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { elementHeader, encode } from '../series/elements.ts';
import { imageHeader } from '../series/header.ts';
import { CT_IMAGE_STORAGE } from '../series/series.ts';
import type { Figure } from './results.ts';
import { inTurn, type RunningArchive, type Stage, urlOf } from './stage.ts';

const { Context, NativeCodecs } = codecs;
type Encode = (context: InstanceType<typeof Context>) => InstanceType<typeof Context>;

const LOSSLESS = { lossy: false } as const;
const CODINGS: readonly (readonly [name: string, transferSyntaxUid: string, encode: Encode])[] = [
  ['RLE', '1.2.840.10008.1.2.5', (of) => NativeCodecs.encodeRle(of)],
  [
    'JPEG Lossless',
    '1.2.840.10008.1.2.4.70',
    (of) => NativeCodecs.encodeJpeg(of, { ...LOSSLESS, predictor: 1 }),
  ],
  ['JPEG-LS', '1.2.840.10008.1.2.4.80', (of) => NativeCodecs.encodeJpegLs(of, LOSSLESS)],
  ['HTJ2K', '1.2.840.10008.1.2.4.201', (of) => NativeCodecs.encodeHtJpeg2000(of, LOSSLESS)],
  ['JPEG 2000', '1.2.840.10008.1.2.4.90', (of) => NativeCodecs.encodeJpeg2000(of, LOSSLESS)],
];
const SLICES = 5;
const SIDE = 512;
const STUDY = namedUid('bench compressed study');
const SERIES = namedUid('bench compressed series');
const HEADERS = { Accept: 'image/jpeg' };
const BOUNDARY = 'bench-compressed';

const figureOf = (name: string): Figure => ({ name: `rendered 512×512 of ${name}, JPEG`, unit: 'ms' });
const instanceOf = (name: string, slice: number): string => namedUid(`bench compressed ${name} ${slice}`);
const pathOf = (name: string, slice: number): string =>
  `/dicom-web/studies/${STUDY}/series/${SERIES}/instances/${instanceOf(name, slice)}/rendered`;

export async function storeCompressed(stage: Stage): Promise<void> {
  await NativeCodecs.initializeAsync();
  codecs.log.setLevel('silent');
  const phantom = createPhantom(createRandom('bench compressed'));
  const slices = Array.from({ length: SLICES }, (_, slice) => {
    // Stored with an intercept of -1024, in twelve bits.
    const stored = Uint16Array.from(phantom.slice(slice * 20 - 40), (value) => value + 1024);
    return new Uint8Array(stored.buffer);
  });
  for (const [name, transferSyntaxUid, encodeFrame] of CODINGS) {
    const files = slices.map((samples, slice) => {
      const frame = encodeFrame(contextOf(samples)).getEncodedBuffer()!;
      return fileOf(instanceOf(name, slice), transferSyntaxUid, slice, frame);
    });
    for (const archive of stage.archives) await store(archive, files);
  }
}

export async function measureCompressed(stage: Stage): Promise<void> {
  for (const [name] of CODINGS) {
    const requests = Array.from({ length: SLICES }, (_, slice) => ({
      path: pathOf(name, slice),
      headers: HEADERS,
    }));
    for (const archive of inTurn(stage.archives, stage.round)) {
      const url = urlOf(archive);
      const { status, headers } = await fetch(new URL(requests[0]!.path, url), { headers: HEADERS });
      if (status !== 200 || headers.get('content-type') !== 'image/jpeg') continue;
      const { ms } = await stage.load.run(url, requests, { warmUp: 20, seconds: 1.5, atMost: 200 });
      for (const time of ms) stage.results.add(figureOf(name), archive.kind.name, time);
    }
  }
}

function contextOf(decodedBuffer: Uint8Array): InstanceType<typeof Context> {
  return new Context({
    width: SIDE,
    height: SIDE,
    bitsAllocated: 16,
    bitsStored: 12,
    samplesPerPixel: 1,
    pixelRepresentation: 0,
    planarConfiguration: 0,
    photometricInterpretation: 'MONOCHROME2',
    decodedBuffer,
  });
}

/** A Part 10 file whose Pixel Data is one fragment behind an empty Basic Offset Table (PS3.5 A.4). */
function fileOf(sopInstanceUid: string, transferSyntaxUid: string, slice: number, frame: Uint8Array): Buffer {
  const elements = imageHeader({
    sopClassUid: CT_IMAGE_STORAGE,
    sopInstanceUid,
    studyUid: STUDY,
    seriesUid: SERIES,
    frameOfReferenceUid: namedUid('bench compressed frame of reference'),
    modality: 'CT',
    seriesNumber: 1,
    instanceNumber: slice + 1,
    rows: SIDE,
    columns: SIDE,
  });
  const padded = frame.length % 2 === 0 ? frame : Buffer.concat([frame, Buffer.alloc(1)]);
  const item = (tag: string, length: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(0xfffe, 0);
    bytes.writeUInt16LE(Number.parseInt(tag, 16), 2);
    bytes.writeUInt32LE(length, 4);
    return bytes;
  };
  return Buffer.concat([
    buildFileMeta({ sopClassUid: CT_IMAGE_STORAGE, sopInstanceUid, transferSyntaxUid }),
    encode(elements),
    elementHeader('7FE00010', 'OB', 0xffffffff),
    item('E000', 0),
    item('E000', padded.length),
    padded,
    item('E0DD', 0),
  ]);
}

async function store(archive: RunningArchive, files: readonly Buffer[]): Promise<void> {
  const body = Buffer.concat([
    ...files.flatMap((file) => [
      Buffer.from(`--${BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n`),
      file,
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${BOUNDARY}--\r\n`),
  ]);
  const response = await fetch(new URL('/dicom-web/studies', urlOf(archive)), {
    method: 'POST',
    headers: {
      'Content-Type': `multipart/related; type="application/dicom"; boundary=${BOUNDARY}`,
      Accept: 'application/dicom+json',
    },
    body,
  });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${archive.kind.title} answered ${response.status} to STOW-RS`);
}
