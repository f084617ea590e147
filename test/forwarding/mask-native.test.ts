/**
 * Masks on native pixels, against a mask drawn sample by sample: every layout of samples, in pieces of every size; what
 * lies outside stays as it was, to the bit.
 */
import { describe, expect, test } from 'vitest';
import { text, texts } from '../../src/dicom/data-set.ts';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import type { MaskSettings } from '../../src/transform/mask.ts';
import type { Transform } from '../../src/transform/transform.ts';
import { element, sequence } from '../dicom/elements.ts';
import { changedFile, dataSetOf } from './changed-file.ts';

const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';

interface Given {
  rows: number;
  columns: number;
  frames?: number;
  samples?: number;
  allocated?: number;
  stored?: number;
  high?: number;
  signed?: boolean;
  planar?: boolean;
  name?: string;
  /** Samples of a pixel pair: Y Y B R. */
  shared?: boolean;
  more?: Buffer[];
  behind?: Buffer;
  implicit?: boolean;
}
const uint16 = (...values: number[]): Buffer => Buffer.from(Uint16Array.from(values).buffer);

function bitsOf({ rows, columns, frames = 1, samples = 1, allocated = 8, shared }: Given): number {
  return rows * columns * frames * (shared ? 16 : samples * allocated);
}
function noise(given: Given): Buffer {
  const bytes = Buffer.alloc(Math.ceil(bitsOf(given) / 8));
  for (let at = 0, seed = 1; at < bytes.length; at++) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    bytes[at] = seed >> 16;
  }
  return bytes;
}
function fileOf(given: Given, pixels = noise(given)): Buffer {
  const { implicit = false, samples = 1, allocated = 8, stored = allocated, high = stored - 1 } = given;
  const as = { implicit };
  const us = (tag: string, value: number): [string, Buffer] => [tag, element(tag, 'US', uint16(value), as)];
  const cs = (tag: string, vr: string, value: string): [string, Buffer] => [
    tag,
    element(tag, vr, value.length % 2 ? `${value}${vr === 'UI' ? '\0' : ' '}` : value, as),
  ];
  const more = (given.more ?? []).map((bytes): [string, Buffer] => [tagOf(bytes), bytes]);
  const padded = pixels.length % 2 ? Buffer.concat([pixels, Buffer.alloc(1)]) : pixels;
  const elements = [
    cs('00080008', 'CS', 'ORIGINAL\\PRIMARY'),
    cs('00080016', 'UI', SECONDARY_CAPTURE),
    cs('00080018', 'UI', '1.2.3.4'),
    cs('00080060', 'CS', 'US'),
    cs('00080070', 'LO', 'ACME Sonics'),
    cs('00081090', 'LO', 'Wave 7'),
    cs('0020000D', 'UI', '1.2.3'),
    cs('0020000E', 'UI', '1.2.3.1'),
    us('00280002', samples),
    cs('00280004', 'CS', given.name ?? 'MONOCHROME2'),
    us('00280006', given.planar ? 1 : 0),
    cs('00280008', 'IS', String(given.frames ?? 1)),
    us('00280010', given.rows),
    us('00280011', given.columns),
    us('00280100', allocated),
    us('00280101', stored),
    us('00280102', high),
    us('00280103', given.signed ? 1 : 0),
    us('00280106', 3),
    ...more,
    ['7FE00010', element('7FE00010', allocated > 8 ? 'OW' : 'OB', padded, as)],
  ] as [string, Buffer][];
  elements.sort(([a], [b]) => (a < b ? -1 : 1));
  const meta = buildFileMeta({
    sopClassUid: SECONDARY_CAPTURE,
    sopInstanceUid: '1.2.3.4',
    transferSyntaxUid: implicit ? IMPLICIT_LE : EXPLICIT_LE,
  });
  return Buffer.concat([meta, ...elements.map(([, bytes]) => bytes), given.behind ?? Buffer.alloc(0)]);
}
function tagOf(bytes: Buffer): string {
  const hex = (at: number): string => bytes.readUInt16LE(at).toString(16).padStart(4, '0');
  return `${hex(0)}${hex(2)}`.toUpperCase();
}
function pixelsOf(file: Buffer): Buffer {
  return Buffer.from(dataSetOf(file).elements.get('7FE00010')!.value);
}
const masked = (file: Buffer, mask: MaskSettings | MaskSettings[], piece?: number): Promise<Buffer> =>
  changedFile(file, [{ mask }], piece === undefined ? {} : { piece });

