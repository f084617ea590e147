/**
 * The counts and lists that QIDO-RS makes of what the archive holds (0020,1206), (0020,1208), (0020,1209), (0008,0061),
 * (0020,1200): right after each thing that changes them, and the same by search as by result. Over a real house.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { type House, openHouse } from '../support/house.ts';
import { getJson, type Json, stow, value } from './door.ts';
import { madeObject } from './made-object.ts';

let house: House;
afterEach(() => house?.close());

interface Counts {
  series: unknown;
  instances: unknown;
  modalities: unknown;
}

async function studyCounts(study: string): Promise<Counts | undefined> {
  const { json } = await getJson(`${house.url}/dicom-web/studies?StudyInstanceUID=${study}`);
  const [found] = json;
  if (found === undefined) return undefined;
  const counts = {
    series: value(found, '00201206'),
    instances: value(found, '00201208'),
    modalities: found['00080061']?.Value,
  };
  // Whatever a result says, a search for it finds it, and what is below it is that many.
  const base = `${house.url}/dicom-web/studies`;
  const again = await getJson(
    `${base}?StudyInstanceUID=${study}&NumberOfStudyRelatedSeries=${counts.series}&NumberOfStudyRelatedInstances=${counts.instances}`,
  );
  expect(again.json).toHaveLength(1);
  for (const modality of (counts.modalities ?? []) as string[])
    expect(await uids(`studies?ModalitiesInStudy=${modality}`, '0020000D')).toContain(study);
  const series = (await getJson(`${base}/${study}/series`)).json;
  expect(series).toHaveLength(Number(counts.series));
  expect((await getJson(`${base}/${study}/instances`)).json).toHaveLength(Number(counts.instances));
  const below = series.map((one: Json) => Number(value(one, '00201209')));
  expect(below.reduce((sum, one) => sum + one, 0)).toBe(counts.instances);
  return counts;
}

const uids = async (path: string, tag: string): Promise<unknown[]> =>
  (await getJson(`${house.url}/dicom-web/${path}`)).json.map((one) => value(one, tag));

interface Wanted {
  study?: string;
  series?: string;
  patient?: string;
  modality?: string;
  rows?: number;
}

async function store(instance: string, wanted: Wanted = {}): Promise<void> {
  const { study = '7.1', series = `${study}.1`, patient = 'P', modality = 'CT', rows = 0 } = wanted;
  const { status } = await stow(house.url, [
    madeObject({
      study,
      series,
      instance,
      elements: [
        ['00080060', 'CS', modality],
        ['00100020', 'LO', patient],
        ['00204000', 'LT', rows === 0 ? '' : `Version ${rows}`],
      ],
    }),
  ]);
  if (![200, 202].includes(status)) throw new Error(`STOW: ${status}`);
}

async function settle(action: string): Promise<void> {
  const conflicts = (await (await fetch(`${house.url}/api/conflicts`)).json()) as { id: number }[];
  expect(conflicts).toHaveLength(1);
  const answer = await fetch(`${house.url}/api/conflicts/${conflicts[0]!.id}/${action}`, { method: 'POST' });
  expect(answer.status).toBe(200);
}

describe('counts', () => {
  it('grow with each instance, and not with the same again', async () => {
    house = await openHouse();
    await store('7.1.1.1');
    await store('7.1.1.2');
    await store('7.1.2.1', { series: '7.1.2', modality: 'SR' });
    await store('7.1.1.1');
    expect(await studyCounts('7.1')).toEqual({ series: 2, instances: 3, modalities: ['CT', 'SR'] });
  });

  it('leave out versions that are not current, and follow the one that becomes it', async () => {
    house = await openHouse();
    await store('7.1.1.1');
    await store('7.1.1.2');
    await store('7.1.1.1', { modality: 'MR', rows: 1 });
    expect(await studyCounts('7.1')).toEqual({ series: 1, instances: 2, modalities: ['CT'] });
    await settle('make-current');
    // One instance of the series is of another modality now.
    expect(await studyCounts('7.1')).toEqual({ series: 1, instances: 2, modalities: ['CT', 'MR'] });
    expect(await uids('instances?StudyInstanceUID=7.1', '00080060')).toEqual(['MR', 'CT']);
  });

  it('follow the only instance of a series that is replaced', async () => {
    house = await openHouse({ CONFLICT_POLICY: 'replace' });
    await store('7.1.1.1');
    await store('7.1.1.1', { modality: 'MR', rows: 1 });
    expect(await studyCounts('7.1')).toEqual({ series: 1, instances: 1, modalities: ['MR'] });
    expect(await uids('studies?ModalitiesInStudy=CT', '0020000D')).toEqual([]);
    expect(await uids('series?Modality=MR', '0020000E')).toEqual(['7.1.1']);
  });

  it('of a held study have what is in it, and lose what a person sets aside', async () => {
    house = await openHouse();
    await store('7.1.1.1');
    await store('7.1.2.1', { series: '7.1.2', modality: 'MR', patient: 'Q' });
    expect(await studyCounts('7.1')).toEqual({ series: 2, instances: 2, modalities: ['CT', 'MR'] });
    await settle('set-aside');
    expect(await studyCounts('7.1')).toEqual({ series: 1, instances: 1, modalities: ['CT'] });
    expect(await uids('studies?ModalitiesInStudy=MR', '0020000D')).toEqual([]);
  });

  it('of the patient are over all of the patient’s studies', async () => {
    house = await openHouse();
    await store('7.1.1.1');
    await store('7.2.1.1', { study: '7.2' });
    await store('7.3.1.1', { study: '7.3', patient: 'Q' });
    const { json } = await getJson(
      `${house.url}/dicom-web/studies?StudyInstanceUID=7.1&includefield=NumberOfPatientRelatedStudies,NumberOfPatientRelatedInstances`,
    );
    expect([value(json[0], '00201200'), value(json[0], '00201204')]).toEqual([2, 2]);
  });

  it('are gone with the last instance, and there again with the next', async () => {
    house = await openHouse();
    await store('7.1.1.1');
    const { database } = house.db;
    await database.query('update study set instance_count = 0, series_count = 0');
    expect(await studyCounts('7.1')).toBeUndefined();
    expect(await uids('studies?ModalitiesInStudy=CT', '0020000D')).toEqual([]);
    await database.query('update study set instance_count = 1, series_count = 1');
    expect(await studyCounts('7.1')).toEqual({ series: 1, instances: 1, modalities: ['CT'] });
    await database.query('truncate change, instance, series');
    await database.query('delete from study');
    expect((await database.query('select 1 from study_key')).rowCount).toBe(0);
    expect((await database.query('select 1 from study_modality')).rowCount).toBe(0);
  });
});
