/**
 * Eight associations bring the same Study UID at once, each under another patient, two of them without an ID
 * (promise 8): all is kept, the study is held, nothing of it is owed to anybody until a person has settled each conflict.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aSeries, uid } from '../../support/an-object.ts';
import { eventually, type House, openHouse } from '../../support/house.ts';
import { originalDataSet, sendObjects } from '../../support/modality.ts';

describe('a study under many patients', () => {
  let house: House;
  const study = uid();
  const patients = ['A', 'B', 'C', 'D', 'E', 'F', '', ''];
  const series = patients.map((patientId) => aSeries(5, { study, patientId }));

  const put = (where: string, body: unknown): Promise<Response> =>
    fetch(`${house.url}${where}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const json = async <T>(where: string, init?: RequestInit): Promise<T> =>
    (await (await fetch(`${house.url}${where}`, init)).json()) as T;
  const deliveries = () => json<unknown[]>(`/api/deliveries?study=${study}`);
  const conflicts = () => json<{ id: number; kind: string }[]>(`/api/conflicts?study=${study}&limit=100`);

  beforeAll(async () => {
    house = await openHouse();
    // Nobody listens there: it is the debt that counts.
    await put('/api/destinations/pacs', { kind: 'dimse', host: '127.0.0.1', port: 1, aeTitle: 'PACS' });
    await put('/api/rules/all', { when: { Modality: '*' }, at: 'study-stable', send: ['pacs'] });
    const answers = await Promise.all(
      series.map((objects, n) => sendObjects(house, `MODALITY${n}`, objects)),
    );
    expect(new Set(answers.flat().map(({ status }) => status))).toEqual(new Set([0]));
  });
  afterAll(() => house?.close());

  it('is one study, held, and every object of it is there', async () => {
    const { rows } = await house.db.database.query(
      'select held is not null as held, instance_count from study where study_uid = $1',
      [study],
    );
    expect(rows).toEqual([{ held: true, instance_count: 40 }]);
    for (const object of series.flat())
      expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
    // All but the first patient's; the two without an ID agree with each other when they come first.
    expect((await conflicts()).length).toBeGreaterThanOrEqual(30);
  });

  it('is owed to nobody when it is stable, until the last conflict is settled', async () => {
    await eventually(async () => {
      const { rows } = await house.db.database.query(
        'select 1 from study where study_uid = $1 and stable_version = version',
        [study],
      );
      return rows[0];
    }, 'stability');
    // One release settles all of that patient's: who is not released yet holds the study.
    let released = 0;
    for (let open = await conflicts(); open.length > 0; open = await conflicts()) {
      expect(await deliveries()).toEqual([]);
      const settled = await json(`/api/conflicts/${open[0]!.id}/release`, { method: 'POST' });
      released++;
      expect(settled).toMatchObject({ studyReleased: (await conflicts()).length === 0 });
    }
    // Six strangers to the first of the seven patients; those without an ID are one.
    expect(released).toBe(6);
    const [delivery] = await eventually(async () => {
      const owed = await deliveries();
      return owed.length > 0 ? owed : undefined;
    }, 'the delivery');
    expect(delivery).toMatchObject({ study, destination: 'pacs', total: 40 });
  });
});