const TOP_AND_BOX: MaskSettings = {
  regions: [
    { edge: 'top', pixels: 2 },
    { right: 1, bottom: 1, width: 3, height: 2 },
  ],
};
const inTopOrBox = (row: number, column: number, { rows, columns }: Given): boolean =>
  row < 2 || (row >= rows - 3 && row < rows - 1 && column >= columns - 4 && column < columns - 1);

/** What each sample becomes, bit by bit, by a walk over the samples as they lie. */
function expected(given: Given, before: Buffer, black: readonly number[]): Buffer {
  const { rows, columns, frames = 1, samples = 1, allocated = 8, planar, shared } = given;
  const after = Buffer.from(before);
  const put = (bit: number, width: number, value: number): void => {
    const bits = BigInt.asUintN(width, BigInt(value));
    for (let n = 0; n < width; n++) {
      const byte = (bit + n) >> 3;
      const mask = 1 << ((bit + n) & 7);
      after[byte] = (bits >> BigInt(n)) & 1n ? after[byte]! | mask : after[byte]! & ~mask;
    }
  };
  const frameBits = bitsOf({ ...given, frames: 1 });
  for (let frame = 0; frame < frames; frame++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        if (!inTopOrBox(row, column, given)) continue;
        const at = row * columns + column;
        if (shared) {
          const pair = frame * frameBits + (at >> 1) * 32;
          for (const [n, value] of [0, 0, 128, 128].entries()) put(pair + n * 8, 8, value);
          continue;
        }
        for (let sample = 0; sample < samples; sample++)
          put(
            frame * frameBits + (planar ? sample * rows * columns + at : at * samples + sample) * allocated,
            allocated,
            black[sample]!,
          );
      }
  return after;
}

const LAYOUTS: [string, Given, number[]][] = [
  ['8 bits', { rows: 9, columns: 11, frames: 3 }, [0]],
  ['MONOCHROME1', { rows: 9, columns: 11, name: 'MONOCHROME1' }, [255]],
  ['MONOCHROME1 of 12 bits', { rows: 9, columns: 7, allocated: 16, stored: 12, name: 'MONOCHROME1' }, [4095]],
  ['16 bits signed', { rows: 8, columns: 9, allocated: 16, signed: true, frames: 2 }, [-32768]],
  ['12 bits signed', { rows: 8, columns: 9, allocated: 16, stored: 12, signed: true }, [-2048]],
  [
    'signed MONOCHROME1',
    { rows: 8, columns: 9, allocated: 16, stored: 12, signed: true, name: 'MONOCHROME1' },
    [2047],
  ],
  [
    '12 bits at the top of 16',
    { rows: 8, columns: 9, allocated: 16, stored: 12, high: 15, name: 'MONOCHROME1' },
    [4095 << 4],
  ],
  ['32 bits', { rows: 8, columns: 5, allocated: 32, name: 'MONOCHROME1' }, [4294967295]],
  ['RGB', { rows: 9, columns: 5, samples: 3, name: 'RGB', frames: 2 }, [0, 0, 0]],
  ['RGB by plane', { rows: 9, columns: 5, samples: 3, name: 'RGB', planar: true, frames: 2 }, [0, 0, 0]],
  ['RGB of 16 bits', { rows: 9, columns: 5, samples: 3, name: 'RGB', allocated: 16 }, [0, 0, 0]],
  ['YBR_FULL', { rows: 9, columns: 5, samples: 3, name: 'YBR_FULL' }, [0, 128, 128]],
  [
    'YBR_FULL by plane',
    { rows: 9, columns: 5, samples: 3, name: 'YBR_FULL', planar: true, frames: 2 },
    [0, 128, 128],
  ],
  [
    'YBR_FULL_422, shared',
    { rows: 7, columns: 8, samples: 3, name: 'YBR_FULL_422', shared: true, frames: 2 },
    [],
  ],
  ['YBR_FULL_422, whole', { rows: 7, columns: 8, samples: 3, name: 'YBR_FULL_422' }, [0, 128, 128]],
  ['CMYK', { rows: 7, columns: 5, samples: 4, name: 'CMYK' }, [0, 0, 0, 255]],
  ['single bits', { rows: 6, columns: 7, allocated: 1, frames: 4 }, [0]],
  ['single bits, MONOCHROME1', { rows: 6, columns: 7, allocated: 1, frames: 4, name: 'MONOCHROME1' }, [1]],
];

