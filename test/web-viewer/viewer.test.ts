/**
 * The viewer in a real browser, on the real server: the study list, and a synthetic CT on the stage.
 * A page must not complain once, so the content security policy, the worker and the decoders are held to it as well.
 */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { modality } from '../../src/cli/modality.ts';
import { anImage } from '../support/an-image.ts';
import { type OpenBrowser, type OpenPage, openBrowser } from '../support/chromium.ts';
import { corpusFolder } from '../support/corpus.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';
import { peer } from '../support/peers.ts';

const SLICES = 24;
const COLUMNS = 512;
const silence = () => new Writable({ write: (_chunk, _encoding, done) => done() });

type Json = Record<string, { Value?: unknown[] } | undefined>;

describe.skipIf(!peer('chromium'))('the viewer (chromium)', () => {
  let house: House;
  let browser: OpenBrowser;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    [house, browser] = await Promise.all([openHouse(), openBrowser()]);
    const to = `ISOCENTER@127.0.0.1:${house.dicomPort}`;
    expect(await modality({ ct: SLICES, seed: 'viewer', to, screen: silence() })).toBe(0);
  });
  afterAll(async () => {
    await browser?.close();
    await house?.close();
  });
  beforeEach(async () => {
    opened = await browser.open(house.url);
    page = opened.page;
  });
  afterEach(() => opened.close());

  const corner = (name: string) => page.locator(`[data-corner=${name}]`);
  /** What stands in a corner, a line each. */
  const lines = async (name: string) => (await corner(name).locator('> div').allTextContents()).join('\n');
  const openPhantom = async () => {
    await page.getByRole('link', { name: 'PHANTOM, Isocenter' }).first().press('Enter');
    await corner('series').getByText(`Image 1/${SLICES}`).waitFor();
  };
  const shows = (name: string, text: string) =>
    eventually(async () => {
      const words = await lines(name);
      return words.includes(text) ? words : undefined;
    }, `${text} in the ${name} corner`);

  describe('the study list', () => {
    it('shows each study with its counts', async () => {
      const row = page.getByRole('row', { name: /PHANTOM, Isocenter/ });
      await row.waitFor();
      const cells = await row.locator('th, td').allTextContents();
      expect(cells).toEqual(
        expect.arrayContaining([
          'ISOCENTER-PHANTOM',
          '2025-01-02 03:04',
          'CT',
          'Phantom chest',
          '1',
          String(SLICES),
        ]),
      );
      expect(await page.getByText('Not for diagnostic use.').isVisible()).toBe(true);
      expect(opened.complaints()).toEqual([]);
    });

    it('searches as one types, keeps the search in the address, and comes back', async () => {
      await page.getByLabel('Patient name').fill('phantom, iso');
      await page.waitForURL(/name=phantom/);
      await page.getByRole('row', { name: /PHANTOM, Isocenter/ }).waitFor();
      await page.getByLabel('Patient ID').fill('nobody');
      await page.getByText('No study matches.').waitFor();
      await page.reload();
      expect(await page.getByLabel('Patient ID').inputValue()).toBe('nobody');
      await page.getByRole('button', { name: 'Show all studies' }).click();
      await page.getByRole('row', { name: /PHANTOM, Isocenter/ }).waitFor();
      expect(await page.getByLabel('Patient ID').inputValue()).toBe('');
      expect(new URL(page.url()).search).toBe('');
      expect(opened.complaints()).toEqual([]);
    });

    it('marks a study that may hold images of another patient, and says so over its pictures', async () => {
      const mine = anImage({ patientId: 'P1' });
      const stray = anImage({ study: mine.study, series: mine.series, patientId: 'P2' });
      await sendObjects(house, 'CT_1', [mine, stray]);
      await page.reload();
      const row = page.getByRole('row').filter({ hasText: 'To be checked' });
      await row.waitFor();
      expect(await page.locator('.held-mark').count()).toBe(1);
      await row.getByRole('link').press('Enter');
      const strip = page.getByRole('alert');
      await strip.waitFor();
      expect(await strip.textContent()).toContain('known under another (0010,0020) PatientID');
      await corner('patient').getByText('ID P1').waitFor();
      await fetch(`${house.url}/api/studies/${mine.study}/conflicts/set-aside`, { method: 'POST' });
      await page.reload();
      await corner('patient').getByText('ID P1').waitFor();
      expect(await strip.count()).toBe(0);
      expect(opened.complaints()).toEqual([]);
    });

    it('says so when the archive does not answer, and asks again', async () => {
      await page.route('**/dicom-web/studies?*', (route) => route.fulfill({ status: 503, body: '' }));
      await page.reload();
      await page.getByText('The archive is busy or starting.').waitFor();
      await page.unroute('**/dicom-web/studies?*');
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByRole('row', { name: /PHANTOM, Isocenter/ }).waitFor();
    });
  });

  describe('the picture', () => {
    it('is the image: every grey on the screen is the one its window gives', async () => {
      await openPhantom();
      await page.keyboard.press('End');
      await shows('series', `Image ${SLICES}/${SLICES}`);
      await page.keyboard.press('3');
      await shows('display', 'W 2500  L 480');
      const stored = await lastSlice(house.url);
      const screen = await drawn(page);
      let compared = 0;
      const shades = new Set<number>();
      for (let row = 6; row < COLUMNS - 6; row += 5) {
        for (let column = 6; column < COLUMNS - 6; column += 5) {
          const value = flatValue(stored, row, column);
          if (value === undefined) continue;
          // PS3.3 C.11.2.1.2.1 with width 2500 and center 480.
          const grey = Math.max(0, Math.min(255, ((value - 479.5) / 2499 + 0.5) * 255));
          const seen = screen.at(row, column);
          expect(Math.abs(seen - grey), `row ${row}, column ${column}: ${value} HU is ${seen}`).toBeLessThan(
            6,
          );
          shades.add(Math.round(grey));
          compared++;
        }
      }
      expect(compared).toBeGreaterThan(1000);
      expect(shades.size).toBeGreaterThan(20);
      expect(opened.complaints()).toEqual([]);
    });

    it('has patient, study, series and orientation around it', async () => {
      await openPhantom();
      expect(await lines('patient')).toMatch(/PHANTOM, Isocenter\nID ISOCENTER-PHANTOM/);
      expect(await lines('study')).toMatch(/Phantom chest\n2025-01-02 {2}03:04/);
      expect(await lines('series')).toMatch(
        /Chest axial 12\.5 mm\nImage 1\/24\nLoc 143\.8 mm {2}Thick 13 mm/,
      );
      expect(await page.locator('.edge').allTextContents()).toEqual(['A', 'L', 'P', 'R']);
      expect(await page.title()).toBe('PHANTOM, Isocenter · Isocenter');
    });

    it('scrolls by wheel, keys, slider and dragging', async () => {
      await openPhantom();
      const picture = page.locator('.viewport-canvas');
      await picture.hover();
      await page.mouse.wheel(0, 100);
      await shows('series', `Image 2/${SLICES}`);
      await page.keyboard.press('ArrowDown');
      await shows('series', `Image 3/${SLICES}`);
      await page.keyboard.press('PageDown');
      await shows('series', `Image 13/${SLICES}`);
      await page.getByRole('slider').fill('20');
      await shows('series', `Image 21/${SLICES}`);
      await page.keyboard.press('Home');
      await shows('series', `Image 1/${SLICES}`);
      await page.keyboard.press('s');
      await drag(page, 0, 200);
      await eventually(
        async () => ((await lines('series')).includes('Image 1/') ? undefined : true),
        'another slice after dragging',
      );
      expect(opened.complaints()).toEqual([]);
    });

    it('changes window, zoom and polarity, and goes back', async () => {
      await openPhantom();
      const before = await lines('display');
      await drag(page, 120, 60);
      await eventually(
        async () => ((await lines('display')) === before ? undefined : true),
        'another window after dragging',
      );
      await page.keyboard.press('2');
      await shows('display', 'W 1500  L -600');
      expect(await page.getByRole('button', { name: 'Lung' }).getAttribute('aria-pressed')).toBe('true');
      await page.keyboard.press('i');
      await shows('display', 'Inverted');
      await page.keyboard.press('z');
      await drag(page, 0, -80);
      await page.getByRole('button', { name: 'Reset' }).click();
      await shows('display', before);
      expect(opened.complaints()).toEqual([]);
    });

    it('plays, and stops', async () => {
      await openPhantom();
      await page.keyboard.press(' ');
      await shows('series', `Image 4/${SLICES}`);
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.getByRole('button', { name: 'Play' }).waitFor();
    });

    it('stands in an address that can be shared', async () => {
      await openPhantom();
      const study = new URL(page.url()).searchParams.get('study');
      for (const address of [`/viewer?study=${study}`, `/studies/${study}`]) {
        await page.goto(address);
        await corner('series').getByText(`Image 1/${SLICES}`).waitFor();
      }
      await page.goto('/viewer?study=1.2.3.4');
      await page.getByText('This study is not here.').waitFor();
    });

    it('gives way to a sentence where a frame does not come, and comes back with the next', async () => {
      const broken = await sopInstanceUid(house.url, 2);
      await page.route(`**/instances/${broken}/frames/1`, (route) =>
        route.fulfill({ status: 500, body: '' }),
      );
      await openPhantom();
      await page.keyboard.press('ArrowDown');
      await page.getByText(`Image 2 of ${SLICES}`).waitFor();
      expect(await page.getByRole('alert').textContent()).toContain(
        'The archive could not answer (HTTP 500).',
      );
      expect(await page.locator('.corner-text').count()).toBe(0);
      await page.keyboard.press('ArrowDown');
      await shows('series', `Image 3/${SLICES}`);
      expect(await page.getByRole('alert').count()).toBe(0);
    });

    it('is not shown from fewer bytes than it has', async () => {
      const short = await sopInstanceUid(house.url, 1);
      await page.route(`**/instances/${short}/frames/1`, (route) =>
        route.fulfill({
          contentType: 'application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1',
          body: 'short',
        }),
      );
      await page.getByRole('link', { name: 'PHANTOM, Isocenter' }).first().click();
      await page.getByText('The archive sent 5 bytes for this image, which has 524288.').waitFor();
    });
  });

  describe.skipIf(!corpusFolder)('with files of the corpus (corpus)', () => {
    const wg04 = path.join(corpusFolder ?? '', 'dicom-test-files/data/WG04');

    it('draws the same picture from every lossless transfer syntax', async () => {
      const names = ['REF/MR1_UNC', 'JPLL/MR1_JPLL', 'JLSL/MR1_JLSL', 'J2KR/MR1_J2KR', 'RLE/MR1_RLE'];
      const pictures = new Map<string, string>();
      for (const name of names) {
        const study = await stow(house.url, await readFile(path.join(wg04, name)));
        const { series, sop } = study;
        await page.goto(`/viewer?study=${study.study}&series=${series}`);
        const index = await indexOf(house.url, study.study, series, sop);
        await corner('series').waitFor();
        for (let i = 0; i < index; i++) await page.keyboard.press('ArrowDown');
        await shows('series', `Image ${index + 1}/`);
        const screen = await drawn(page);
        const sampled = Array.from({ length: 128 * 128 }, (_, i) => screen.at((i >> 7) * 4, (i & 127) * 4));
        expect(new Set(sampled).size, name).toBeGreaterThan(100);
        pictures.set(name, sampled.join());
      }
      expect(new Set(pictures.values()).size).toBe(1);
      expect(opened.complaints()).toEqual([]);
    });

    it('names what is no picture instead of failing on it, and opens a report as a page', async () => {
      const file = path.join(corpusFolder ?? '', 'cornerstone-wado/testImages/no-pixel-data.dcm');
      const { study } = await stow(house.url, await readFile(file));
      await page.goto(`/viewer?study=${study}`);
      await page.getByText('No pictures in this series.').waitFor();
      const link = page.getByRole('link', { name: 'Report (basic text)' });
      const [report] = await Promise.all([page.waitForEvent('popup'), link.click()]);
      await report.locator('h1').waitFor();
      expect(report.url()).toMatch(/\/rendered$/);
      await report.close();
      expect(opened.complaints()).toEqual([]);
    });

    it('shows colours', async () => {
      const folder = path.join(corpusFolder ?? '', 'cornerstone-wado/testImages');
      for (const name of (await readdir(folder)).filter((file) => file !== 'no-pixel-data.dcm')) {
        const { study } = await stow(house.url, await readFile(path.join(folder, name)));
        await page.goto(`/viewer?study=${study}`);
        await corner('series').waitFor();
        const image = await sharp(await page.locator('.viewport-canvas').screenshot())
          .removeAlpha()
          .stats();
        expect(image.isOpaque && image.channels.every((channel) => channel.stdev > 5), name).toBe(true);
      }
      expect(opened.complaints()).toEqual([]);
    });
  });
});

