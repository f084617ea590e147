/**
 * Images made up for one thing each, shown by us and by DCMTK: photometrics, depths, tables, overlays. What DCMTK does
 * not know (segmented palettes, float pixels, functional groups) is worked out by hand from PS3.3.
 */
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { presentationOf } from '../../src/pixels/presentation.ts';
import { pictureOf } from '../../src/pixels/render-frame.ts';
import { element, sequence, uint16 } from '../dicom/elements.ts';
import { EXPLICIT_BE, type Made, madeObject } from '../dicomweb/made-object.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { imageOf } from './image-file.ts';
import { pictureByDcmtk } from './other-decoder.ts';

type Elements = NonNullable<Made['elements']>;

const SIDE = 16;
const size = (rows = SIDE, columns = SIDE): Elements => [
  ['00280010', 'US', uint16(rows)],
  ['00280011', 'US', uint16(columns)],
];
const depth = (allocated: number, stored = allocated, high = stored - 1, signed = 0): Elements => [
  ['00280100', 'US', uint16(allocated)],
  ['00280101', 'US', uint16(stored)],
  ['00280102', 'US', uint16(high)],
  ['00280103', 'US', uint16(signed)],
];
const colour = (photometric: string, planar = 0): Elements => [
  ['00280002', 'US', uint16(3)],
  ['00280004', 'CS', photometric.length % 2 === 0 ? photometric : `${photometric} `],
  ['00280006', 'US', uint16(planar)],
];
const words = (values: readonly number[]): Buffer =>
  Buffer.concat(values.map((value) => uint16(value & 0xffff)));
const bytes = (count: number, of: (at: number) => number): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, at) => of(at) & 0xff));
const ramp = (of: (at: number) => number): Buffer =>
  words(Array.from({ length: SIDE * SIDE }, (_, at) => of(at)));
const table = (count: number, first: number, bits: number, entries: Buffer): Buffer =>
  Buffer.concat([element('00283002', 'US', words([count, first, bits])), element('00283006', 'OW', entries)]);
const SQ = (tag: string, ...items: Buffer[]): readonly [string, string, Buffer] => [
  tag,
  'SQ',
  sequence(tag, items).subarray(12),
];

const overlay = (group: string, more: Elements = []): Elements => [
  [`${group}0010`, 'US', uint16(8)],
  [`${group}0011`, 'US', uint16(10)],
  [`${group}0040`, 'CS', 'G '],
  [`${group}0050`, 'SS', words([3, -1])],
  [`${group}0100`, 'US', uint16(1)],
  [`${group}0102`, 'US', uint16(0)],
  [`${group}3000`, 'OW', bytes(10, (at) => 0x55 ^ (at * 31))],
  ...more,
];

const GREY8: Elements = [...size(), ...depth(8)];
const grey8 = bytes(SIDE * SIDE, (at) => at);
const WINDOW: Elements = [
  ['00281050', 'DS', '100 '],
  ['00281051', 'DS', '77'],
];

