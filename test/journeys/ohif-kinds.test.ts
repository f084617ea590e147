/**
 * OHIF in a real browser on a study with everything in it: a series of MR, a colour loop in JPEG-LS, a report, a PDF.
 * Each is opened from the list of series and is seen; nothing OHIF asks for is refused.
 */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stow } from '../dicomweb/door.ts';
import { type OpenBrowser, type OpenPage, openBrowser } from '../support/chromium.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { type Ohif, startOhif } from '../support/ohif.ts';
import { missing, peer } from '../support/peers.ts';
import { MR_SLICES, mixedStudy, STUDY, US_FRAMES } from './mixed-study.ts';

const lacking = (['chromium', 'ohif', 'dcmtk'] as const).find((name) => !peer(name));
const THUMBNAIL = '[data-cy="study-browser-thumbnail"]';
const WITHOUT_PICTURE = '[data-cy="study-browser-thumbnail-no-image"]';

describe.skipIf(lacking)(`OHIF (${lacking ? missing(lacking) : '@ohif/app'}) with a study of`, () => {
  let house: House;
  let ohif: Ohif;
  let browser: OpenBrowser;
  let opened: OpenPage;

  beforeAll(async () => {
    [house, browser] = await Promise.all([openHouse(), openBrowser()]);
    const { status, json } = await stow(house.url, await mixedStudy(peer('dcmtk')!.dcmcjpls!));
    expect(status, JSON.stringify(json)).toBe(200);
    ohif = await startOhif(house.url);
    opened = await browser.open(ohif.url);
    // The pages are large, and WebGL is in software.
    opened.page.setDefaultTimeout(50_000);
  });
  afterAll(async () => {
    await browser?.close();
    await ohif?.stop();
    await house?.close();
  });
  const nothingWrong = (): void => {
    expect(ohif.refusals()).toEqual([]);
    expect(opened.complaints()).toEqual([]);
  };
  const open = (kind: string, title: string): Promise<void> =>
    opened.page.locator(kind, { hasText: title }).first().dblclick();
  /** Means of red, green and blue over the picture, once `isIt` says yes. */
  const seen = (isIt: (red: number, green: number, blue: number) => boolean, what: string) =>
    eventually(
      async () => {
        const canvas = opened.page.locator('.cornerstone-canvas').first();
        const { channels } = await sharp(await canvas.screenshot()).stats();
        return isIt(channels[0]!.mean, channels[1]!.mean, channels[2]!.mean) ? true : undefined;
      },
      what,
      45_000,
    );

  it('all kinds lists them, with a picture of each that has one', async () => {
    const { page } = opened;
    await page.getByText('Gemischt, Anna').first().waitFor();
    const listed = await page.locator('body').textContent();
    for (const text of ['02-Jan-2026', 'Heart of all kinds', 'A7', String(MR_SLICES + 3)])
      expect(listed).toContain(text);
    await page.goto(`/viewer?StudyInstanceUIDs=${STUDY}`);
    await page.locator(`${THUMBNAIL} img`).nth(1).waitFor();
    expect(await page.locator(THUMBNAIL).count()).toBe(2);
    expect(await page.locator(WITHOUT_PICTURE).count()).toBe(2);
    // What it explains to who opens it first lies over everything.
    await page.getByText('Skip all').click();
    nothingWrong();
  });

  it('MR shows its slices', async () => {
    await open(THUMBNAIL, 'Discs');
    await opened.page.getByText(`(1/${MR_SLICES})`).waitFor();
    // Not the same: what OHIF writes over it is blue.
    await seen(
      (red, green, blue) => red > 40 && Math.abs(red - green) + Math.abs(red - blue) < 20,
      'a grey disc',
    );
    nothingWrong();
  });

  it('a loop in JPEG-LS shows its frames in their colours', async () => {
    await open(THUMBNAIL, 'Loop');
    await opened.page.getByText(`(1/${US_FRAMES})`).waitFor();
    await seen((red, green, blue) => red > 2 * green && red > 2 * blue, 'a red disc');
    await opened.page.locator('.cornerstone-canvas').first().hover();
    await opened.page.mouse.wheel(0, 100);
    await seen((red, green, blue) => green > 2 * red && green > 2 * blue, 'a green disc');
    nothingWrong();
  });

  it('a report shows its text, and runs nothing of it', async () => {
    await open(WITHOUT_PICTURE, 'Report');
    for (const text of ['Imaging Report', 'Finding', '<script>alert(1)</script>', '12.5'])
      await opened.page.getByText(text).first().waitFor();
    nothingWrong();
  });

  it('a PDF shows its page', async () => {
    await open(WITHOUT_PICTURE, 'Letter');
    const pdf = opened.page.locator('object[type="application/pdf"]');
    await pdf.waitFor();
    await eventually(
      async () => {
        const { channels } = await sharp(await pdf.screenshot()).stats();
        return channels[0]!.max === 255 && channels[0]!.mean > 60 ? true : undefined;
      },
      'a white page',
      45_000,
    );
    expect(ohif.asked().filter((request) => request.endsWith('/bulkdata/00420011'))).not.toEqual([]);
    nothingWrong();
  });
});
