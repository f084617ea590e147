/** A Part 10 file as the archive would have it, without a store: its row as far as forwarding asks, and its bytes. */
import { createHash } from 'node:crypto';
import { INSTANCE_LEVEL, pick } from '../../src/archive/indexed-attributes.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { inflateHead } from '../../src/dicom/deflated.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import type { SendableObject } from '../../src/forwarding/object-bytes.ts';

/** @param piece bytes that the reader gives at a time */
export function storedFile(file: Buffer, piece = 65_536): { object: SendableObject; reader: ObjectReader } {
  const meta = readFileMeta(file);
  const scan = new HeaderScan(meta.transferSyntaxUid);
  const dataSet = file.subarray(meta.dataSetOffset);
  scan.push(dataSet);
  const isDeflated = transferSyntax(meta.transferSyntaxUid).deflated;
  const header = isDeflated
    ? parseDataSet(inflateHead(dataSet, true).bytes, EXPLICIT_LE, { stopAtPixelData: true })
    : parseDataSet(dataSet, meta.transferSyntaxUid, { stopAtPixelData: true });
  const object = {
    studyUid: text(header, '0020000D'),
    seriesUid: text(header, '0020000E'),
    sopUid: text(header, '00080018'),
    sopClass: text(header, '00080016'),
    transferSyntax: meta.transferSyntaxUid,
    contentHash: createHash('sha256').update(file).digest(),
    dataSetOffset: meta.dataSetOffset,
    length: file.length,
    pixel: scan.end().pixelData ?? null,
    attributes: pick(toDicomJson(header), INSTANCE_LEVEL),
    location: 'store',
    released: false,
  } as unknown as SendableObject;
  const reader: ObjectReader = {
    async *read(_object, range = { offset: 0, length: file.length }) {
      // One buffer again and again, as readers may.
      const buffer = Buffer.alloc(piece);
      for (let at = range.offset; at < range.offset + range.length; at += piece) {
        const count = Math.min(piece, range.offset + range.length - at);
        file.copy(buffer, 0, at, at + count);
        yield buffer.subarray(0, count);
      }
    },
    hasAll: async () => undefined,
    readRange: async (_object, offset, length) => Buffer.from(file.subarray(offset, offset + length)),
  };
  return { object, reader };
}