describe.each(LAYOUTS)('%s', (_, given, black) => {
  test.each([1, 7, 100, 65_536])('in pieces of %i: black inside, and not a bit outside', async (piece) => {
    const file = fileOf(given);
    const sent = await masked(file, TOP_AND_BOX, piece);
    const [before, after] = [pixelsOf(file), pixelsOf(sent)];
    const wanted = expected(given, before, black);
    expect(wanted.equals(before)).toBe(false);
    expect(after.equals(wanted)).toBe(true);
  });
});

describe('a palette', () => {
  const table = (tag: string, values: number[]): Buffer => element(tag, 'OW', uint16(...values));
  const descriptor = (tag: string): Buffer => element(tag, 'US', uint16(4, 10, 16));
  const more = [
    descriptor('00281101'),
    descriptor('00281102'),
    descriptor('00281103'),
    table('00281201', [9000, 0, 300, 9000]),
    table('00281202', [9000, 9000, 200, 9000]),
    table('00281203', [9000, 0, 100, 9000]),
  ];

  test('is blanked with its darkest entry', async () => {
    const given: Given = { rows: 9, columns: 6, name: 'PALETTE COLOR', more };
    const file = fileOf(given);
    expect(pixelsOf(await masked(file, TOP_AND_BOX)).equals(expected(given, pixelsOf(file), [12]))).toBe(
      true,
    );
  });

  test('that is missing is not guessed at', async () => {
    const file = fileOf({ rows: 9, columns: 6, name: 'PALETTE COLOR' });
    await expect(masked(file, TOP_AND_BOX)).rejects.toThrow(
      /not sent as the rule asks: .*palette is missing/,
    );
  });
});

test('Implicit VR is masked as well, and leaves as it came', async () => {
  const given: Given = { rows: 9, columns: 6, implicit: true };
  const file = fileOf(given);
  expect(pixelsOf(await masked(file, TOP_AND_BOX)).equals(expected(given, pixelsOf(file), [0]))).toBe(true);
});

test('what stands behind the last frame, and behind the pixels, does not leave', async () => {
  const given: Given = {
    rows: 4,
    columns: 4,
    behind: element('7FE10010', 'LO', 'SECRET'),
  };
  const sent = await masked(fileOf(given, Buffer.concat([noise(given), Buffer.from('SECRET')])), TOP_AND_BOX);
  expect(sent.includes('SECRET')).toBe(false);
  expect(pixelsOf(sent)).toHaveLength(22);
});

