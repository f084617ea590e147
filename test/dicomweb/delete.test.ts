/** DELETE over the real archive: what goes with it, what stays, what says no, and what comes again. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, type House, openHouse } from '../support/house.ts';
import { get, getJson, refusal, stow, value } from './door.ts';
import { madeObject, RAMP } from './made-object.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse({ ALLOW_DELETE: '1' });
});
afterAll(() => house?.close());

const url = (resource: string): string => `${house.url}/dicom-web/studies/${resource}`;

/** What is on its way to the store is asked for again, as Retry-After says. */
async function remove(resource: string): Promise<{ status: number; message: string }> {
  return eventually(async () => {
    const response = await fetch(url(resource), { method: 'DELETE' });
    const text = await response.text();
    if (response.status === 503) return undefined;
    const message = text === '' ? '' : (JSON.parse(text) as { message: string }).message;
    return { status: response.status, message };
  }, `the deletion of ${resource}`);
}

async function rowsOf<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
  return (await house.db.database.query<Row>(text, values)).rows;
}

function filesWith(uid: string): string[] {
  const folder = path.join(house.dataFolder, 'objects');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes(uid));
}

const two = (study: string): Buffer[] =>
  [1, 2].map((n) => madeObject({ study, series: `${study}.${n}`, instance: `${study}.${n}.1` }));