/** With the left button, from the middle of the picture. */
async function drag(page: Page, right: number, down: number): Promise<void> {
  const box = (await page.locator('.viewport-canvas').boundingBox())!;
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + right / 2, y + down / 2, { steps: 4 });
  await page.mouse.move(x + right, y + down, { steps: 4 });
  await page.mouse.up();
}

interface Drawn {
  /** The grey where the middle of an image pixel lies, the image of 512 x 512 being fitted into the viewport. */
  at(row: number, column: number): number;
}

async function drawn(page: Page): Promise<Drawn> {
  await page.addStyleTag({ content: '.corner-text { visibility: hidden }' });
  const png = await page.locator('.viewport-canvas').screenshot();
  const { data, info } = await sharp(png).toColourspace('b-w').raw().toBuffer({ resolveWithObject: true });
  const scale = Math.min(info.width, info.height) / COLUMNS;
  return {
    at(row, column) {
      const x = Math.floor(info.width / 2 + (column + 0.5 - COLUMNS / 2) * scale);
      const y = Math.floor(info.height / 2 + (row + 0.5 - COLUMNS / 2) * scale);
      return data[(y * info.width + x) * info.channels]!;
    },
  };
}

async function getJson(url: string): Promise<Json[]> {
  const response = await fetch(url, { headers: { Accept: 'application/dicom+json' } });
  return (await response.json()) as Json[];
}