describe('what is masked', () => {
  const given: Given = { rows: 10, columns: 12 };
  const blackAt = async (mask: MaskSettings | MaskSettings[], more: Buffer[] = []): Promise<string> => {
    const pixels = pixelsOf(await masked(fileOf({ ...given, more }, Buffer.alloc(120, 9)), mask));
    return Array.from({ length: 10 }, (_, row) =>
      Array.from({ length: 12 }, (_, column) => (pixels[row * 12 + column] === 0 ? '#' : '.')).join(''),
    ).join('\n');
  };
  const region = (left: number, top: number, right: number, bottom: number): Buffer => {
    const ul = (tag: string, value: number): Buffer =>
      element(tag, 'UL', Buffer.from(Uint32Array.of(value).buffer));
    return Buffer.concat([
      ul('00186018', left),
      ul('0018601A', top),
      ul('0018601C', right),
      ul('0018601E', bottom),
    ]);
  };
  const regions = (...all: Buffer[]): Buffer[] => [sequence('00186011', all)];
  const ROW = '............';
  const FULL = '############';

  test('is every region, clipped to the image', async () => {
    expect(
      await blackAt({
        regions: [
          { edge: 'bottom', pixels: 1 },
          { edge: 'left', pixels: 2 },
          { left: 10, top: 0, width: 100, height: 2 },
          { right: 0, bottom: 9, width: 4, height: 5 },
        ],
      }),
    ).toBe(['##......####', '##........##', ...new Array(7).fill('##..........'), FULL].join('\n'));
  });

  test('is what lies outside of the ultrasound regions, and a region in them', async () => {
    expect(
      await blackAt(
        { outsideUltrasoundRegions: true, regions: [{ left: 2, top: 2, width: 2, height: 1 }] },
        regions(region(1, 1, 5, 7), region(4, 3, 10, 8)),
      ),
    ).toBe(
      [FULL, '#.....######', '#.##..######', ...new Array(5).fill('#..........#'), '####.......#', FULL].join(
        '\n',
      ),
    );
  });

  test('is the first mask that is for the image', async () => {
    const bar = (pixels: number): MaskSettings => ({ regions: [{ edge: 'top', pixels }] });
    const masks = [
      { when: { Modality: 'CT' }, ...bar(1) },
      { when: { Manufacturer: 'acme*', Rows: 11 }, ...bar(2) },
      { when: { Modality: 'US' }, outsideUltrasoundRegions: true as const },
      { when: { Manufacturer: 'ACME*', ManufacturerModelName: ['Wave 6', 'WAVE ?'], Rows: 10 }, ...bar(3) },
      bar(4),
    ];
    expect(await blackAt(masks)).toBe([...new Array(3).fill(FULL), ...new Array(7).fill(ROW)].join('\n'));
  });

  test('of images that no mask is for is nothing', async () => {
    const file = fileOf(given);
    const sent = await masked(file, { when: { Modality: 'MR' }, regions: [{ edge: 'top', pixels: 1 }] });
    expect(pixelsOf(sent).equals(pixelsOf(file))).toBe(true);
    expect(text(dataSetOf(sent), '00080018')).toBe('1.2.3.4');
    expect(texts(dataSetOf(sent), '00080008')).toEqual(['ORIGINAL', 'PRIMARY']);
  });

  test('is not sent when a region covers nothing, or all regions are the whole image', async () => {
    await expect(blackAt({ regions: [{ left: 12, top: 0, width: 5, height: 5 }] })).rejects.toThrow(
      'it is not sent as the rule asks: the mask.regions.0 covers nothing of the image, which has 10 rows and 12 columns',
    );
    await expect(blackAt({ outsideUltrasoundRegions: true }, regions(region(0, 0, 11, 9)))).rejects.toThrow(
      /the mask covers nothing of the image: the regions of its \(0018,6011\)/,
    );
  });

  test('is not sent when its pixels are cut short, compressed in an unknown way, float or of odd bits', async () => {
    await expect(masked(fileOf({ rows: 50, columns: 50 }, Buffer.alloc(100)), TOP_AND_BOX)).rejects.toThrow(
      /PixelData has 100 bytes where 1 frames need 2500/,
    );
    await expect(masked(fileOf({ rows: 5, columns: 8, allocated: 12 }), TOP_AND_BOX)).rejects.toThrow(
      /12 bits allocated/,
    );
    const tiles = [element('00480006', 'UL', Buffer.from(Uint32Array.of(4000).buffer))];
    await expect(masked(fileOf({ ...given, more: tiles }), TOP_AND_BOX)).rejects.toThrow(/tiles/);
  });
});

