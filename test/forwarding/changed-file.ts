/** A Part 10 file as a rule changes it, by forwarding's own code, from bytes instead of a store. */
import { createHash } from 'node:crypto';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { type DataSet, parseDataSet, text } from '../../src/dicom/data-set.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { openFile, type SendableObject } from '../../src/forwarding/object-bytes.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';

export const KEY = 'a key of the test, which is long enough';

export function dataSetOf(file: Buffer): DataSet {
  const meta = readFileMeta(file);
  return parseDataSet(file.subarray(meta.dataSetOffset), meta.transferSyntaxUid);
}

/**
 * @param piece bytes that the reader gives at a time
 * @param released a person has looked at it
 */
export async function changedFile(
  file: Buffer,
  transform: Transform,
  { piece = 65_536, released = false } = {},
): Promise<Buffer> {
  const compiled = compileTransform(transform, KEY);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  const meta = readFileMeta(file);
  const header = parseDataSet(file.subarray(meta.dataSetOffset), meta.transferSyntaxUid, {
    stopAtPixelData: true,
  });
  const object = {
    studyUid: text(header, '0020000D'),
    seriesUid: text(header, '0020000E'),
    sopUid: meta.sopInstanceUid,
    sopClass: meta.sopClassUid,
    transferSyntax: meta.transferSyntaxUid,
    contentHash: createHash('sha256').update(file).digest(),
    dataSetOffset: meta.dataSetOffset,
    length: file.length,
    released,
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
    readRange: async (_object, offset, length) => file.subarray(offset, offset + length),
  };
  const { open } = await openFile(reader, object, compiled);
  const out: Buffer[] = [];
  for await (const chunk of open()) out.push(Buffer.from(chunk));
  return Buffer.concat(out);
}
