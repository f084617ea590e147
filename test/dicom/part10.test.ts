import { describe, expect, test } from 'vitest';
import { buildFileMeta, readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { Failure } from '../../src/failure.ts';
import { element, uint32 } from './elements.ts';

const of = {
  sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
  sopInstanceUid: '1.2.3.4',
  transferSyntaxUid: IMPLICIT_LE,
};
const dataSet = element('00080018', 'UI', '1.2.3.4\0', { implicit: true });
const PREAMBLE = 132;

describe('what we write', () => {
  test('is read back, the data set where it says', () => {
    const file = Buffer.concat([buildFileMeta({ ...of, sourceAeTitle: 'CT1' }), dataSet]);
    const { dataSetOffset, ...meta } = readFileMeta(file);
    expect(meta).toEqual(of);
    expect(file.subarray(dataSetOffset)).toEqual(dataSet);
  });

  test('has a preamble of zeros, DICM, a true group length, and even values', () => {
    const meta = buildFileMeta({ ...of, sourceAeTitle: 'CT1' });
    expect(meta.subarray(0, 128)).toEqual(Buffer.alloc(128));
    expect(meta.toString('latin1', 128, 132)).toBe('DICM');
    expect(meta.readUInt32LE(PREAMBLE + 8)).toBe(meta.length - PREAMBLE - 12);
    expect(meta.length % 2).toBe(0);
    expect(meta.includes('CT1 ')).toBe(true);
  });
});

describe('what others write', () => {
  const syntax = element('00020010', 'UI', `${EXPLICIT_LE}\0`);
  const written = (...parts: Buffer[]) =>
    Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), ...parts, dataSet]);

  test.each([
    ['a wrong group length', element('00020000', 'UL', uint32(7))],
    ['no group length', Buffer.alloc(0)],
    ['elements that we do not know', element('00020100', 'UI', '1.2\0')],
  ])('%s is tolerated', (_name, before) => {
    const file = written(before, syntax);
    expect(readFileMeta(file)).toEqual({
      transferSyntaxUid: EXPLICIT_LE,
      dataSetOffset: file.length - dataSet.length,
    });
  });

  test('DICM or group 0002 at the very start is read', () => {
    expect(readFileMeta(written(syntax).subarray(128)).dataSetOffset).toBe(4 + syntax.length);
    expect(readFileMeta(written(syntax).subarray(132)).dataSetOffset).toBe(syntax.length);
  });

  test('a file that ends with its File Meta has an empty data set', () => {
    const file = written(syntax).subarray(0, -dataSet.length);
    expect(readFileMeta(file).dataSetOffset).toBe(file.length);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /not a DICOM file/],
    ['HTML', Buffer.from('<!doctype html><title>502</title>'.padEnd(300)), /not a DICOM file/],
    ['a bare data set', dataSet, /not a DICOM file/],
    ['no transfer syntax', written(element('00020002', 'UI', '1.2\0')), /no \(0002,0010\) TransferSyntaxUID/],
    [
      'an empty transfer syntax',
      written(element('00020010', 'UI', '')),
      /no \(0002,0010\) TransferSyntaxUID/,
    ],
    ['a value cut short', written(syntax).subarray(0, 150), /truncated inside \(0002,0010\).*10 bytes of 20/],
    ['a header cut short', written(syntax).subarray(0, 136), /cut short inside an element header/],
    ['no VR', written(element('00020002', '\0\0', '1.2\0'), syntax), /\(0002,0002\).*value representation/],
  ])('%s is refused in words', (_name, file, sentence) => {
    expect(() => readFileMeta(file)).toThrow(sentence);
    expect(() => readFileMeta(file)).toThrow(Failure);
  });
});
