/**
 * S3 goes away, hangs and lies while a modality sends: whatever was acknowledged is served by the node that has it,
 * asked for again by the others, and in the bucket byte for byte when it is back.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AnObject, anObject, aSeries } from '../support/an-object.ts';
import { type Fault, type FaultProxy, type ProxiedRequest, startFaultProxy } from '../support/fault-proxy.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { originalDataSet } from '../support/modality.ts';
import { peer } from '../support/peers.ts';
import type { S3Access } from '../support/s3.ts';
import { sharedS3 } from '../support/shared-peers.ts';
import { isTransient, sendHonestly } from './honest-sender.ts';
import { limitMs, times } from './scale.ts';

/** Requests that hung end by their own limit first. */
const UPLOADED_MS = 40_000;

const ever = Number.POSITIVE_INFINITY;
const always = (_: ProxiedRequest): boolean => true;
const isPut = ({ method }: ProxiedRequest): boolean => method === 'PUT';
const isHead = ({ method, path }: ProxiedRequest): boolean => method === 'HEAD' && path.endsWith('.dcm');

describe.skipIf(!peer('s3'))('S3 behind the acknowledgement (s3)', () => {
  let access: S3Access;
  let proxy: FaultProxy;
  const houses: House[] = [];
  beforeEach(async () => {
    access = await sharedS3();
    proxy = await startFaultProxy(access.endpoint);
  });
  afterEach(async () => {
    for (const house of houses.splice(0).reverse()) await house.close();
    await proxy.stop();
  });

  async function open(bucket: string, env: Record<string, string> = {}): Promise<House> {
    const house = await openHouse({
      S3_ENDPOINT: proxy.url,
      S3_BUCKET: bucket,
      S3_ACCESS_KEY: access.accessKey,
      S3_SECRET_KEY: access.secretKey,
      S3_REGION: access.region,
      ...env,
    });
    houses.push(house);
    return house;
  }
  const newBucket = (): string => `torture-${crypto.randomUUID()}`;

  const ready = async (house: House): Promise<{ status: number; said: Record<string, unknown> }> => {
    const answer = await fetch(`${house.url}/health/ready`);
    return { status: answer.status, said: (await answer.json()) as Record<string, unknown> };
  };
  async function allUploaded(
    house: House,
    objects: readonly AnObject[],
    withinMs = UPLOADED_MS,
  ): Promise<void> {
    await eventually(
      async () => {
        const { rows } = await house.db.database.query<{ left: number; all: number }>(
          `select count(*) filter (where location <> 'store') as left, count(*) as all from object`,
        );
        return rows[0]!.left === 0 && rows[0]!.all === objects.length ? true : undefined;
      },
      'the upload of all',
      withinMs,
    );
    const { rows } = await house.db.database.query<{ sop: string }>('select sop_uid as sop from instance');
    expect(rows.map(({ sop }) => sop).sort()).toEqual(objects.map(({ sop }) => sop).sort());
    for (const object of objects)
      expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
    await eventually(async () => ((await ready(house)).status === 200 ? true : undefined), 'readiness');
  }

  /** What is wrong with S3, and for which requests. */
  const faults: [string, Fault, (request: ProxiedRequest) => boolean][] = [
    ['answers 503', { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' }, always],
    ['cuts every connection', { kind: 'refuse' }, always],
    ['loses its answers', { kind: 'lose-answer' }, always],
    ['says it took what it did not', { kind: 'answer', status: 200 }, isPut],
    ['shows fewer bytes than were sent', { kind: 'lie', headers: { 'content-length': '7' } }, isHead],
    ['hangs', { kind: 'hang' }, always],
  ];
  it.each(faults)(
    'that %s: taken and served meanwhile, said in ready and metrics, uploaded when it is well again',
    async (name, fault, when) => {
      const house = await open(newBucket());
      for (let round = 0; round < times(1, 10); round++) {
        const before = await house.db.database.query('select 1 from object');
        const objects = [...aSeries(6, { pixelBytes: 20_000 }), anObject({ pixelBytes: 3_000_000 })];
        const diary = await sendHonestly({
          dicomPort: house.dicomPort,
          objects,
          during: { after: 2, act: async () => proxy.inject({ fault, when, times: ever }) },
        });
        expect(diary).toMatchObject({ refusals: [], lost: 0 });
        // Its own node serves what is not there yet.
        for (const object of objects.slice(2))
          expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
        await eventually(
          async () => {
            const { said } = await ready(house);
            const journal = said.journal as Record<string, number | object[]>;
            const metrics = await (await fetch(`${house.url}/metrics`)).text();
            const held = Number(/isocenter_journal_held_objects (\d+)/.exec(metrics)?.[1]);
            const isSaid =
              (Array.isArray(journal.waitsFor) || said.store !== 'ok') &&
              Number(journal.heldObjects) >= 4 &&
              held >= 4;
            return isSaid && Number(journal.oldestAgeS) >= 1 ? true : undefined;
          },
          `word of S3 that ${name}`,
          45_000,
        );
        const { rows } = await house.db.database.query("select 1 from object where location = 'store'");
        expect(rows.length).toBeLessThanOrEqual(before.rowCount + 3);
        proxy.clear();
        const all = await house.db.database.query<{ sop: string }>('select sop_uid as sop from object');
        expect(all.rowCount).toBe(before.rowCount + objects.length);
        if (round === 0) await allUploaded(house, objects);
        else
          await eventually(
            async () => {
              const left = await house.db.database.query("select 1 from object where location <> 'store'");
              return left.rowCount === 0 ? true : undefined;
            },
            'the upload of all',
            UPLOADED_MS,
          );
      }
    },
    limitMs(120_000, 900_000),
  );

  it('another node answers 503 with Retry-After until the object is in the store', async () => {
    const bucket = newBucket();
    const near = await open(bucket);
    const far = await open(bucket, { S3_ENDPOINT: access.endpoint, DATABASE_URL: near.db.url });
    proxy.inject({ fault: { kind: 'refuse' }, when: always, times: ever });
    const [object, other] = aSeries(2, { pixelBytes: 512 });
    await sendHonestly({ dicomPort: near.dicomPort, objects: [object!, other!] });
    const { study, series, sop } = object!;
    const instance = `/dicom-web/studies/${study}/series/${series}/instances/${sop}`;
    const paths = [
      `/dicom-web/studies/${study}`,
      `/dicom-web/studies/${study}/series/${series}`,
      instance,
      `/dicom-web/studies/${study}/metadata`,
      `/dicom-web/studies/${study}/series/${series}/metadata`,
      `${instance}/metadata`,
      `${instance}/frames/1`,
      `${instance}/bulkdata/7FE00010`,
      `${instance}/rendered`,
      `/api/instances/${sop}/original`,
    ];
    const statuses = async (house: House): Promise<Record<string, string>> => {
      const asked = paths.map(async (path) => {
        const answer = await fetch(`${house.url}${path}`);
        await answer.arrayBuffer();
        const name = path.replace(instance, '…').replace(study, 'S').replace(series, 'E').replace(sop, 'I');
        return [name, `${answer.status}${answer.headers.has('retry-after') ? ' Retry-After' : ''}`] as const;
      });
      return Object.fromEntries(await Promise.all(asked));
    };
    const here = await statuses(near);
    expect(Object.values(here).filter((status) => status.startsWith('200')).length).toBeGreaterThanOrEqual(7);
    expect(Object.values(here).filter((status) => status.startsWith('5'))).toEqual([]);
    // The index is everybody's.
    const listed = await fetch(`${far.url}/dicom-web/studies/${study}/instances`);
    expect((await listed.json()) as unknown[]).toHaveLength(2);
    const there = await statuses(far);
    // What cannot be given at all (this object has no picture) may say so at once; of a header, what the near node was
    // asked for is kept in the index, which is everybody's.
    for (const [path, status] of Object.entries(there)) {
      const kept = path.endsWith('/metadata') ? /^(200|503 Retry-After)$/ : /^503 Retry-After$/;
      expect([path, status]).toEqual([
        path,
        here[path]!.startsWith('200') ? expect.stringMatching(kept) : expect.not.stringMatching(/^200/),
      ]);
    }
    proxy.clear();
    await allUploaded(near, [object!, other!]);
    expect(await statuses(far)).toEqual(await statuses(near));
  }, 120_000);

  it('with ACK_AFTER=store Success waits for it; without it, 0xA700 in time, and the same object again is one object', async () => {
    const house = await open(newBucket(), { ACK_AFTER: 'store', ACK_LIMIT_S: '2' });
    const objects = aSeries(4, { pixelBytes: 20_000 });
    const diary = await sendHonestly({
      dicomPort: house.dicomPort,
      objects,
      during: {
        after: 2,
        act: async () => proxy.inject({ fault: { kind: 'refuse' }, when: always, times: ever }),
        async beside() {
          await eventually(async () => {
            const { rows } = await house.db.database.query('select 1 from refusal');
            return rows.length > 0 ? true : undefined;
          }, 'a refusal');
          proxy.clear();
        },
      },
    });
    expect(diary.refusals.length).toBeGreaterThan(0);
    expect(diary.refusals.every(isTransient)).toBe(true);
    expect(diary.refusals[0]!.comment).toContain('object store');
    // Nothing that was acknowledged is anywhere but in the store.
    const { rows } = await house.db.database.query("select 1 from object where location <> 'store'");
    expect(rows).toEqual([]);
    await allUploaded(house, objects);
  }, 120_000);

  it('starts and takes objects while S3 is away, also those of the run before', async () => {
    const house = await open(newBucket());
    proxy.inject({ fault: { kind: 'refuse' }, when: always, times: ever });
    const objects = aSeries(5, { pixelBytes: 20_000 });
    await sendHonestly({ dicomPort: house.dicomPort, objects: objects.slice(0, 3) });
    const stopped = Date.now();
    await house.restart();
    // S3 that is away holds up neither the end nor the start. A bound, not a measure.
    expect(Date.now() - stopped).toBeLessThan(35_000);
    await sendHonestly({ dicomPort: house.dicomPort, objects: objects.slice(3) });
    for (const object of objects)
      expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
    proxy.clear();
    await allUploaded(house, objects);
  }, 120_000);
});
