/** The kept piece of a header says what the header says, and leaves room for the address of whoever asks. */
import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';
import { expect, it } from 'vitest';
import { eachFragment, isCurrent, makePiece } from '../../src/archive/header-piece.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { type DicomJson, dicomJsonText, toDicomJson } from '../../src/dicom/dicom-json.ts';
import { element } from '../dicom/elements.ts';
import { anObject, EXPLICIT } from '../support/an-object.ts';

const pixel = { tag: '7FE00010', vr: 'OW' };
const described = (more: Buffer[] = []) => ({
  dataSet: parseDataSet(anObject({ more }).dataSet, EXPLICIT, { stopAtPixelData: true }),
  pixel,
  transferSyntaxUid: EXPLICIT,
});
/** Its text, with the address between the fragments; each checked against its own length and sum. */
function textOf(piece: Buffer, address: string): string {
  const texts: Buffer[] = [];
  eachFragment(piece, (from, to, crc32, length) => {
    const text = zlib.inflateRawSync(Buffer.concat([piece.subarray(from, to), Buffer.from([3, 0])]));
    expect([text.length, zlib.crc32(text)]).toEqual([length, crc32]);
    texts.push(text);
  });
  return texts.map(String).join(address);
}

it('is the DICOM JSON of the header, with the addresses of its bulk values put in', () => {
  const given = described([
    element('00210010', 'LO', 'MADE'),
    element('00211001', 'OB', Buffer.alloc(3000, 7)),
    element('00214000', 'LT', 'Größe: "7" \\ 日本'),
  ]);
  const address = 'https://archive.example/dicom-web/studies/1/series/2/instances/3';
  const json = toDicomJson(given.dataSet, {
    bulkDataUri: (path) => `${address}/bulkdata/${path}`,
    pixelData: pixel,
  });
  json['00083002'] = { vr: 'UI', Value: [EXPLICIT] };
  const piece = makePiece(given);
  const text = textOf(piece, address);
  expect(JSON.parse(text)).toEqual(json);
  expect(text).toBe(dicomJsonText(JSON.parse(text) as DicomJson));
  expect(textOf(piece, '<').split('</bulkdata/')).toHaveLength(3);
});

it('is as long as the header', () => {
  const noise = randomBytes(5_000_000).toString('base64');
  expect(textOf(makePiece(described([element('00214000', 'UT', noise)])), '')).toContain(noise);
});

it('of another version is not current', () => {
  const piece = makePiece(described());
  expect(isCurrent(piece)).toBe(true);
  piece.writeUInt16LE(0, 0);
  expect(isCurrent(piece)).toBe(false);
});

it('that is cut short is told as such', () => {
  const piece = makePiece(described());
  expect(() => textOf(piece.subarray(0, piece.length - 1), '')).toThrow(RangeError);
});