/** What it is about, how it is made, what DCMTK has to be told. */
const beside: readonly (readonly [what: string, made: Made, args: readonly string[]])[] = [
  ['eight bits', { elements: GREY8, pixels: grey8 }, ['+Wm']],
  ['eight bits, signed', { elements: [...size(), ...depth(8, 8, 7, 1)], pixels: grey8 }, ['+Wm']],
  ['a window', { elements: [...GREY8, ...WINDOW], pixels: grey8 }, ['+Wi', '1']],
  [
    'a sigmoid window',
    { elements: [...GREY8, ...WINDOW, ['00281056', 'CS', 'SIGMOID ']], pixels: grey8 },
    ['+Wi', '1', '+Wfs'],
  ],
  ['MONOCHROME1', { elements: [...GREY8, ['00280004', 'CS', 'MONOCHROME1 ']], pixels: grey8 }, ['+Wm']],
  [
    'the presentation LUT shape INVERSE',
    { elements: [...GREY8, ['20500020', 'CS', 'INVERSE ']], pixels: grey8 },
    ['+Wm'],
  ],
  [
    '12 bits in the upper part of their words',
    { elements: [...size(), ...depth(16, 12, 15)], pixels: ramp((at) => (at << 8) | 0xa) },
    ['+Wm'],
  ],
  [
    '12 bits, signed, with other things in the upper four',
    { elements: [...size(), ...depth(16, 12, 11, 1)], pixels: ramp((at) => (at * 16) | 0xa000) },
    ['+Wm'],
  ],
  [
    '12 bits packed without gaps',
    { elements: [...size(), ...depth(12)], pixels: bytes((SIDE * SIDE * 3) / 2, (at) => at * 5) },
    ['+Wm'],
  ],
  ['single bits', { elements: [...size(), ...depth(1)], pixels: bytes(32, (at) => at * 37) }, ['+Wm']],
  [
    '32 bits, signed',
    {
      elements: [...size(), ...depth(32, 32, 31, 1)],
      pixels: Buffer.from(Int32Array.from({ length: SIDE * SIDE }, (_, at) => at * 1_000_003 - 9e7).buffer),
    },
    ['+Wm'],
  ],
  [
    'a rescale below zero',
    {
      elements: [
        ...size(),
        ...depth(16),
        ['00281052', 'DS', '-1024 '],
        ['00281053', 'DS', '2.5 '],
        ['00281050', 'DS', '-200\\40 '],
        ['00281051', 'DS', '900\\80 '],
      ],
      pixels: ramp((at) => at * 3),
    },
    ['+Wi', '1'],
  ],
  [
    'a modality LUT',
    {
      elements: [
        ...GREY8,
        SQ('00283000', table(64, 20, 16, words(Array.from({ length: 64 }, (_, at) => at * at * 9)))),
      ],
      pixels: grey8,
    },
    ['+Wm'],
  ],
  [
    'a VOI LUT that begins below zero',
    {
      elements: [
        ...size(),
        ...depth(16, 16, 15, 1),
        SQ('00283010', table(100, -50, 12, words(Array.from({ length: 100 }, (_, at) => 4095 - at * 40)))),
      ],
      pixels: ramp((at) => at - 128),
    },
    ['+Wl', '1'],
  ],
  [
    'a VOI LUT of eight bits, packed',
    {
      elements: [
        ...GREY8,
        SQ(
          '00283010',
          table(
            256,
            0,
            8,
            bytes(256, (at) => at * at),
          ),
        ),
      ],
      pixels: grey8,
    },
    ['+Wl', '1'],
  ],
  [
    'RGB by plane',
    { elements: [...size(), ...colour('RGB', 1), ...depth(8)], pixels: bytes(768, (at) => at * 7) },
    [],
  ],
  [
    'RGB of 16 bits',
    {
      elements: [...size(), ...colour('RGB'), ...depth(16)],
      pixels: words(Array.from({ length: 768 }, (_, at) => at * 85)),
    },
    [],
  ],
  [
    'YBR_FULL',
    { elements: [...size(), ...colour('YBR_FULL'), ...depth(8)], pixels: bytes(768, (at) => at * 11) },
    [],
  ],
  [
    'YBR_FULL_422',
    { elements: [...size(), ...colour('YBR_FULL_422'), ...depth(8)], pixels: bytes(512, (at) => at * 11) },
    [],
  ],
  [
    'YBR_PARTIAL_422',
    {
      elements: [...size(), ...colour('YBR_PARTIAL_422'), ...depth(8)],
      pixels: bytes(512, (at) => 30 + ((at * 11) % 180)),
    },
    [],
  ],
  ['HSV', { elements: [...size(), ...colour('HSV'), ...depth(8)], pixels: bytes(768, (at) => at * 11) }, []],
  [
    'CMYK by plane',
    {
      elements: [...size(), ...colour('CMYK', 1), ...depth(8), ['00280002', 'US', uint16(4)]],
      // Ink and black together are no more than there is: beyond, DCMTK begins at white again.
      pixels: bytes(1024, (at) => (at * at) % 128),
    },
    [],
  ],
  ['a palette of 16 bits', { elements: paletted(16, (at) => at * 257), pixels: grey8 }, []],
  ['a palette of 8 bits in words of 16', { elements: paletted(16, (at) => at), pixels: grey8 }, ['+Mc']],
  [
    'an overlay that begins outside the image',
    { elements: [...GREY8, ...overlay('6000')], pixels: grey8 },
    ['+Wm'],
  ],
  [
    'an overlay in a high bit of the pixels',
    {
      elements: [
        ...size(),
        ...depth(16, 12),
        ...overlay('6002', [
          ['60020010', 'US', uint16(SIDE)],
          ['60020011', 'US', uint16(SIDE)],
          ['60020050', 'SS', words([1, 1])],
          ['60020100', 'US', uint16(16)],
          ['60020102', 'US', uint16(14)],
        ]).filter(([tag]) => tag !== '60023000'),
      ],
      pixels: ramp((at) => at * 16 + (at % 5 === 0 ? 0x4000 : 0)),
    },
    ['+Wm'],
  ],
  [
    'a palette in big endian words',
    {
      transferSyntax: EXPLICIT_BE,
      elements: [
        ...bigEndian([...size(), ...depth(8)]),
        ['00280004', 'CS', 'PALETTE COLOR '],
        ...['1', '2', '3'].flatMap(
          (n): Elements => [
            [`0028110${n}`, 'US', words([256, 0, 16]).swap16()],
            [
              `0028120${n}`,
              'OW',
              words(Array.from({ length: 256 }, (_, at) => at * Number(n) * 300)).swap16(),
            ],
          ],
        ),
      ],
      pixels: Buffer.from(grey8).swap16(),
    },
    [],
  ],
  [
    'an overlay in big endian words',
    {
      transferSyntax: EXPLICIT_BE,
      elements: bigEndian([...GREY8, ...overlay('6000')]),
      pixels: Buffer.from(grey8).swap16(),
    },
    ['+Wm'],
  ],
];

