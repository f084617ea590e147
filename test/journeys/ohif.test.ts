/**
 * Another people's viewer on our DICOMweb: OHIF in a real browser lists a study, opens it and shows its picture, and
 * nothing it asks for is refused.
 */
import { Writable } from 'node:stream';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modality } from '../../src/cli/modality.ts';
import { getJson, value } from '../dicomweb/door.ts';
import { type OpenBrowser, type OpenPage, openBrowser } from '../support/chromium.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { type Ohif, startOhif } from '../support/ohif.ts';
import { missing, peer } from '../support/peers.ts';

const SLICES = 12;
const silence = () => new Writable({ write: (_chunk, _encoding, done) => done() });
const lacking = (['chromium', 'ohif'] as const).find((name) => !peer(name));

describe.skipIf(lacking)(`OHIF (${lacking ? missing(lacking) : '@ohif/app'})`, () => {
  let house: House;
  let ohif: Ohif;
  let browser: OpenBrowser;
  let opened: OpenPage;

  beforeAll(async () => {
    [house, browser] = await Promise.all([openHouse(), openBrowser()]);
    const to = `ISOCENTER@127.0.0.1:${house.dicomPort}`;
    expect(await modality({ ct: SLICES, seed: 'ohif', to, screen: silence() })).toBe(0);
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

  it('lists the study', async () => {
    const { page } = opened;
    await page.getByText('Phantom, Isocenter').first().waitFor();
    const listed = await page.locator('body').textContent();
    for (const text of ['02-Jan-2025', 'CT', 'Phantom chest', String(SLICES)]) expect(listed).toContain(text);
    expect(ohif.refusals()).toEqual([]);
  });

  it('opens it and shows the picture', async () => {
    const { page } = opened;
    const { json } = await getJson(`${house.url}/dicom-web/studies`);
    await page.goto(`/viewer?StudyInstanceUIDs=${value(json[0], '0020000D')}`);
    const canvas = page.locator('.cornerstone-canvas').first();
    await canvas.waitFor();
    await eventually(
      async () => {
        const { channels } = await sharp(await canvas.screenshot()).stats();
        return channels[0]!.stdev > 20 ? true : undefined;
      },
      'a picture with light and dark',
      45_000,
    );
    await page.getByText(`(1/${SLICES})`).waitFor();
    const kinds = [/\/series\?/, /\/metadata$/, /\/frames\/1$/, /\/thumbnail\?/];
    for (const kind of kinds) expect(ohif.asked().filter((request) => kind.test(request))).not.toEqual([]);
    expect(ohif.refusals()).toEqual([]);
    expect(opened.complaints()).toEqual([]);
  });
});
