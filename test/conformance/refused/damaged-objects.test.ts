/**
 * Every damaged file of the corpus through both doors (promise 9): each is answered, what was answered Success is there
 * byte for byte, what was refused has a sentence that quotes no patient, and pixel data that lies is refused in words.
 * A sound object goes in beside them.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anObject } from '../../support/an-object.ts';
import { corpusFolder } from '../../support/corpus.ts';
import { eventually, type House, openHouse } from '../../support/house.ts';
import { fileOf, multipart, originalDataSet, sendObjects, stow } from '../../support/modality.ts';
import { type DamagedFile, damagedFiles } from '../damaged-files.ts';

const DAMAGED = new Set([0x0000, 0xa900, 0xc000]);
/** An answer about broken bytes is quick; the bound only tells it from a hang. */
const ANSWER_MS = 15_000;

describe.skipIf(!corpusFolder)('damaged objects (../shared/corpus)', () => {
  let house: House;
  const objects = damagedFiles();
  const sendable = objects.filter(({ dataSet }) => dataSet.length > 0);
  beforeAll(async () => {
    house = await openHouse();
  });
  afterAll(() => house?.close());

  it('over DIMSE each gets its status, and Success means the bytes are there', async () => {
    const sound = anObject();
    const [answers, [beside]] = await Promise.all([
      sendObjects(house, 'DAMAGED', sendable),
      sendObjects(house, 'SOUND', [sound]),
    ]);
    expect(beside!.status).toBe(0);
    expect((await originalDataSet(house, sound.sop)).equals(sound.dataSet)).toBe(true);
    const first = new Map<string, DamagedFile>();
    for (const [n, { status, comment }] of answers.entries()) {
      const object = sendable[n]!;
      expect(DAMAGED, `${object.name}: 0x${status.toString(16)}`).toContain(status);
      if (status !== 0) expect(comment, object.name).not.toBe('');
      else if (!first.has(object.declared.sopInstanceUid)) first.set(object.declared.sopInstanceUid, object);
    }
    expect(first.size).toBeGreaterThan(20);
    expect(answers.some(({ status }) => status !== 0)).toBe(true);
    for (const [sopUid, object] of first)
      expect((await originalDataSet(house, sopUid)).equals(object.dataSet), object.name).toBe(true);
  }, 60_000);

  it('over STOW each part gets its answer, and the sound part among them is stored', async () => {
    const sound = anObject();
    const files = objects.map(({ file }) => file);
    files.splice(files.length / 2, 0, fileOf(sound));
    const response = await stow(house, multipart(files));
    expect(response.status).toBe(202);
    const answer = (await response.json()) as Record<string, { Value?: unknown[] }>;
    const counted = ['00081199', '00081198', '0008119A'].map((tag) => answer[tag]?.Value?.length ?? 0);
    expect(counted.reduce((sum, count) => sum + count)).toBe(files.length);
    expect((await originalDataSet(house, sound.sop)).equals(sound.dataSet)).toBe(true);
  }, 60_000);

  it('what was refused is listed in words that quote no patient', async () => {
    const refusals = await eventually(async () => {
      const response = await fetch(`${house.url}/api/refusals?limit=1000`);
      const listed = (await response.json()) as { what: string; reason: string }[];
      const kinds = new Set(listed.map(({ what }) => what));
      return kinds.has('object') && kinds.has('part') ? listed : undefined;
    }, 'the refusals of both doors');
    const words = refusals.map(({ reason }) => reason).join('\n');
    const values = new Set(objects.flatMap(({ patient }) => patient));
    expect(values.size).toBeGreaterThan(3);
    for (const value of values) expect(words).not.toContain(value);
    for (const { reason } of refusals) expect(reason.length).toBeGreaterThan(10);
  });

  it('what they hold is shown or refused in words, and the next picture still comes', async () => {
    const { rows } = await house.db.database.query<{ study: string; series: string; sop: string }>(
      `select s.study_uid as study, e.series_uid as series, i.sop_uid as sop
       from instance i join series e on e.id = i.series join study s on s.id = e.study`,
    );
    for (const { study, series, sop } of rows)
      for (const what of ['metadata', 'frames/1', 'rendered', 'thumbnail']) {
        const url = `${house.url}/dicom-web/studies/${study}/series/${series}/instances/${sop}/${what}`;
        const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
        const body = Buffer.from(await response.arrayBuffer());
        if (response.ok) continue;
        expect([404, 406, 501], `${what} of ${sop}`).toContain(response.status);
        expect(JSON.parse(body.toString())).toMatchObject({ message: expect.stringMatching(/.{10,}/) });
      }
    const control = '1.2.826.0.1.3680043.8.498.77.0';
    const { study, series } = rows.find(({ sop }) => sop === control)!;
    const url = `${house.url}/dicom-web/studies/${study}/series/${series}/instances/${control}/rendered`;
    expect((await fetch(url)).status).toBe(200);
  }, 90_000);
});
