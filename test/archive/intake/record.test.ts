import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  aligned,
  contentHash,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeRecordHeader,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordSpan,
} from '../../../src/archive/intake/record.ts';

const nonce = randomBytes(16);
const header: RecordHeader = {
  bodyLength: 2 ** 33,
  contentHash: randomBytes(32),
  meta: {
    sopClassUid: '1.2',
    sopInstanceUid: '1.2.3',
    studyInstanceUid: '1.2.4',
    seriesInstanceUid: '1.2.5',
    transferSyntaxUid: '1.2.840.10008.1.2.1',
    dataSetOffset: 344,
    receivedAt: '2026-01-01T00:00:00.000Z',
    from: { reception: 'r', kind: 'dimse', callingAe: 'CT', openedAt: '2026-01-01T00:00:00.000Z' },
  },
};

describe('a segment header', () => {
  it('gives its nonce back', () => {
    expect(decodeSegmentHeader(encodeSegmentHeader(nonce))).toEqual(nonce);
  });
  it.each([0, 3, 8, 20, 23, 24, 55])('is not believed with byte %i changed', (at) => {
    const block = encodeSegmentHeader(nonce);
    block[at]! ^= 1;
    expect(decodeSegmentHeader(block)).toBeUndefined();
  });
  it('of zeros is a segment that is free', () => {
    expect(decodeSegmentHeader(Buffer.alloc(512))).toBeUndefined();
    expect(decodeSegmentHeader(Buffer.alloc(3))).toBeUndefined();
  });
});

describe('a record header', () => {
  it('comes back as it was written, lengths beyond 32 bits too', () => {
    const block = encodeRecordHeader(nonce, header);
    expect(block).toHaveLength(RECORD_HEADER_BYTES);
    expect(decodeRecordHeader(block, nonce)).toEqual(header);
  });
  it('of another use of the segment is none', () => {
    expect(decodeRecordHeader(encodeRecordHeader(nonce, header), randomBytes(16))).toBeUndefined();
  });
  it('with any bit changed is none', () => {
    const block = encodeRecordHeader(nonce, header);
    for (let at = 0; at < block.length; at += 37) {
      const torn = Buffer.from(block);
      torn[at]! ^= 0x40;
      expect(decodeRecordHeader(torn, nonce), `byte ${at}`).toBeUndefined();
    }
  });
  it('that is cut short is none', () => {
    const block = encodeRecordHeader(nonce, header);
    expect(decodeRecordHeader(block.subarray(0, 2000), nonce)).toBeUndefined();
  });
  it('refuses what does not fit it', () => {
    const from = { ...header.meta.from, actor: 'x'.repeat(2000) };
    expect(() => encodeRecordHeader(nonce, { ...header, meta: { ...header.meta, from } })).toThrow(
      /does not fit/,
    );
  });
});

describe('spans and hashes', () => {
  it('a record ends on a multiple of 512, a spilled one holds its header alone', () => {
    expect(aligned(1)).toBe(512);
    expect(aligned(512)).toBe(512);
    expect(recordSpan({ ...header, bodyLength: 1 })).toBe(2048 + 512);
    expect(recordSpan({ ...header, meta: { ...header.meta, external: 'x.obj' } })).toBe(2048);
  });
  it('the content hash is of the transfer syntax, a NUL and the data set', () => {
    const expected = createHash('sha256').update('1.2\0abc').digest('hex');
    expect(contentHash('1.2').update('abc').digest('hex')).toBe(expected);
  });
});
