/** Rendered resources at every level: pictures, moving pictures, text burned in, reports as HTML, documents as themselves. */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uint32 } from '../dicom/elements.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { type House, openHouse } from '../support/house.ts';
import { corpusFile, get, getParts, refusal, stow } from './door.ts';
import { madeObject, NO_PIXELS } from './made-object.ts';
import { reportContent, reportObject } from './made-report.ts';

const PDF = Buffer.from(`%PDF-1.4\n${'x'.repeat(300)}\n%%EOF`);
/** Without one each frame has its own, and these would look the same. */
const WINDOW = 'window=32768,65536,linear-exact';
const three = Buffer.concat([0, 128, 255].map((value) => Buffer.alloc(32, value)));

let house: House;
const study = (): string => `${house.url}/dicom-web/studies/8.4`;
const instance = (series: string, sop: string): string => `${study()}/series/${series}/instances/${sop}`;

beforeAll(async () => {
  house = await openHouse();
  const document = (sop: string, type: string, bytes: Buffer) =>
    madeObject({
      study: '8.4',
      series: '8.4.3',
      instance: sop,
      without: NO_PIXELS,
      elements: [
        ['00080016', 'UI', '1.2.840.10008.5.1.4.1.1.104.1'],
        ['00420011', 'OB', bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)])],
        ['00420012', 'LO', type],
        ['00420015', 'UL', uint32(bytes.length)],
      ],
    });
  const { status, json } = await stow(house.url, [
    madeObject({ study: '8.4', series: '8.4.1', instance: '8.4.9.1' }),
    madeObject({
      study: '8.4',
      series: '8.4.1',
      instance: '8.4.9.2',
      elements: [
        ['00080008', 'CS', 'ORIGINAL'],
        ['00181063', 'DS', '40'],
        ['00200013', 'IS', '2'],
        ['00280008', 'IS', '3'],
      ],
      pixels: three,
    }),
    reportObject({ study: '8.4', series: '8.4.2', instance: '8.4.9.3' }, reportContent()),
    document('8.4.9.4', 'application/pdf', PDF),
    document('8.4.9.5', 'text/html', Buffer.from('<script>alert(1)</script>')),
    document('8.4.9.6', 'text/xml', Buffer.from('<ClinicalDocument/>')),
  ]);
  if (status !== 200) throw new Error(JSON.stringify(json));
});
afterAll(() => house?.close());

describe('a study and a series', () => {
  it.each(['', '/series/8.4.1'])('%s give a picture of each image, in parts', async (where) => {
    const parts = await getParts(`${study()}${where}/rendered?viewport=2,2`, 'image/png');
    expect(parts.map(({ type }) => type)).toEqual(['image/png', 'image/png']);
    for (const { body } of parts) expect(await sharp(body).metadata()).toMatchObject({ width: 2, height: 2 });
  });

  it('are 406 where there is no image, and 404 where there is nothing', async () => {
    for (const what of ['rendered', 'thumbnail']) {
      expect(await refusal(`${study()}/series/8.4.2/${what}`)).toMatchObject({ status: 406 });
      expect(await refusal(`${study()}/series/9.9/${what}`)).toMatchObject({ status: 404 });
      expect(await refusal(`${house.url}/dicom-web/studies/9.9/${what}`)).toMatchObject({ status: 404 });
    }
  });

  it('are not sent again to who has them', async () => {
    const { headers } = await get(`${study()}/rendered`);
    const again = await fetch(`${study()}/rendered`, {
      headers: { 'If-None-Match': headers.get('etag') ?? '' },
    });
    expect([again.status, headers.get('vary')]).toEqual([304, expect.stringContaining('Accept')]);
  });
});

describe('a multi-frame image', () => {
  const url = (what: string): string => `${instance('8.4.1', '8.4.9.2')}/${what}`;

  it('moves as GIF, at its own speed', async () => {
    const { status, type, bytes } = await get(url(`rendered?${WINDOW}`), 'image/gif');
    expect([status, type]).toEqual([200, 'image/gif']);
    expect(await sharp(bytes, { animated: true }).metadata()).toMatchObject({
      pages: 3,
      pageHeight: 4,
      width: 4,
      delay: [40, 40, 40],
    });
    const some = await get(url(`frames/1,3/rendered?viewport=2,2&${WINDOW}`), 'image/gif');
    expect(await sharp(some.bytes, { animated: true }).metadata()).toMatchObject({ pages: 2, pageHeight: 2 });
  });

  it('is its first frame as a still picture, and all of them in parts', async () => {
    expect((await sharp((await get(url('rendered'), 'image/jpeg')).bytes).metadata()).format).toBe('jpeg');
    expect(await getParts(url('rendered'), 'multipart/related; type="image/png"')).toHaveLength(3);
  });
});

