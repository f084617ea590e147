/**
 * A Part 10 file as the archive sees it: header, Image Pixel module and the bytes of each frame, by the same code that
 * serves them (archive/object-frames.ts), without a store in between. For suites over real and generated files.
 */
import { readFileSync } from 'node:fs';
import { framesOf, heldFrame, type ImageFrames } from '../../src/archive/object-frames.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import type { StoredObject } from '../../src/archive/stored-object.ts';
import { type DataSet, parseDataSet } from '../../src/dicom/data-set.ts';
import { inflateHead } from '../../src/dicom/deflated.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import { Failure } from '../../src/failure.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';

export interface ImageFile {
  readonly header: DataSet;
  readonly pixel: ImagePixel;
  readonly frameCount: number;
  /** Counted from 1. */
  frame(number: number): Promise<Buffer>;
}

/** @throws Failure as the archive would; 'not-found' without pixels */
export function imageOf(file: string | Uint8Array): ImageFile {
  const bytes = typeof file === 'string' ? readFileSync(file) : Buffer.from(file);
  const meta = readFileMeta(bytes);
  const syntax = transferSyntax(meta.transferSyntaxUid);
  let dataSet: Buffer = bytes.subarray(meta.dataSetOffset);
  let uid = meta.transferSyntaxUid;
  if (syntax.deflated) {
    dataSet = Buffer.from(inflateHead(dataSet, true).bytes);
    uid = EXPLICIT_LE;
  }
  const scan = new HeaderScan(uid);
  scan.push(dataSet);
  const place = scan.end().pixelData;
  if (!place) throw new Failure('not-found', 'the file has no pixels');
  const header = parseDataSet(dataSet.subarray(0, place.elementOffset), uid, { stopAtPixelData: true });
  const image: ImageFrames = framesOf(header, place, uid);
  const object = {
    transferSyntax: uid,
    pixel: place,
    dataSetOffset: 0,
    length: dataSet.length,
  } as StoredObject;
  const reader: ObjectReader = {
    async *read(_object, range = { offset: 0, length: dataSet.length }) {
      yield dataSet.subarray(range.offset, range.offset + range.length);
    },
    hasAll: async () => undefined,
    readRange: async (_object, offset, length) => dataSet.subarray(offset, offset + length),
  };
  return {
    header,
    pixel: image.pixel,
    frameCount: image.frames.length,
    frame: (number) => heldFrame({ reader }, object, image, number),
  };
}