function bigEndian(elements: Elements): Elements {
  const turned = (value: string | Buffer) =>
    typeof value === 'string' ? value : Buffer.from(value).swap16();
  return elements.map(([tag, vr, value]) => [tag, vr, turned(value)] as const);
}

function paletted(bits: number, of: (at: number) => number): Elements {
  const tables = ['1', '2', '3'].flatMap((n): Elements => {
    const entries = Array.from({ length: 256 }, (_, at) => of((at * Number(n)) & 0xff));
    return [
      [`0028110${n}`, 'US', words([256, 0, bits])],
      [`0028120${n}`, 'OW', words(entries)],
    ];
  });
  return [...GREY8, ['00280004', 'CS', 'PALETTE COLOR '], ...tables];
}

async function shown(file: Buffer, number = 1) {
  const image = imageOf(file);
  return pictureOf(
    image.pixel,
    await image.frame(number),
    presentationOf(image.header, number, image.pixel.signed),
  );
}

describe.skipIf(!peer('dcmtk'))('an image with …, shown as DCMTK shows it (needs dcmtk)', () => {
  let folder: TempFolder;
  beforeAll(async () => {
    folder = await tempFolder('generated');
  });
  afterAll(() => folder.remove());

  it.each(beside)('%s', async (_what, made, args) => {
    const file = madeObject(made);
    const theirs = await pictureByDcmtk(file, 1, [...args], folder.path);
    const ours = await shown(file);
    expect({ ...theirs, samples: undefined }).toMatchObject({
      width: ours.width,
      height: ours.height,
      channels: ours.channels,
    });
    const far = Array.from(ours.bytes, (value, at) => Math.abs(value - theirs!.samples[at]!));
    expect(Math.max(...far)).toBeLessThanOrEqual(ours.channels === 3 ? 2 : 1);
    expect(new Set(ours.bytes).size).toBeGreaterThan(1);
  });
});