it('one frame is a still GIF too, of a length that is said', async () => {
  const { bytes, headers } = await get(`${instance('8.4.1', '8.4.9.1')}/rendered`, 'image/gif');
  expect(await sharp(bytes, { animated: true }).metadata()).toMatchObject({ format: 'gif', width: 4 });
  expect(headers.get('content-length')).toBe(String(bytes.length));
});

describe('annotation', () => {
  const picture = async (query: string) =>
    sharp((await get(`${instance('8.4.1', '8.4.9.1')}/rendered?viewport=400,400${query}`, 'image/png')).bytes)
      .toColourspace('b-w')
      .raw()
      .toBuffer();

  it('burns in who it is, and how it was taken', async () => {
    const [plain, patient, both] = await Promise.all([
      picture(''),
      picture('&annotation=patient'),
      picture('&annotation=patient,technique'),
    ]);
    const changed = (one: Buffer, other: Buffer, from: number, to: number): number => {
      let count = 0;
      for (let at = from * 400; at < to * 400; at++) if (Math.abs(one[at]! - other[at]!) > 60) count++;
      return count;
    };
    expect(changed(plain, patient, 0, 60)).toBeGreaterThan(50);
    // Below the text the picture is what it was.
    expect(changed(plain, patient, 200, 400)).toBe(0);
    expect(changed(patient, both, 0, 200)).toBeGreaterThan(50);
  });
});

describe('a structured report', () => {
  const url = (): string => `${instance('8.4.2', '8.4.9.3')}/rendered`;

  it('is a page of text, with nothing in it that runs', async () => {
    const { status, type, headers, bytes } = await get(url(), 'text/html,application/xhtml+xml,*/*;q=0.8');
    expect([status, type]).toEqual([200, 'text/html; charset=utf-8']);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).not.toContain('script');
    const page = bytes.toString();
    for (const text of [
      'Imaging Report',
      'Doe Jane',
      'Findings',
      'Länge: 12.5 mm',
      'Complete, not verified',
      '&#60;script&#62;alert(1)&#60;/script&#62;',
      '1.2.3.4.5 frame 2, 3',
    ])
      expect(page.replace(/<\/?span[^>]*>/g, '')).toContain(text);
    expect(page).not.toContain('<script');
  });

  it('is no picture, and says so', async () => {
    expect(await refusal(url(), { headers: { Accept: 'image/jpeg' } })).toMatchObject({
      status: 406,
      message: expect.stringContaining('text/html'),
    });
    expect(await refusal(`${instance('8.4.2', '8.4.9.3')}/frames/1/rendered`)).toMatchObject({ status: 406 });
  });
});

describe('an encapsulated document', () => {
  it('is the PDF it was, whole and by range', async () => {
    const url = `${instance('8.4.3', '8.4.9.4')}/rendered`;
    const { type, bytes, headers } = await get(url, 'application/pdf');
    expect([type, bytes.equals(PDF)]).toEqual(['application/pdf', true]);
    expect(headers.get('content-disposition')).toBe('inline; filename="8.4.9.4.pdf"');
    const part = await fetch(url, { headers: { Range: 'bytes=0-3' } });
    expect([part.status, await part.text()]).toEqual([206, '%PDF']);
    expect(await refusal(url, { headers: { Accept: 'image/jpeg' } })).toMatchObject({
      status: 406,
      message: expect.stringContaining('application/pdf'),
    });
  });

  it('of a type that a browser might run is given as bytes, and XML in a sandbox', async () => {
    expect((await get(`${instance('8.4.3', '8.4.9.5')}/rendered`)).type).toBe('application/octet-stream');
    const { type, headers, bytes } = await get(`${instance('8.4.3', '8.4.9.6')}/rendered`);
    expect([type, bytes.toString()]).toEqual(['text/xml', '<ClinicalDocument/>']);
    expect(headers.get('content-security-policy')).toContain('sandbox');
  });
});

describe.skipIf(!corpusFolder)('reports and documents of the corpus', () => {
  it('are shown', async () => {
    let shown = 0;
    for (const row of corpusIndex()) {
      const kind = /\.1\.(88|104)\./.exec(row.sop_class_uid ?? '')?.[1];
      if (!kind || row.file!.startsWith('fuzz-corpus/') || row.sop_uid_shared_by !== '1') continue;
      if ((await stow(house.url, [corpusFile(row.file!)])).status !== 200) continue;
      const url = `${house.url}/dicom-web/studies/${row.study_uid}/series/${row.series_uid}/instances/${row.sop_uid}/rendered`;
      const { status, type, bytes } = await get(url);
      expect(status, `${row.file}: ${bytes.subarray(0, 300)}`).toBe(200);
      if (kind === '88') {
        expect(type, row.file).toContain('text/html');
        expect(bytes.toString(), row.file).toMatch(/<h1>.+<\/h1>[\s\S]*<p>/);
      }
      shown++;
    }
    expect(shown).toBeGreaterThan(8);
  }, 60_000);
});