async function phantomInstance(origin: string, instanceNumber: number): Promise<Json> {
  const instances = await getJson(
    `${origin}/dicom-web/instances?PatientID=ISOCENTER-PHANTOM&includefield=00200013`,
  );
  return instances.find((one) => Number(one['00200013']?.Value?.[0]) === instanceNumber)!;
}

async function sopInstanceUid(origin: string, instanceNumber: number): Promise<string> {
  return String((await phantomInstance(origin, instanceNumber))['00080018']?.Value?.[0]);
}

/** Hounsfield units as the archive gives them, rows of 512. */
async function lastSlice(origin: string): Promise<Int16Array> {
  const instance = await phantomInstance(origin, SLICES);
  const [study, series, sop] = ['0020000D', '0020000E', '00080018'].map((tag) => instance[tag]?.Value?.[0]);
  const response = await fetch(
    `${origin}/dicom-web/studies/${study}/series/${series}/instances/${sop}/frames/1`,
    { headers: { Accept: 'application/octet-stream; transfer-syntax=*' } },
  );
  return Int16Array.from(new Uint16Array(await response.arrayBuffer()), (value) => value - 1024);
}

/** The value at a place whose neighbours are nearly the same, so that interpolation changes it by 4 greys at most. */
function flatValue(slice: Int16Array, row: number, column: number): number | undefined {
  const value = slice[row * COLUMNS + column]!;
  for (let y = row - 1; y <= row + 1; y++) {
    for (let x = column - 1; x <= column + 1; x++) {
      if (Math.abs(slice[y * COLUMNS + x]! - value) > 40) return undefined;
    }
  }
  return value;
}

