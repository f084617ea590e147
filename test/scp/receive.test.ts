/** The front door with DCMTK's storescu: what it sends is kept byte for byte, indexed once, and refusals have words. */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { corpusFolder } from '../support/corpus.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { peer } from '../support/peers.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');

describe('a disk below its reserve', () => {
  it('is said by /health/ready, while what is stored is still served', async () => {
    const house = await openHouse({ DISK_RESERVE: '1000TB' });
    try {
      const response = await fetch(`${house.url}/health/ready`);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({
        ready: true,
        journal: { refuses: expect.stringContaining('DISK_RESERVE') },
      });
    } finally {
      await house.close();
    }
  });
});

describe.skipIf(!dcmtk || !corpusFolder)('receiving from DCMTK (dcmtk, corpus)', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse();
  });
  afterAll(() => house?.close());
  const send = (folder: string, ...more: string[]) =>
    run(
      dcmtk!.storescu!,
      ['-aec', 'ISOCENTER', ...more, '127.0.0.1', String(house.dicomPort), '+sd', '+r', folder],
      {
        env: { ...process.env, TCP_NODELAY: '1' },
      },
    );

  it('answers C-ECHO', async () => {
    await run(dcmtk!.echoscu!, ['-aec', 'ISOCENTER', '127.0.0.1', String(house.dicomPort)]);
  });

  it('rejects a wrong called AE title with the reason, and lists it', async () => {
    await expect(
      run(dcmtk!.echoscu!, ['-aec', 'SOMEBODY', '127.0.0.1', String(house.dicomPort)]),
    ).rejects.toThrow(/Called AE Title Not Recognized/);
    const { rows } = await eventually(async () => {
      const found = await house.db.database.query<{ reason: string }>('select reason from refusal');
      return found.rows.length > 0 ? found : undefined;
    }, 'the refusal');
    expect(rows[0]!.reason).toContain('SOMEBODY');
  });

  it('has the CT study indexed once the association is released: 29 instances in two series', async () => {
    await send(path.join(corpusFolder!, 'dcm_qa_ct'));
    const { rows } = await house.db.database.query(
      'select series_count, instance_count, modalities from study',
    );
    expect(rows).toEqual([{ series_count: 2, instance_count: 29, modalities: ['CT'] }]);
  });

  it('takes the same study from eight associations at once and changes nothing', async () => {
    const before = await house.db.database.query('select count(*) as n from change');
    await Promise.all(Array.from({ length: 8 }, () => send(path.join(corpusFolder!, 'dcm_qa_ct'))));
    const after = await house.db.database.query(
      `select (select count(*) from study) as studies, (select count(*) from series) as series,
         (select count(*) from instance) as instances, (select count(*) from object) as objects,
         (select count(*) from conflict) as conflicts,
         (select count(*) from change where kind = 'instance-stored') as stored`,
    );
    expect(after.rows[0]).toEqual({
      studies: 1,
      series: 2,
      instances: 29,
      objects: 29,
      conflicts: 0,
      stored: 29,
    });
    expect(Number(before.rows[0]!.n)).toBeGreaterThanOrEqual(29);
  });

  it('makes one patient, one study, one series of a new study that eight associations bring at once', async () => {
    const folder = path.join(corpusFolder!, 'dcm4che');
    await Promise.all(Array.from({ length: 8 }, () => send(folder, '-R').catch(() => undefined)));
    const { rows } = await house.db.database.query(
      `select count(*) as n, count(distinct study_uid) as d from study`,
    );
    expect(rows[0]!.n).toBe(rows[0]!.d);
    const doubled = await house.db.database.query(
      'select series_uid from series group by study, series_uid having count(*) > 1',
    );
    expect(doubled.rows).toEqual([]);
    const counts = await house.db.database.query(
      `select s.study_uid from study s where instance_count <>
         (select count(*) from instance i join series e on e.id = i.series where e.study = s.id)
       or series_count <> (select count(*) from series e where e.study = s.id)`,
    );
    expect(counts.rows).toEqual([]);
  });

  it('declares the study stable after the quiet time', async () => {
    await eventually(async () => {
      const { rows } = await house.db.database.query(
        'select 1 from study where stable_version is distinct from version',
      );
      return rows.length === 0 ? true : undefined;
    }, 'stability');
  });

  it('leaves nothing in the journal after a drain', async () => {
    await house.restart();
    const left = (await readdir(path.join(house.dataFolder, 'journal'), { recursive: true })).filter((name) =>
      name.endsWith('.obj'),
    );
    expect(left).toEqual([]);
    const { rows } = await house.db.database.query(
      "select count(*) as n from object where location = 'journal'",
    );
    expect(rows[0]!.n).toBe(0);
  });
});
