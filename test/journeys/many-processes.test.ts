/**
 * Where users outgrow one machine: two nodes on one Postgres, one S3 and one Redis. What one received, the other
 * serves; a study is delivered once; the bytes are the sender's on every way.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { corpusFolder } from '../support/corpus.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { type Redis, startRedis } from '../support/redis.ts';
import { sharedS3 } from '../support/shared-peers.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');
const ready = dcmtk && corpusFolder && peer('s3') && peer('redis-server');

describe.skipIf(!ready)('two nodes on Postgres, S3 and Redis (dcmtk, s3, redis-server, corpus)', () => {
  let redis: Redis;
  let pacs: StoreScp;
  let first: House;
  let second: House;
  const folder = path.join(corpusFolder ?? '', 'dcm_qa_ct');

  beforeAll(async () => {
    const s3 = await sharedS3();
    redis = await startRedis();
    pacs = await startStoreScp({ aeTitle: 'PACS' });
    const env = {
      S3_ENDPOINT: s3.endpoint,
      S3_BUCKET: `journey-${randomUUID()}`,
      S3_ACCESS_KEY: s3.accessKey,
      S3_SECRET_KEY: s3.secretKey,
      S3_REGION: s3.region,
      REDIS_URL: redis.url,
    };
    first = await openHouse(env);
    second = await openHouse({ ...env, DATABASE_URL: first.db.url });
    for (const [where, body] of [
      ['destinations/pacs', { kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' }],
      ['rules/ct-to-pacs', { when: { Modality: 'CT' }, at: 'study-stable', send: ['pacs'] }],
    ] as const) {
      const response = await fetch(`${second.url}/api/${where}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(response.ok).toBe(true);
    }
    await run(
      dcmtk!.storescu!,
      ['-aec', 'ISOCENTER', '127.0.0.1', String(first.dicomPort), '+sd', '+r', folder],
      {
        env: { ...process.env, TCP_NODELAY: '1' },
      },
    );
  });
  afterAll(async () => {
    await second?.close();
    await first?.close();
    await pacs?.stop();
    await redis?.stop();
  });

  it('is found on the node that did not receive it, at once', async () => {
    const response = await fetch(`${second.url}/dicom-web/instances?limit=100`);
    expect(((await response.json()) as unknown[]).length).toBe(29);
  });

  it('reaches S3 whole, and then every node serves the same bytes', async () => {
    await eventually(async () => {
      const { rows } = await first.db.database.query<{ n: number }>(
        "select count(*) as n from object where location = 'journal'",
      );
      return rows[0]!.n === 0 ? true : undefined;
    }, 'all objects in S3');
    const { rows } = await first.db.database.query<{ sop_uid: string; length: number }>(
      'select sop_uid, length from object order by sop_uid',
    );
    expect(rows).toHaveLength(29);
    for (const { sop_uid: sop, length } of rows) {
      const [here, there] = await Promise.all(
        [first, second].map(async (house) =>
          Buffer.from(await (await fetch(`${house.url}/api/instances/${sop}/original`)).arrayBuffer()),
        ),
      );
      expect(here!.length).toBe(length);
      expect(here!.equals(there!)).toBe(true);
    }
  });

  it('is delivered once, byte for byte, woken through Redis', async () => {
    const received = await eventually(async () => {
      const files = await pacs.received();
      return files.length === 29 ? files : undefined;
    }, '29 objects at the PACS');
    for (const file of received) {
      const sop = path.basename(file).replace(/^[A-Z]+\./, '');
      const got = await readFile(file);
      const stored = Buffer.from(
        await (await fetch(`${second.url}/api/instances/${sop}/original`)).arrayBuffer(),
      );
      expect(
        got
          .subarray(readFileMeta(got).dataSetOffset)
          .equals(stored.subarray(readFileMeta(stored).dataSetOffset)),
      ).toBe(true);
    }
    const deliveries = await eventually(async () => {
      const found = (await (await fetch(`${first.url}/api/deliveries`)).json()) as {
        state: string;
        delivered: number;
      }[];
      return found[0]?.state === 'delivered' ? found : undefined;
    }, 'the delivery');
    expect(deliveries).toMatchObject([{ destination: 'pacs', total: 29, delivered: 29, failed: 0 }]);
  });
});