describe('DELETE', () => {
  it('of an instance takes it and its bytes, and leaves the rest of the study', async () => {
    await stow(house.url, two('8.1'));
    const stored = await eventually(async () => {
      const files = filesWith('8.1.1.1');
      return files.length > 0 ? files : undefined;
    }, 'the file');
    expect(stored).toHaveLength(1);
    expect((await remove('8.1/series/8.1.1/instances/8.1.1.1')).status).toBe(204);
    const [study] = (await getJson(`${url('')}?StudyInstanceUID=8.1`)).json;
    expect([value(study, '00201206'), value(study, '00201208')]).toEqual([1, 1]);
    expect((await getJson(`${url('8.1/metadata')}`)).json).toHaveLength(1);
    expect(await rowsOf("select 1 from object where sop_uid = '8.1.1.1'")).toEqual([]);
    await eventually(
      async () => (filesWith('8.1.1.1').length === 0 ? true : undefined),
      'the end of the file',
    );
    expect(await rowsOf("select 1 from removal where study_uid = '8.1'")).toEqual([]);
  });

  it('of a series or study takes all of it, and of the patient nothing is left in the study', async () => {
    await stow(house.url, two('8.2'));
    expect((await remove('8.2/series/8.2.1')).status).toBe(204);
    expect((await getJson(url('8.2/series'))).json).toHaveLength(1);
    expect((await remove('8.2')).status).toBe(204);
    expect((await getJson(`${url('')}?StudyInstanceUID=8.2`)).json).toEqual([]);
    for (const table of ['study', 'study_key s join study t on t.id = s.study', 'object'])
      expect(await rowsOf(`select 1 from ${table} where study_uid = '8.2'`), table).toEqual([]);
  });

  it('is told by the change feed and the audit, each once', async () => {
    await stow(house.url, two('8.3'));
    expect((await remove('8.3')).status).toBe(204);
    const kinds = await rowsOf<{ kind: string }>(
      "select kind from change where study_uid = '8.3' and kind <> 'study-stable' order by id",
    );
    expect(kinds.map(({ kind }) => kind)).toEqual([
      'instance-stored',
      'instance-stored',
      'instance-deleted',
      'instance-deleted',
      'study-deleted',
    ]);
    expect(
      await rowsOf(
        "select deleted_by, study_uid, series_uid, instances from deletion where study_uid = '8.3'",
      ),
    ).toEqual([{ deleted_by: 'anonymous', study_uid: '8.3', series_uid: null, instances: 2 }]);
    const timeline = (await (await fetch(`${house.url}/api/studies/8.3/timeline`)).json()) as {
      steps: { step: string; instances?: number }[];
    };
    expect(timeline.steps.find(({ step }) => step === 'deleted')).toMatchObject({ instances: 2 });
    await expect(house.db.database.query('delete from deletion')).rejects.toThrow();
  });

  it('twice is 410, and so is what was in it; what never was is 404', async () => {
    await stow(house.url, two('8.4'));
    expect((await remove('8.4/series/8.4.1')).status).toBe(204);
    expect((await remove('8.4/series/8.4.1')).status).toBe(410);
    expect((await get(url('8.4/series/8.4.1/instances/8.4.1.1/metadata'))).status).toBe(410);
    expect((await get(url('8.4/series/8.4.1'))).status).toBe(410);
    expect((await get(url('8.4/series/8.4.9'))).status).toBe(404);
    expect((await get(url('8.4'))).status).toBe(200);
    expect(await refusal(url('8.99'), { method: 'DELETE' })).toMatchObject({ status: 404 });
    expect(await refusal(url('8.x'), { method: 'DELETE' })).toMatchObject({ status: 400 });
  });

  it('is undone by sending it again, to whatever patient it is then, and versions count on', async () => {
    const [file] = two('8.5');
    await stow(house.url, [file!]);
    const [before] = await rowsOf<{ version: number }>("select version from study where study_uid = '8.5'");
    expect((await remove('8.5')).status).toBe(204);
    const other = madeObject({
      study: '8.5',
      series: '8.5.1',
      instance: '8.5.1.1',
      elements: [['00100020', 'LO', 'P2']],
    });
    expect((await stow(house.url, [other])).status).toBe(200);
    const [after] = await rowsOf<{ version: number; held: string | null; patient_id: string }>(
      "select version, held, patient_id from study where study_uid = '8.5'",
    );
    expect(after).toMatchObject({ held: null, patient_id: 'P2' });
    expect(after!.version).toBeGreaterThan(before!.version + 1);
    expect((await get(url('8.5'))).status).toBe(200);
  });

  it('waits for a person where a conflict does', async () => {
    await stow(house.url, [madeObject({ study: '8.6', instance: '8.6.1.1' })]);
    await stow(house.url, [
      madeObject({ study: '8.6', instance: '8.6.1.1', pixels: Buffer.from(RAMP).fill(7) }),
    ]);
    await eventually(
      async () => (await rowsOf("select 1 from conflict where study_uid = '8.6'"))[0],
      'the conflict',
    );
    const { status, message } = await remove('8.6');
    expect([status, message]).toEqual([409, expect.stringContaining('/api/conflicts')]);
    expect((await getJson(url('8.6/instances'))).json).toHaveLength(1);
    const [conflict] = await rowsOf<{ id: number }>("select id from conflict where study_uid = '8.6'");
    await fetch(`${house.url}/api/conflicts/${conflict!.id}/keep`, { method: 'POST' });
    expect((await remove('8.6')).status).toBe(204);
    expect(await rowsOf("select 1 from object where sop_uid = '8.6.1.1'")).toEqual([]);
  });

  it('waits while it is owed to a destination', async () => {
    await stow(house.url, two('8.7'));
    await rowsOf("insert into delivery (study_uid, destination, held) values ('8.7', 'pacs', true)");
    await rowsOf(
      `insert into delivery_instance (delivery, sop_uid, content_hash, object)
       select d.id, o.sop_uid, o.content_hash, o.id from delivery d, object o
       where d.study_uid = '8.7' and o.sop_uid = '8.7.1.1'`,
    );
    for (const resource of ['8.7', '8.7/series/8.7.1', '8.7/series/8.7.1/instances/8.7.1.1'])
      expect(await remove(resource)).toMatchObject({ status: 409, message: expect.stringContaining('pacs') });
    expect((await remove('8.7/series/8.7.2')).status).toBe(204);
    await rowsOf("update delivery set state = 'cancelled' where study_uid = '8.7'");
    expect((await remove('8.7')).status).toBe(204);
  });

  it('of what a version was set aside for lets that version be sent again, and found', async () => {
    const [first, aside] = ['8.11', '8.12'].map((study) => madeObject({ study, instance: '8.11.9' }));
    await stow(house.url, [first!]);
    await stow(house.url, [aside!]);
    const conflicts = await rowsOf<{ id: number }>("select id from conflict where sop_uid = '8.11.9'");
    expect(conflicts).toHaveLength(1);
    const kept = await fetch(`${house.url}/api/conflicts/${conflicts[0]!.id}/keep`, { method: 'POST' });
    expect(kept.status).toBe(200);
    await stow(house.url, [aside!]);
    expect((await getJson(url('8.12/metadata'))).status).toBe(404);
    expect((await remove('8.11')).status).toBe(204);
    expect((await getJson(url('8.12/metadata'))).status).toBe(404);
    expect((await stow(house.url, [aside!])).status).toBe(200);
    expect((await getJson(url('8.12/metadata'))).json).toHaveLength(1);
    expect(await rowsOf("select role, study_uid as study from object where sop_uid = '8.11.9'")).toEqual([
      { role: 'current', study: '8.12' },
    ]);
    const told = await rowsOf<{ kind: string }>(
      "select kind from change where study_uid = '8.12' order by id",
    );
    expect(told.filter(({ kind }) => kind === 'instance-stored')).toHaveLength(1);
    expect((await remove('8.12')).status).toBe(204);
  });

  it('leaves what shares a pack of headers readable, and of itself nothing in it', async () => {
    const files = [1, 2, 3].map((n) =>
      madeObject({ study: '8.8', instance: `8.8.1.${n}`, elements: [['00200013', 'IS', `${n} `]] }),
    );
    await stow(house.url, files);
    expect((await remove('8.8/series/8.8.1/instances/8.8.1.2')).status).toBe(204);
    const { json } = await getJson(url('8.8/metadata'));
    expect(json.map((one) => value(one, '00080018')).sort()).toEqual(['8.8.1.1', '8.8.1.3']);
  });
});

describe('without ALLOW_DELETE', () => {
  it('nothing is deleted', async () => {
    await stow(house.url, two('8.9'));
    await house.restart({ ALLOW_DELETE: '0' });
    expect(await remove('8.9')).toMatchObject({
      status: 403,
      message: expect.stringContaining('ALLOW_DELETE'),
    });
    expect((await getJson(url('8.9/instances'))).json).toHaveLength(2);
    await house.restart();
  });
});