describe('the header of a masked image', () => {
  const given: Given = {
    rows: 10,
    columns: 12,
    more: [
      sequence('00880200', [element('7FE00010', 'OB', Buffer.alloc(4, 1))]),
      element('00082111', 'ST', 'cropped '),
      element('60000010', 'US', uint16(4)),
      element('60000011', 'US', uint16(12)),
      element('60000050', 'SS', Buffer.from(Int16Array.of(0, 1).buffer)),
      element('60003000', 'OW', Buffer.alloc(6, 0xff)),
    ],
  };

  test('says what it is; an overlay is blanked where the image is, an icon goes', async () => {
    const sent = dataSetOf(await masked(fileOf(given), { regions: [{ edge: 'top', pixels: 2 }] }));
    expect(sent.fault).toBeUndefined();
    expect(texts(sent, '00080008')).toEqual(['DERIVED', 'PRIMARY']);
    expect(text(sent, '00082111')).toBe('cropped; Regions of the pixels blanked');
    expect(sent.elements.has('00880200')).toBe(false);
    expect(sent.elements.has('00280106')).toBe(false);
    expect(sent.elements.has('00280301')).toBe(false);
    const source = sent.elements.get('00082112')!.items![0]!;
    expect(text(source, '00081155')).toBe('1.2.3.4');
    expect(text(sent, '00080018')).toMatch(/^2\.25\.\d+$/);
    // The overlay begins a row above the image: three rows of it are covered.
    const bits = Buffer.from(sent.elements.get('60003000')!.value);
    expect([...bits].map((byte) => byte.toString(16)).join(' ')).toBe('ff f 0 0 f0 ff');
  });

  test('says of its frames, too, that they are derived', async () => {
    const type = element('00089007', 'CS', 'ORIGINAL\\PRIMARY\\VOLUME\\NONE ');
    const group = sequence('52009229', [sequence('00189226', [type])]);
    const sent = dataSetOf(
      await masked(fileOf({ ...given, more: [group] }), { regions: [{ edge: 'top', pixels: 2 }] }),
    );
    const frame = sent.elements.get('52009229')!.items![0]!.elements.get('00189226')!.items![0]!;
    expect(texts(frame, '00089007')).toEqual(['DERIVED', 'PRIMARY', 'VOLUME', 'NONE']);
  });

  test('has the same new UID each time, and another for another mask', async () => {
    const uid = async (pixels: number): Promise<string | undefined> =>
      text(dataSetOf(await masked(fileOf(given), { regions: [{ edge: 'top', pixels }] })), '00080018');
    expect(await uid(2)).toBe(await uid(2));
    expect(await uid(2)).not.toBe(await uid(3));
  });

  const DEIDENTIFY: Transform = [{ deidentify: { retain: [], burnedIn: 'hold' } }];

  test('de-identified: what a mask is drawn on needs no look; NO is said only by who says that it is', async () => {
    await expect(changedFile(fileOf(given), DEIDENTIFY)).rejects.toThrow(/a person has to look/);
    const bar: MaskSettings = { regions: [{ edge: 'top', pixels: 2 }] };
    const [plain] = [dataSetOf(await changedFile(fileOf(given), [...DEIDENTIFY, { mask: bar }]))];
    const [uid] = [
      text(dataSetOf(await changedFile(fileOf(given), [...DEIDENTIFY, { mask: bar }])), '00080018'),
    ];
    expect(plain.elements.has('00280301')).toBe(false);
    expect(plain.elements.has('00082112')).toBe(false);
    expect(text(plain, '00080018')).toBe(uid);
    const said = dataSetOf(
      await changedFile(fileOf(given), [{ mask: { ...bar, textFree: true } }, ...DEIDENTIFY]),
    );
    expect(text(said, '00280301')).toBe('NO');
    const codes = said.elements.get('00120064')!.items!.map((item) => text(item, '00080100'));
    expect(codes).toContain('113101');
    expect(text(said, '00080018')).toBe(uid);
    const other = { when: { Modality: 'MR' }, ...bar };
    await expect(changedFile(fileOf(given), [...DEIDENTIFY, { mask: other }])).rejects.toThrow(
      /a person has to look/,
    );
  });

  test('de-identified: an overlay among the bits of the pixels needs a look although a mask is drawn', async () => {
    const overlay = [
      element('60000010', 'US', uint16(10)),
      element('60000011', 'US', uint16(12)),
      element('60000100', 'US', uint16(16)),
      element('60000102', 'US', uint16(12)),
    ];
    const file = fileOf({ rows: 10, columns: 12, allocated: 16, stored: 12, more: overlay });
    const transform: Transform = [...DEIDENTIFY, { mask: { regions: [{ edge: 'top', pixels: 2 }] } }];
    await expect(changedFile(file, transform)).rejects.toThrow(
      /overlay .* lies among the bits of the pixels/,
    );
    const sent = dataSetOf(await changedFile(file, transform, { released: true }));
    expect(text(sent, '00120062')).toBe('YES');
  });
});