describe('what only the Standard tells', () => {
  const segments = (bits: number, ...values: number[]): Buffer =>
    bits === 8 ? Buffer.from(values) : words(values);
  const segmented = (bits: number, count: number, red: Buffer): Buffer =>
    madeObject({
      elements: [
        ...size(1, 4),
        ...depth(8),
        ['00280004', 'CS', 'PALETTE COLOR '],
        ...['1', '2', '3'].flatMap(
          (n): Elements => [
            [`0028110${n}`, 'US', words([count, 0, bits])],
            [`0028122${n}`, 'OW', red],
          ],
        ),
      ],
      pixels: Buffer.from([0, 1, 2, 200]),
    });
  const red = async (file: Buffer) => [...(await shown(file)).bytes].filter((_, at) => at % 3 === 0);

  test('segmented palettes: plain, in lines, and copied (PS3.3 C.7.9.2)', async () => {
    expect(await red(segmented(16, 4, segments(16, 0, 4, 0, 0x1100, 0x2200, 0x3300)))).toEqual([
      0, 0x11, 0x22, 0x33,
    ]);
    // From 0x0a in three steps to 0x40.
    expect(await red(segmented(8, 4, segments(8, 0, 1, 10, 1, 3, 64)))).toEqual([10, 28, 46, 64]);
    // The first segment once more: at byte 0, of one segment.
    expect(await red(segmented(8, 4, segments(8, 0, 2, 7, 9, 2, 1, 0, 0, 0, 0)))).toEqual([7, 9, 7, 9]);
    expect(await red(segmented(16, 4, segments(16, 0, 2, 0x700, 0x900, 2, 1, 0, 0)))).toEqual([7, 9, 7, 9]);
  });

  test.each([
    ['too few entries', segments(8, 0, 1, 10, 0)],
    ['too many', segments(8, 0, 1, 10, 1, 9, 64)],
    ['a line without a beginning', segments(8, 1, 4, 64, 0)],
    ['a kind that is not known', segments(8, 0, 1, 10, 9, 1, 1)],
    ['a copy of itself', segments(8, 0, 1, 10, 2, 9, 3, 0, 0, 0)],
  ])('segmented palettes with %s are refused by name', async (_what, broken) => {
    await expect(shown(segmented(8, 4, broken))).rejects.toThrow('(0028,1221)');
  });

  const float = (tag: string, vr: string, values: Buffer, more: Elements = []): Buffer =>
    madeObject({
      elements: [...size(1, 4), ...more, [tag, vr, values]],
      without: ['7FE00010', '00280101', '00280102', '00280103'],
    });

  test('float and double float pixels, spread over what they hold, with what is no number left dark', async () => {
    const single = Buffer.from(Float32Array.of(-1.5, 0, 1.5, Number.NaN).buffer);
    expect([...(await shown(float('7FE00008', 'OF', single))).bytes]).toEqual([0, 128, 255, 0]);
    const double = Buffer.from(Float64Array.of(1e-9, 2e-9, 3e-9, 5e-9).buffer);
    expect([...(await shown(float('7FE00009', 'OD', double))).bytes]).toEqual([0, 64, 128, 255]);
    const padded = Buffer.from(Float32Array.of(-9999, 0, 1, 2).buffer);
    const padding: Elements = [['00280122', 'FL', Buffer.from(Float32Array.of(-9999).buffer)]];
    expect([...(await shown(float('7FE00008', 'OF', padded, padding))).bytes]).toEqual([0, 0, 128, 255]);
  });

  const group = (macro: string, ...inside: Buffer[]): Buffer => sequence(macro, [Buffer.concat(inside)]);
  const windowed = (center: string, width: string): Buffer =>
    group(
      '00289132',
      element('00281050', 'DS', center),
      element('00281051', 'DS', width),
      element('00281056', 'CS', 'LINEAR_EXACT'),
    );
  const rescaled = (slope: string, intercept: string): Buffer =>
    group('00289145', element('00281052', 'DS', intercept), element('00281053', 'DS', slope));

  test('the functional groups of a frame go before the shared ones, and those before the header', async () => {
    const file = madeObject({
      elements: [
        ...size(1, 2),
        ['00280008', 'IS', '3 '],
        ['00281050', 'DS', '1 '],
        ['00281051', 'DS', '1 '],
        SQ('52009229', Buffer.concat([windowed('100 ', '200 '), rescaled('1 ', '0 ')])),
        SQ('52009230', rescaled('2 ', '0 '), windowed('50', '100 '), Buffer.alloc(0)),
      ],
      pixels: words([50, 100, 50, 100, 50, 100]),
    });
    const of = async (number: number) => [...(await shown(file, number)).bytes];
    expect(await of(1)).toEqual([128, 255]);
    expect(await of(2)).toEqual([128, 255]);
    expect(await of(3)).toEqual([64, 128]);
  });

  test('an overlay of several frames lies over those it names, bit after bit', async () => {
    const file = madeObject({
      elements: [
        ...size(1, 3),
        ...depth(8),
        ['00280008', 'IS', '3 '],
        ['60000010', 'US', uint16(1)],
        ['60000011', 'US', uint16(3)],
        ['60000015', 'IS', '2 '],
        ['60000040', 'CS', 'G '],
        ['60000050', 'SS', words([1, 1])],
        ['60000051', 'US', uint16(2)],
        ['60000100', 'US', uint16(1)],
        ['60000102', 'US', uint16(0)],
        ['60003000', 'OB', Buffer.from([0b101_001, 0])],
        ['00281050', 'DS', '50'],
        ['00281051', 'DS', '99'],
      ],
      pixels: Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    });
    const of = async (number: number) => [...(await shown(file, number)).bytes];
    expect([await of(1), await of(2), await of(3)]).toEqual([
      [0, 0, 0],
      [255, 0, 0],
      [255, 0, 255],
    ]);
  });

  test('an overlay over colours is white, too', async () => {
    const elements: Elements = [
      ...size(1, 2),
      ...colour('RGB'),
      ...depth(8),
      ...overlay('6004', [
        ['60040050', 'SS', words([1, 1])],
        ['60043000', 'OB', bytes(10, () => 0b10)],
      ]),
    ];
    const file = madeObject({ elements, pixels: Buffer.from([1, 2, 3, 4, 5, 6]) });
    expect([...(await shown(file)).bytes]).toEqual([1, 2, 3, 255, 255, 255]);
  });

  test('a region of interest is no graphic, and an overlay that is cut short is left out', async () => {
    for (const more of [
      ['60000040', 'CS', 'R '],
      ['60003000', 'OW', Buffer.alloc(8)],
    ] as const) {
      const [plain, with_] = [GREY8, [...GREY8, ...overlay('6000', [more])]].map((elements) =>
        madeObject({ elements, pixels: grey8 }),
      );
      expect((await shown(with_!)).bytes.equals((await shown(plain!)).bytes)).toBe(true);
    }
  });
});