async function stow(origin: string, file: Buffer): Promise<{ study: string; series: string; sop: string }> {
  const body = Buffer.concat([
    Buffer.from('--part\r\nContent-Type: application/dicom\r\n\r\n'),
    file,
    Buffer.from('\r\n--part--\r\n'),
  ]);
  const response = await fetch(`${origin}/dicom-web/studies`, {
    method: 'POST',
    headers: {
      'Content-Type': 'multipart/related; type="application/dicom"; boundary=part',
      Accept: 'application/dicom+json',
    },
    body,
  });
  const answer = (await response.json()) as { '00081199'?: { Value?: Json[] } };
  const url = String(answer['00081199']?.Value?.[0]?.['00081190']?.Value?.[0]);
  const match = /studies\/([\d.]+)\/series\/([\d.]+)\/instances\/([\d.]+)/.exec(url);
  if (!match) throw new Error(`STOW-RS answered ${response.status} ${JSON.stringify(answer)}`);
  return { study: match[1]!, series: match[2]!, sop: match[3]! };
}

/** Where an instance stands among the objects of its series, by Instance Number and then by UID, as the viewer has it. */
async function indexOf(origin: string, study: string, series: string, sop: string): Promise<number> {
  const instances = await getJson(`${origin}/dicom-web/studies/${study}/series/${series}/instances`);
  const order = instances
    .map((one) => ({ n: Number(one['00200013']?.Value?.[0] ?? 0), uid: String(one['00080018']?.Value?.[0]) }))
    .sort((a, b) => a.n - b.n || (a.uid < b.uid ? -1 : 1));
  return order.findIndex((one) => one.uid === sop);
}
