/** The kept piece of a header says what the header says, and leaves room for the address of whoever asks. */
import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';
import { expect, it } from 'vitest';
import { decodePiece, encodePiece, type Fragment, fragmentsOf } from '../../src/archive/header-piece.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { dicomJsonText, toDicomJson } from '../../src/dicom/dicom-json.ts';
import { element } from '../dicom/elements.ts';
import { anObject, EXPLICIT } from '../support/an-object.ts';

const pixel = { tag: '7FE00010', vr: 'OW' };
const described = (more: Buffer[] = []) => ({
  dataSet: parseDataSet(anObject({ more }).dataSet, EXPLICIT, { stopAtPixelData: true }),
  pixel,
  transferSyntaxUid: EXPLICIT,
});
const textOf = (fragments: readonly Fragment[], address: string): string =>
  fragments
    .map(({ deflated }) =>
      zlib.inflateRawSync(Buffer.concat([deflated, Buffer.from([3, 0])])).toString('utf8'),
    )
    .join(address);

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
  const fragments = fragmentsOf(given);
  expect(fragments).toHaveLength(3);
  expect(textOf(fragments, address)).toBe(dicomJsonText(json));
  const kept = decodePiece(encodePiece(fragments)!)!;
  expect(textOf(kept, address)).toBe(dicomJsonText(json));
  for (const { deflated, length, crc32 } of kept) {
    const text = zlib.inflateRawSync(Buffer.concat([deflated, Buffer.from([3, 0])]));
    expect([text.length, zlib.crc32(text)]).toEqual([length, crc32]);
  }
});

it('is not kept when it is long', () => {
  const noise = randomBytes(5_000_000).toString('base64');
  const fragments = fragmentsOf(described([element('00214000', 'UT', noise)]));
  expect(encodePiece(fragments)).toBeUndefined();
  expect(textOf(fragments, '')).toContain('00214000');
});

it('of another version is none', () => {
  const piece = encodePiece(fragmentsOf(described()))!;
  piece.writeUInt16LE(0, 0);
  expect(decodePiece(piece)).toBeUndefined();
});

it('that is damaged is told as such', () => {
  const piece = encodePiece(fragmentsOf(described()))!;
  expect(() => decodePiece(piece.subarray(0, piece.length - 1))).toThrow(RangeError);
});
